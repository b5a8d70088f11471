//! The result of a comparison, as it is written: `bench/schema/compare-1.schema.json` is its schema.
//!
//! Within version 1 fields may be added; none changes its meaning or goes.

use std::collections::BTreeMap;

use isotherm_hosts::{Meters, Platform, Runtime};
use serde::{Deserialize, Serialize};

use crate::compare::deployed::{Deployed, Unreachable};
use crate::compare::noise::Noise;
use crate::compare::page::{ColdShare, Cost, CostLine};
use crate::load::Tally;
use crate::stats::Estimate;
use crate::workload::{Route, Workload};

/// The schema's name and version.
pub const SCHEMA: &str = "isotherm.compare/1";

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// Where and when it ran.
    pub machine: Machine,
    /// What was sent.
    pub workload: Sent,
    /// What was measured, in the order in which the platforms took turns.
    pub platforms: Vec<Measured>,
    /// The article's function, where Lambda was measured; results of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub article: Option<Article>,
    /// Platforms that could not be started.
    pub not_started: Vec<NotStarted>,
    /// What was measured of deployments (`--target`), over the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<Deployed>,
    /// Deployments that could not be measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
    /// For each figure the platforms from best to worst; those in one group are tied with the best of it.
    pub ranking: BTreeMap<String, Vec<Vec<Platform>>>,
    /// What it costs, where prices were applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// How many requests meet a cold start, where that was simulated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cold_share: Vec<ColdShare>,
    /// Whether its figures can be called sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

impl Comparison {
    /// How many runs its figures come from.
    pub(crate) fn runs(&self) -> usize {
        self.platforms.iter().map(|measured| measured.runs.len()).max().unwrap_or(0).max(1)
    }
}

/// The machine and the versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// When the run began, UTC, RFC 3339.
    pub time: String,
    /// How long it took.
    pub seconds: f64,
    /// The processor's name.
    pub cpu: String,
    /// Processors that this program may use.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// The distribution.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    /// The commit of the working tree that the program lies in; absent where there is none.
    pub commit: Option<Commit>,
    /// Versions of programs: `isotherm`, `rustc`, `node`.
    pub versions: BTreeMap<String, String>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its hash.
    pub id: String,
    /// Whether tracked files differed from it.
    pub dirty: bool,
}

/// The workload as it was run: what its file says, and what flags made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// The file's content, with what `--quick` and `--seed` changed.
    #[serde(flatten)]
    pub workload: Workload,
    /// The name of the file that the events come from.
    pub source: String,
    /// How many events of it were sent, each once before any again.
    pub events: usize,
    /// The file's size, unpacked.
    pub event_bytes: usize,
    /// Whether it was shortened.
    pub is_quick: bool,
}

/// A platform that could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// Which.
    pub platform: Platform,
    /// Why.
    pub reason: String,
}

/// A platform, its floor, and how they compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Which.
    pub platform: Platform,
    /// Answers that were missing or wrong, of the platform and of its floor; a run with any has failed.
    pub errors: u64,
    /// The platform's figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// How long reports take, and how fresh they are.
    pub reports: Reports,
    /// What became of the events.
    pub replay: Replay,
    /// What they used, as it is billed; results of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meters: Option<Metered>,
    /// The smallest function on the same runtime, in the same run.
    pub floor: Figures,
    /// Each figure as a multiple of the floor's. A figure is left out where the floor's is 0.
    pub ratio: BTreeMap<String, Estimate>,
    /// Each run by itself, where there were several (`--repeat`). Then the values above are those of all runs' samples together, and the intervals
    /// those of Student's t over the runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<OneRun>,
}

/// The figures of one run by the names of [`Measured::ratio`]; reports as `report:<name>_p50` and `freshness_p50`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneRun {
    /// The platform's.
    pub figures: BTreeMap<String, f64>,
    /// Its floor's.
    pub floor: BTreeMap<String, f64>,
}

/// What a user would have otherwise: the article's ingest function in Node.js with AWS's SDK, and Isotherm on the same runtime beside it. Both
/// got the workload's events in the same phases as the platforms, but one a request: the function takes no others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Article {
    /// The article's function.
    pub function: Singles,
    /// Isotherm's artifact for Lambda.
    pub isotherm: Singles,
    /// Each figure of the article's function as a multiple of Isotherm's.
    pub ratio: BTreeMap<String, Estimate>,
}

