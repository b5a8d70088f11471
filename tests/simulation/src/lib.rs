//! Core's machines beside model stores that behave as each platform's, for simulated months, with faults at every step. All that
//! happens follows from one seed, so that what a run finds can be replayed: `cargo run --package isotherm-simulation -- --seed N
//! --trace`.
//!
//! ```text
//! clients ──▶ Service::admit ──▶ the platform's model ──▶ settle ──▶ checks against what was kept
//!                                  │  database, driver
//! clock ────▶ Upkeep::next ────────┘
//! ```
//!
//! `run` decides what happens and when all is checked; `world` has the clock, chance and faults; `truth` is the
//! reference. What a store does is in `database`, what an adapter does in `driver`, and what sets a platform apart in a module of
//! its own. It does not test the adapters themselves: conformance does, on their real runtimes.
#![allow(clippy::indexing_slicing, reason = "a simulation that is wrong is to end")]

mod clients;
mod compaction;
mod database;
mod driver;
mod fibers;
mod instances;
mod objects;
mod platform;
mod reports;
mod run;
mod server;
mod truth;
mod world;

pub use world::Figures;

/// Whose store is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// One writer with transactions: native.
    Server,
    /// Objects with a database and an alarm each: Workers.
    Objects,
    /// Instances that share a database of single statements: Spin.
    Instances,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Server, Self::Objects, Self::Instances];

    /// As it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Objects => "objects",
            Self::Instances => "instances",
        }
    }
}

/// Runs a seed, and says on standard output what happens where it is to be traced.
///
/// # Errors
/// The rule that was broken.
pub fn simulate(model: Model, seed: u64, traces: bool) -> Result<Figures, String> {
    match model {
        Model::Server => run::run::<server::Server>(seed, traces),
        Model::Objects => run::run::<objects::Objects>(seed, traces),
        Model::Instances => run::run::<instances::Instances>(seed, traces),
    }
}
