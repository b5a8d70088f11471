//! The seeds that `cargo xtask test --all` runs: those of all models take about as long, and the kept defects are found with fewer.

use isotherm_simulation::{Model, Runs, simulate_all};

/// With ISOTHERM_QUICK set, only a tenth of the seeds run.
fn check(model: Model, seeds: u64) {
    let seeds = if std::env::var_os("ISOTHERM_QUICK").is_some() { seeds / 10 } else { seeds };
    let Runs { figures, broken } = simulate_all(model, 0..seeds, false);
    println!("{}: {seeds} seeds, {figures:?}", model.name());
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
    check(Model::Server, 1000);
}

#[test]
fn objects() {
    check(Model::Objects, 250);
}

#[test]
fn instances() {
    check(Model::Instances, 350);
}

#[test]
fn streams() {
    check(Model::Streams, 40);
}
