//! Deployments in a result: the measurements of a URL, beside the platforms that ran on this machine.
//!
//! A deployment has no floor, artifact, CPU time, memory or meters, which only its operator can see. All of its figures
//! contain the network. So deployments are not ranked with platforms, which were reached over loopback.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::results::parts::{Distribution, Replay, Reports, Warm};
use crate::stats::Estimate;

/// The measurements of a deployment (`--target`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployed {
    /// Its name in the flag.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Number of missing or wrong answers. A run with any has failed.
    pub errors: u64,
    /// The first of these errors.
    pub first_errors: Vec<String>,
    /// The network on the way to it.
    pub network: Network,
    /// Seconds without a request before each probe for a cold start; absent without `--idle`.
    pub idle_seconds: Option<f64>,
    /// Time from the first request after that idle time to the last byte of its answer, over a connection that was
    /// already open.
    pub cold: Option<Distribution>,
    /// Latency in an open loop.
    pub warm: Warm,
    /// Number of connections of the closed loop, each with one request in flight.
    pub connections: usize,
    /// Correctly answered requests of the closed loop, per second.
    pub requests_per_second: Estimate,
    /// Events in these requests, per second.
    pub events_per_second: Estimate,
    /// Number of turns of the closed loop behind these figures.
    pub turns: usize,
    /// Reports.
    pub reports: Reports,
    /// What happened to the events.
    pub replay: Replay,
    /// Each run by itself, if there were several, as for a platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<BTreeMap<String, f64>>,
}

/// The network to a deployment, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Network {
    /// Time for the TCP handshake: one round trip.
    pub connect: Distribution,
    /// Time for the TLS handshake after that; absent over plain HTTP.
    pub tls: Option<Distribution>,
}

/// A deployment that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unreachable {
    /// Its name in the flag.
    pub name: String,
    /// The URL at which it was expected.
    pub url: String,
    /// Why it could not be measured.
    pub reason: String,
}

/// The figures that deployments and platforms share.
const FIGURES: [&str; 8] = [
    "cold_first_response_p50",
    "cold_first_response_p90",
    "cold_first_response_p99",
    "warm_p50",
    "warm_p90",
    "warm_p99",
    "requests_per_second",
    "events_per_second",
];

impl Deployed {
    /// A figure by the name that platforms use, and the number of samples or turns behind it.
    pub(crate) fn figure(&self, name: &str) -> Option<(Estimate, usize)> {
        let of = |distribution: &Distribution, estimate: Estimate| Some((estimate, distribution.n));
        let (warm, cold) = (&self.warm.latency, self.cold.as_ref());
        match name {
            "cold_first_response_p50" => of(cold?, cold?.p50),
            "cold_first_response_p90" => of(cold?, cold?.p90),
            "cold_first_response_p99" => of(cold?, cold?.p99),
            "warm_p50" => of(warm, warm.p50),
            "warm_p90" => of(warm, warm.p90),
            "warm_p99" => of(warm, warm.p99),
            "requests_per_second" => Some((self.requests_per_second, self.turns)),
            "events_per_second" => Some((self.events_per_second, self.turns)),
            _ => None,
        }
    }

    /// Its figures by name.
    pub(crate) fn values(&self) -> BTreeMap<String, f64> {
        FIGURES.iter().filter_map(|name| Some(((*name).to_owned(), self.figure(name)?.0.value))).collect()
    }
}
