//! Runs core's machines against models of each platform's stores, for simulated months, with faults at every step.
//! One seed decides everything that happens, so every finding can be replayed: `cargo run --package
//! isotherm-simulation -- --seed N --trace`.
//!
//! ```text
//! clients ──▶ Service::admit ──▶ the platform's model ──▶ respond ──▶ checks against what was kept
//!                                  │  database, driver
//! clock ────▶ Maintenance::next ────────┘
//! ```
//!
//! `run` decides what happens and when to check; `world` has the clock, chance and faults; `truth` is the reference.
//! `database` models an SQL store and `driver` its adapter; `shards` is the adapter of a store of blocks. Each platform's differences are in a module of its own.
//! On Lambda the stores are `table`, with its `stream`, and `rollups`; `mapping` hands the stream over, and
//! `aggregate` does what the adapter does. The simulation does not test the adapters themselves: conformance does, on
//! their real runtimes.
#![allow(clippy::indexing_slicing, reason = "a simulation that is wrong is to end")]

mod aggregate;
mod clients;
mod compaction;
mod database;
mod databases;
mod driver;
mod fibers;
mod idle;
mod instances;
mod mapping;
mod objects;
mod platform;
mod reports;
mod rollups;
mod run;
mod server;
mod shards;
mod stream;
mod streams;
mod table;
mod truth;
mod world;

use std::ops::Range;
use std::panic::{UnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

pub use world::Figures;

/// The platform whose store is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// One writer with transactions: native.
    Server,
    /// Objects with a database and an alarm each: Workers.
    Objects,
    /// Instances that share a database of single statements: Spin.
    Instances,
    /// Functions around tables with a stream: Lambda.
    Streams,
}

impl Model {
    /// All models.
    pub const ALL: [Self; 4] = [Self::Server, Self::Objects, Self::Instances, Self::Streams];

    /// The number of seeds that the sound version is known to pass, and with which each kept defect is found. Those of all
    /// models take about as long.
    pub fn seeds(self) -> u64 {
        match self {
            Self::Server => 1400,
            Self::Objects => 300,
            Self::Instances => 400,
            Self::Streams => 40,
        }
    }

    /// The name by which commands ask for the model.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Objects => "objects",
            Self::Instances => "instances",
            Self::Streams => "streams",
        }
    }
}

/// The results of some seeds.
#[derive(Debug, Default)]
pub struct Runs {
    /// The figures of all runs together.
    pub figures: Figures,
    /// Seeds that broke a rule or panicked, each with the rule or the panic.
    pub broken: Vec<(u64, String)>,
}

/// Runs seeds on all cores. It runs all of them, or stops at the first that breaks a rule if `finds`.
pub fn simulate_all(model: Model, seeds: Range<u64>, finds: bool) -> Runs {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut runs = Runs::default();
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < seeds.end
        {
            match simulate(model, seed, false) {
                Ok(figures) => runs.figures = runs.figures + figures,
                Err(rule) => {
                    runs.broken.push((seed, rule));
                    if finds {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                }
            }
        }
        runs
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let working: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Runs::default();
        for thread in working {
            let Runs { figures, broken } = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            all.figures = all.figures + figures;
            all.broken.extend(broken);
        }
        all.broken.sort();
        all
    })
}

/// Runs a seed. If `traces`, it prints what happens on standard output.
///
/// # Errors
/// The rule that was broken, or the panic of the run.
pub fn simulate(model: Model, seed: u64, traces: bool) -> Result<Figures, String> {
    caught(|| match model {
        Model::Server => run::run::<server::Server>(seed, traces),
        Model::Objects => run::run::<objects::Objects>(seed, traces),
        Model::Instances => run::run::<instances::Instances>(seed, traces),
        Model::Streams => run::run::<streams::Streams>(seed, traces),
    })
}

/// Runs a seed. A panic of it is an error that says what the panic says, so that its seed is known.
fn caught(run: impl FnOnce() -> Result<Figures, String> + UnwindSafe) -> Result<Figures, String> {
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref().map(String::as_str));
        Err(format!("the run panics: {}", text.unwrap_or("no text")))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "this is what is caught")]

    use super::caught;

    #[test]
    fn a_panic_is_an_error_of_its_run() {
        assert_eq!(caught(|| panic!("a rule")), Err("the run panics: a rule".to_owned()));
        assert_eq!(caught(|| panic!("{} rules", 2)), Err("the run panics: 2 rules".to_owned()));
    }
}