/// What takes single events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Singles {
    /// Answers that were missing or wrong; a run with any has failed.
    pub errors: u64,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// What it used, as it is billed; as many events as it accepted were in its store.
    pub meters: Metered,
    /// What a million such events cost by these meters and list prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostLine>,
}

/// What was measured of a platform, or of its floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// What it ran on.
    pub runtime: Runtime,
    /// The first of its missing or wrong answers.
    pub first_errors: Vec<String>,
    /// What is deployed.
    pub artifact: Artifact,
    /// Cold starts.
    pub cold: Cold,
    /// Latency in open loop.
    pub warm: Warm,
    /// Requests in closed loop.
    pub throughput: Throughput,
    /// CPU time in closed loop.
    pub cpu: Cpu,
    /// Memory over the whole run.
    pub memory: Memory,
}

/// The size of what is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Bytes as they are.
    pub raw_bytes: u64,
    /// Bytes with each file packed by gzip -9.
    pub gzip_bytes: u64,
    /// The files.
    pub files: Vec<ArtifactFile>,
}

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// Its path within the artifact.
    pub name: String,
    /// Its size.
    pub raw_bytes: u64,
    /// Its size packed.
    pub gzip_bytes: u64,
}

/// Quantiles, and the samples that they come from, milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many samples.
    pub n: usize,
    /// The median.
    pub p50: Estimate,
    /// The 90th percentile.
    pub p90: Estimate,
    /// The 99th percentile.
    pub p99: Estimate,
    /// In the order in which they were taken.
    pub samples: Vec<f64>,
}

/// Cold starts: from "the artifact is there and no instance" on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cold {
    /// Until the instance was ready for a request.
    pub init: Distribution,
    /// Until the first byte of the first answer.
    pub first_response: Distribution,
}

/// Latency in open loop, from when a request was due to the last byte of its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warm {
    /// Requests a second that were sent.
    pub rate: f64,
    /// Of all requests.
    pub latency: Distribution,
    /// Of the requests to each route.
    pub routes: BTreeMap<Route, Distribution>,
    /// How late the client itself sent; part of the latency.
    pub client_lag: Distribution,
}

/// Requests in closed loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Connections with one request under way each.
    pub connections: usize,
    /// Requests answered rightly, a second.
    pub requests_per_second: Estimate,
    /// Events in them, a second.
    pub events_per_second: Estimate,
    /// What the figures come from.
    pub slices: Vec<Slice>,
}

/// One turn in closed loop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests answered rightly.
    pub requests: u64,
    /// Events in them.
    pub events: u64,
    /// CPU time of the runtime's processes.
    pub cpu_seconds: f64,
}

/// Reports over the events of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reports {
    /// From the request to the last byte of the answer, by the name that the workload gives the report.
    pub latency: BTreeMap<String, Distribution>,
    /// From when an event was accepted to the last byte of the first report that counts it.
    pub freshness: Distribution,
}

/// CPU time of the runtime's processes: not of the host around them, nor of emulated stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Milliseconds for a request of the closed loop.
    pub ms_per_request: Estimate,
    /// Microseconds for an event of the closed loop: what its batches cost is spread over their events.
    pub us_per_event: Estimate,
}

/// Memory of the runtime's processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The most that was resident at once.
    pub peak_rss_bytes: u64,
    /// The mean of that over runs, bytes, where there were several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_over_runs: Option<Estimate>,
}

/// What became of the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Requests of the warm phase and of the closed loop.
    pub requests: u64,
    /// Events in them; what goes beyond the data is the data once more, under new messageIds.
    pub sent: u64,
    /// Events that were accepted.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Events that were looked up meanwhile, and found.
    pub found: u64,
    /// Events of the data that were there at the end, and were what had been sent.
    pub verified: u64,
}

impl Replay {
    pub(super) fn of(tally: &Tally, verified: u64) -> Self {
        let &Tally { requests, sent, accepted, duplicates, found, .. } = tally;
        Self { requests, sent, accepted, duplicates, found, verified }
    }
}

/// The meters of the warm phase and of the closed loop, and of what followed from them: folding, and backing up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metered {
    /// Requests.
    pub requests: u64,
    /// Those with a batch.
    pub batches: u64,
    /// Events that were accepted; as many more were in the store afterwards.
    pub events: u64,
    /// Bytes of the answers, with their heads.
    pub response_bytes: u64,
    /// CPU time of the runtime's processes.
    pub cpu_seconds: f64,
    /// What the platform's host counted.
    pub readings: Meters,
}

#[cfg(test)]
pub(crate) mod tests;
