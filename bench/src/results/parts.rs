//! The measurements of one target, in the form that is written.

use std::collections::BTreeMap;

use isotherm_hosts::{Meters, Runtime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stats::Estimate;
use crate::workload::Route;

/// The measurements of a platform or of its floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// Unpacked bytes.
    pub raw_bytes: u64,
    /// Bytes with each file packed by gzip -9.
    pub gzip_bytes: u64,
    /// The files.
    pub files: Vec<ArtifactFile>,
}

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactFile {
    /// The path within the artifact.
    pub name: String,
    /// Unpacked bytes.
    pub raw_bytes: u64,
    /// Bytes packed by gzip -9.
    pub gzip_bytes: u64,
}

/// Quantiles and the samples behind them, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cold {
    /// Time until the instance was ready for a request.
    pub init: Distribution,
    /// Time until the first byte of the first answer.
    pub first_response: Distribution,
}

/// Latency in an open loop, from the due time of a request to the last byte of its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reports {
    /// Time from the request to the last byte of the answer, by the name of the report in the workload.
    pub latency: BTreeMap<String, Distribution>,
    /// Time from the acceptance of an event to the last byte of the first report that counts it.
    pub freshness: Distribution,
}

/// CPU time of the runtime's processes, without the host around them and without emulated stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cpu {
    /// Milliseconds per request of the closed loop.
    pub ms_per_request: Estimate,
    /// Microseconds per event of the closed loop. The cost of a batch is spread over its events.
    pub us_per_event: Estimate,
    /// Seconds of CPU time beside the turns of the closed loop, for what they have put off: folds, alarms, backups. They
    /// are in the figures. 0 in results of version 1, which left them out.
    #[serde(default)]
    pub deferred_seconds: f64,
}

/// Memory of the runtime's processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// The largest resident memory at any time.
    pub peak_rss_bytes: u64,
    /// The mean of the peaks of several runs, in bytes; absent for one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_over_runs: Option<Estimate>,
}

/// What happened to the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// The meters of the warm phase and the closed loop, and of the folding and the backup that follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
