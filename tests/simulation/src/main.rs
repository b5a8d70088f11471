//! Replays seeds. `--seed N` runs one seed, and `--trace` prints what happens in it. `--seeds N` runs the first N
//! seeds on all cores; without it, those of the tests run. `--model NAME` runs one model alone. `--find` looks for a
//! seed that breaks a rule, and fails if there is none.

use std::process::ExitCode;
use std::time::Instant;

use isotherm_simulation::{Model, Runs, simulate, simulate_all};

const HELP: &str =
    "isotherm-simulation [--seed N [--trace] | --seeds N [--find]] [--model server|objects|instances|streams]";

fn main() -> ExitCode {
    let (mut seeds, mut models) = (None, Model::ALL.to_vec());
    let (mut traces, mut finds) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|value| value.parse::<u64>().ok());
        match argument.as_str() {
            "--trace" => traces = true,
            "--find" => finds = true,
            "--seed" => match number() {
                Some(seed) => seeds = Some(seed..seed + 1),
                None => return help(),
            },
            "--seeds" => match number() {
                Some(count) => seeds = Some(0..count),
                None => return help(),
            },
            "--model" => {
                let name = arguments.next().unwrap_or_default();
                models.retain(|model| model.name() == name);
            }
            _ => return help(),
        }
    }
    let mut failed = 0;
    for model in models {
        let began = Instant::now();
        let seeds = seeds.clone().unwrap_or(0..model.seeds());
        let Runs { figures, broken } =
            if traces { trace(model, seeds.start) } else { simulate_all(model, seeds, finds) };
        failed += broken.len();
        broken.iter().for_each(|(seed, rule)| println!("--model {} --seed {seed}: {rule}", model.name()));
        println!("{}: {figures:?}, {:.1} s", model.name(), began.elapsed().as_secs_f64());
    }
    if (failed > 0) == finds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn trace(model: Model, seed: u64) -> Runs {
    match simulate(model, seed, true) {
        Ok(figures) => Runs { figures, broken: Vec::new() },
        Err(rule) => Runs { broken: vec![(seed, rule)], ..Runs::default() },
    }
}

fn help() -> ExitCode {
    eprintln!("{HELP}");
    ExitCode::FAILURE
}
