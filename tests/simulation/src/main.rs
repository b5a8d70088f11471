//! Replays seeds: `--seed N` one of them, `--seeds N` the first so many; `--model NAME` on one model alone; `--trace` says what
//! happens; `--find` looks for a seed that breaks a rule, and fails where there is none.

use std::process::ExitCode;
use std::time::Instant;

use isotherm_simulation::{Figures, Model, simulate};

const HELP: &str = "isotherm-simulation [--seed N | --seeds N] [--model server|objects|instances] [--find] [--trace]";

fn main() -> ExitCode {
    let (mut seeds, mut models) = (0..100, Model::ALL.to_vec());
    let (mut traces, mut finds) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|value| value.parse::<u64>().ok());
        match argument.as_str() {
            "--trace" => traces = true,
            "--find" => finds = true,
            "--seed" => match number() {
                Some(seed) => seeds = seed..seed + 1,
                None => return help(),
            },
            "--seeds" => match number() {
                Some(count) => seeds = 0..count,
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
        let mut all = Figures::default();
        for seed in seeds.clone() {
            match simulate(model, seed, traces) {
                Ok(figures) => all = all + figures,
                Err(rule) => {
                    failed += 1;
                    println!("{} --seed {seed}: {rule}", model.name());
                    if finds {
                        return ExitCode::SUCCESS;
                    }
                }
            }
        }
        println!("{}: {all:?}, {:.1} s", model.name(), began.elapsed().as_secs_f64());
    }
    if failed == 0 && !finds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn help() -> ExitCode {
    eprintln!("{HELP}");
    ExitCode::FAILURE
}
