//! The seeds that `cargo xtask test --all` runs.

use std::time::Instant;

use isotherm_simulation::{Model, Runs, simulate_all};

/// Runs the seeds of a model. With ISOTHERM_QUICK set, only a tenth of them run.
fn check(model: Model) {
    let seeds = if std::env::var_os("ISOTHERM_QUICK").is_some() { model.seeds() / 10 } else { model.seeds() };
    let began = Instant::now();
    let Runs { figures, broken } = simulate_all(model, 0..seeds, false);
    println!("{}: {seeds} seeds, {figures:?}, {:.1} s", model.name(), began.elapsed().as_secs_f64());
    for (seed, rule) in &broken {
        println!(
            "cargo run --release --package isotherm-simulation -- --model {} --seed {seed} --trace: {rule}",
            model.name()
        );
    }
    assert!(broken.is_empty(), "{} of {seeds} seeds break a rule", broken.len());
    // What never happens is not tested.
    let happened = [figures.crashes, figures.deleted, figures.reports, figures.unanswered];
    assert!(happened.iter().all(|count| *count > seeds), "{figures:?}");
    if model == Model::Objects {
        let rung = [figures.late_rings, figures.second_rings, figures.given_up];
        assert!(rung.iter().all(|count| *count > 20 * seeds), "{figures:?}");
    }
}

#[test]
fn server() {
    check(Model::Server);
}

#[test]
fn objects() {
    check(Model::Objects);
}

#[test]
fn instances() {
    check(Model::Instances);
}

#[test]
fn streams() {
    check(Model::Streams);
}
