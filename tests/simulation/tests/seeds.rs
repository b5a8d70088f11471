//! Seeds that CI runs: enough that each of the kept defects is found, few enough for two minutes.

#![allow(clippy::panic, reason = "a test panics to fail")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use isotherm_simulation::{Figures, Model, simulate};

const SEEDS: u64 = 600;

/// Runs seeds on all cores.
fn check(model: Model) {
    let next = AtomicU64::new(0);
    let work = || {
        let (mut all, mut broken) = (Figures::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return (all, broken);
            }
            match simulate(model, seed, false) {
                Ok(figures) => all = all + figures,
                Err(rule) => broken.push((seed, rule)),
            }
        }
    };
    let (mut all, mut broken) = (Figures::default(), Vec::new());
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let working: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in working {
            let Ok((figures, found)) = thread.join() else { panic!("a run has panicked") };
            all = all + figures;
            broken.extend(found);
        }
    });
    println!("{}: {all:?}", model.name());
    for (seed, rule) in &broken {
        println!(
            "cargo run --release --package isotherm-simulation -- --model {} --seed {seed} --trace: {rule}",
            model.name()
        );
    }
    assert!(broken.is_empty(), "{} of {SEEDS} seeds break a rule", broken.len());
    // What never happens is not tested.
    assert!(all.crashes > SEEDS && all.deleted > SEEDS && all.reports > SEEDS && all.unanswered > SEEDS, "{all:?}");
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
