//! The result of a comparison, in the form that is written. Its JSON Schema is derived: `isotherm schema compare`.
//!
//! Within version 2, fields may be added; no field changes its meaning or goes away. Results of version 1 are read too
//! (`upgrade`).

pub mod cost;
pub mod deployed;
pub mod figure;
pub(crate) mod file;
pub mod noise;
mod parts;
pub(crate) mod sample;
pub mod scope;
mod upgrade;

use std::collections::BTreeMap;

use isotherm_hosts::Platform;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::results::cost::{ColdShare, Cost, CostLine};
use crate::results::deployed::{Deployed, Unreachable};
use crate::results::noise::Noise;
use crate::results::scope::{Phase, Scope};
use crate::stats::Estimate;
use crate::workload::Workload;

pub use self::parts::*;

/// The schema's name and version.
pub const SCHEMA: &str = "isotherm.compare/2";

/// The result of one run, or of several merged ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// The machine, and the time of the run.
    pub machine: Machine,
    /// The workload that was sent.
    pub workload: Sent,
    /// The measurements, in the order in which the platforms took turns.
    pub platforms: Vec<Measured>,
    /// The baseline, if Lambda was measured. Results of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Platforms that could not be started.
    pub not_started: Vec<NotStarted>,
    /// The measurements of deployments (`--target`), over the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<Deployed>,
    /// Deployments that could not be measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
    /// The cost, if prices were applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The shares of requests that meet a cold start, if they were simulated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cold_share: Vec<ColdShare>,
    /// Other work on the machine, which tells whether the figures are sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

impl Comparison {
    /// Number of runs behind its figures.
    pub(crate) fn runs(&self) -> usize {
        self.platforms.iter().map(|measured| measured.runs.len()).max().unwrap_or(0).max(1)
    }
}

/// The machine and the versions of programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// The start of the run: UTC, RFC 3339.
    pub time: String,
    /// The length of the run.
    pub seconds: f64,
    /// The processor's name.
    pub cpu: String,
    /// Processors that this program may use.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// The operating system's distribution.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    /// The commit of the working tree that contains the program; absent outside a working tree.
    pub commit: Option<Commit>,
    /// Versions of programs: `isotherm`, `rustc`, `node`.
    pub versions: BTreeMap<String, String>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Commit {
    /// Its hash.
    pub id: String,
    /// Whether tracked files differed from the commit.
    pub dirty: bool,
}

/// The workload as it ran: the content of its file, changed by flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// The file's content, with the changes of `--quick` and `--seed`.
    #[serde(flatten)]
    pub workload: Workload,
    /// The name of the file of the events.
    pub source: String,
    /// Number of the file's events that were sent. Each is sent once before any is sent again.
    pub events: usize,
    /// The size of the unpacked file.
    pub event_bytes: usize,
    /// Whether `--quick` shortened the run.
    pub is_quick: bool,
}

/// A platform that could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotStarted {
    /// The platform.
    pub platform: Platform,
    /// The reason.
    pub reason: String,
}

/// A platform, its floor, and the ratios between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// The platform.
    pub platform: Platform,
    /// Number of missing or wrong answers of the platform and its floor. A run with any has failed.
    pub errors: u64,
    /// The platform's figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// The latency and the freshness of reports.
    pub reports: Reports,
    /// What happened to the events.
    pub replay: Replay,
    /// The billed usage. Results of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meters: Option<Metered>,
    /// The smallest function on the same runtime, in the same run.
    pub floor: Figures,
    /// Each figure as a multiple of the floor's. A figure is left out if the floor's is 0.
    pub ratio: BTreeMap<String, Estimate>,
    /// What the figures of each phase have in them. The floor's have the same, but that it has no store.
    pub scopes: BTreeMap<Phase, Scope>,
    /// Each run by itself, if there were several (`--repeat`). Then the values above cover the samples of all runs, and
    /// the intervals are those of Student's t over the runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<OneRun>,
}

/// The figures of one run by the names of [`Measured::ratio`]. Reports are `report:<name>_p50` and `freshness_p50`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OneRun {
    /// The platform's figures.
    pub figures: BTreeMap<String, f64>,
    /// The floor's figures.
    pub floor: BTreeMap<String, f64>,
}

/// The baseline, which a user would have otherwise: the ingest function that articles on serverless analytics describe, in Node.js with AWS's SDK, with Isotherm on the same
/// runtime beside it. Both got the workload's events in the same phases as the platforms, but one event per request,
/// since the function accepts nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// The function.
    pub function: Singles,
    /// Isotherm's artifact for Lambda.
    pub isotherm: Singles,
    /// Each figure of the baseline as a multiple of Isotherm's.
    pub ratio: BTreeMap<String, Estimate>,
}

impl Baseline {
    /// The names of the two in figures: the baseline, and Isotherm with the same requests.
    pub const NAMES: [&str; 2] = ["baseline", "lambda, single events"];
}

/// A target that gets single events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Singles {
    /// Number of missing or wrong answers. A run with any has failed.
    pub errors: u64,
    /// The target's figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// The billed usage. The store had as many events as the target accepted.
    pub meters: Metered,
    /// The cost of a million such events by these meters and list prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostLine>,
}

#[cfg(test)]
pub(crate) mod tests;
