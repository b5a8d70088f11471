//! The result of a comparison, in the form that is written. Its schema is `bench/schema/compare-1.schema.json`.
//!
//! Within version 1, fields may be added; no field changes its meaning or goes away.

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

/// The result of one run, or of several merged ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    pub article: Option<Baseline>,
    /// Platforms that could not be started.
    pub not_started: Vec<NotStarted>,
    /// The measurements of deployments (`--target`), over the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<Deployed>,
    /// Deployments that could not be measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
    /// The platforms from best to worst for each figure. The platforms of one group are tied with the best of the
    /// group.
    pub ranking: BTreeMap<String, Vec<Vec<Platform>>>,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its hash.
    pub id: String,
    /// Whether tracked files differed from the commit.
    pub dirty: bool,
}

/// The workload as it ran: the content of its file, changed by flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// The platform.
    pub platform: Platform,
    /// The reason.
    pub reason: String,
}

/// A platform, its floor, and the ratios between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Each run by itself, if there were several (`--repeat`). Then the values above cover the samples of all runs, and
    /// the intervals are those of Student's t over the runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<OneRun>,
}

/// The figures of one run by the names of [`Measured::ratio`]. Reports are `report:<name>_p50` and `freshness_p50`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneRun {
    /// The platform's figures.
    pub figures: BTreeMap<String, f64>,
    /// The floor's figures.
    pub floor: BTreeMap<String, f64>,
}

/// The baseline, which a user would have otherwise: the article's ingest function in Node.js with AWS's SDK, with Isotherm on the same
/// runtime beside it. Both got the workload's events in the same phases as the platforms, but one event per request,
/// since the function accepts nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The function.
    pub function: Singles,
    /// Isotherm's artifact for Lambda.
    pub isotherm: Singles,
    /// Each figure of the baseline as a multiple of Isotherm's.
    pub ratio: BTreeMap<String, Estimate>,
}

/// A target that gets single events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// The measurements of a platform or of its floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The runtime of the target.
    pub runtime: Runtime,
    /// The first missing or wrong answers.
    pub first_errors: Vec<String>,
    /// The deployed artifact.
    pub artifact: Artifact,
    /// Cold starts.
    pub cold: Cold,
    /// Latency in an open loop.
    pub warm: Warm,
    /// Throughput in a closed loop.
    pub throughput: Throughput,
    /// CPU time in the closed loop.
    pub cpu: Cpu,
    /// Memory over the whole run.
    pub memory: Memory,
}

/// The size of a deployed artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Unpacked bytes.
    pub raw_bytes: u64,
    /// Bytes with each file packed by gzip -9.
    pub gzip_bytes: u64,
    /// The files.
    pub files: Vec<ArtifactFile>,
}

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// The path within the artifact.
    pub name: String,
    /// Unpacked bytes.
    pub raw_bytes: u64,
    /// Bytes packed by gzip -9.
    pub gzip_bytes: u64,
}

/// Quantiles and the samples behind them, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Number of samples.
    pub n: usize,
    /// The median.
    pub p50: Estimate,
    /// The 90th percentile.
    pub p90: Estimate,
    /// The 99th percentile.
    pub p99: Estimate,
    /// The samples, in the order in which they were taken.
    pub samples: Vec<f64>,
}

/// Cold starts. Times count from the moment when the artifact is there but no instance is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cold {
    /// Time until the instance was ready for a request.
    pub init: Distribution,
    /// Time until the first byte of the first answer.
    pub first_response: Distribution,
}

/// Latency in an open loop, from the due time of a request to the last byte of its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warm {
    /// Requests sent per second.
    pub rate: f64,
    /// Latency of all requests.
    pub latency: Distribution,
    /// Latency of the requests to each route.
    pub routes: BTreeMap<Route, Distribution>,
    /// The delay of the client's own sending, which is part of the latency.
    pub client_lag: Distribution,
}

/// Throughput in a closed loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Number of connections, each with one request in flight.
    pub connections: usize,
    /// Correctly answered requests per second.
    pub requests_per_second: Estimate,
    /// Events in these requests, per second.
    pub events_per_second: Estimate,
    /// The turns behind the figures.
    pub slices: Vec<Slice>,
}

/// One turn of the closed loop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// Correctly answered requests.
    pub requests: u64,
    /// Events in these requests.
    pub events: u64,
    /// CPU time of the runtime's processes.
    pub cpu_seconds: f64,
}

/// Reports over the events of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reports {
    /// Time from the request to the last byte of the answer, by the name of the report in the workload.
    pub latency: BTreeMap<String, Distribution>,
    /// Time from the acceptance of an event to the last byte of the first report that counts it.
    pub freshness: Distribution,
}

/// CPU time of the runtime's processes, without the host around them and without emulated stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Milliseconds per request of the closed loop.
    pub ms_per_request: Estimate,
    /// Microseconds per event of the closed loop. The cost of a batch is spread over its events.
    pub us_per_event: Estimate,
}

/// Memory of the runtime's processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The largest resident memory at any time.
    pub peak_rss_bytes: u64,
    /// The mean of the peaks of several runs, in bytes; absent for one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_over_runs: Option<Estimate>,
}

/// What happened to the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Requests of the warm phase and of the closed loop.
    pub requests: u64,
    /// Events in these requests. Beyond the end of the data, the data starts again with new messageIds.
    pub sent: u64,
    /// Events that were accepted.
    pub accepted: u64,
    /// Events that the store already had.
    pub duplicates: u64,
    /// Events that were looked up during the load, and found.
    pub found: u64,
    /// Events of the data that were there at the end with the content that was sent.
    pub verified: u64,
}

impl Replay {
    pub(super) fn of(tally: &Tally, verified: u64) -> Self {
        let &Tally { requests, sent, accepted, duplicates, found, .. } = tally;
        Self { requests, sent, accepted, duplicates, found, verified }
    }
}

/// The meters of the warm phase and the closed loop, and of the folding and the backup that follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metered {
    /// Requests.
    pub requests: u64,
    /// Requests with a batch.
    pub batches: u64,
    /// Accepted events. The store held as many more afterwards.
    pub events: u64,
    /// Bytes of the answers, including their heads.
    pub response_bytes: u64,
    /// CPU time of the runtime's processes.
    pub cpu_seconds: f64,
    /// The counts of the platform's host.
    pub readings: Meters,
}

#[cfg(test)]
pub(crate) mod tests;
