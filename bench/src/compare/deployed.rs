//! Deployments in a result: what was measured of a URL, beside what ran on this machine.
//!
//! They have no floor, and no artifact, CPU time, memory or meters: these are their operator's to see. The network is in all of their figures, so they are
//! not ranked with what was reached over loopback.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::compare::repeat;
use crate::compare::result::{Distribution, Replay, Reports, Warm};
use crate::stats::{Estimate, over_runs};

/// What was measured of a deployment (`--target`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployed {
    /// What the flag calls it.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Answers that were missing or wrong; a run with any has failed.
    pub errors: u64,
    /// The first of them.
    pub first_errors: Vec<String>,
    /// The network on the way.
    pub network: Network,
    /// After how long without a request it was probed for cold starts, seconds; absent where that was not asked for (`--idle`).
    pub idle_seconds: Option<f64>,
    /// From the first request after that to the last byte of its answer, over a connection that was open by then.
    pub cold: Option<Distribution>,
    /// Latency in open loop.
    pub warm: Warm,
    /// Connections of the closed loop, with one request under way each.
    pub connections: usize,
    /// Requests of the closed loop answered rightly, a second.
    pub requests_per_second: Estimate,
    /// Events in them, a second.
    pub events_per_second: Estimate,
    /// How many turns of the closed loop these come from.
    pub turns: usize,
    /// Reports.
    pub reports: Reports,
    /// What became of the events.
    pub replay: Replay,
    /// Each run by itself, where there were several, as a platform's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<BTreeMap<String, f64>>,
}

/// The way to a deployment, milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// To connect over TCP: one round trip.
    pub connect: Distribution,
    /// To agree on TLS after that; absent over plain HTTP.
    pub tls: Option<Distribution>,
}

/// A deployment that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreachable {
    /// What the flag calls it.
    pub name: String,
    /// Where it should be.
    pub url: String,
    /// Why it could not.
    pub reason: String,
}

/// A deployment's figures that platforms have too.
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
    /// A figure by the name that a platform's has, and how many samples or turns it comes from.
    pub(super) fn figure(&self, name: &str) -> Option<(Estimate, usize)> {
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

    /// Why it has `–` where platforms have figures.
    pub(super) fn missing(&self) -> String {
        let cold = if self.cold.is_none() { "; no cold starts, since --idle was not given" } else { "" };
        format!("{}: no CPU time, memory, artifact, meters or floor, which only its operator sees{cold}.", self.name)
    }

    fn values(&self) -> BTreeMap<String, f64> {
        FIGURES.iter().filter_map(|name| Some(((*name).to_owned(), self.figure(name)?.0.value))).collect()
    }

    /// Several runs as one, as a platform's; `None` for no runs.
    pub(super) fn pooled(mut runs: Vec<Self>) -> Option<Self> {
        let mut all = runs.pop()?;
        if runs.is_empty() {
            return Some(all);
        }
        runs.push(all.clone());
        let distribution = |of: fn(&Self) -> Option<&Distribution>| repeat::distribution(runs.iter().map(of));
        let rate = |of: fn(&Self) -> Estimate| {
            let values: Vec<f64> = runs.iter().map(|run| of(run).value).collect();
            // Turns are equally long.
            over_runs(values.iter().sum::<f64>() / values.len() as f64, &values)
        };
        all.errors = runs.iter().map(|run| run.errors).sum();
        all.first_errors =
            runs.iter().map(|run| &run.first_errors).find(|errors| !errors.is_empty()).cloned().unwrap_or_default();
        all.network.connect = distribution(|run| Some(&run.network.connect));
        all.network.tls = all.network.tls.map(|_| distribution(|run| run.network.tls.as_ref()));
        all.cold = all.cold.map(|_| distribution(|run| run.cold.as_ref()));
        all.warm = repeat::warm(&runs.iter().map(|run| &run.warm).collect::<Vec<_>>());
        all.requests_per_second = rate(|run| run.requests_per_second);
        all.events_per_second = rate(|run| run.events_per_second);
        all.turns = runs.iter().map(|run| run.turns).sum();
        all.reports = repeat::reports(&runs.iter().map(|run| &run.reports).collect::<Vec<_>>());
        all.replay = repeat::replay(runs.iter().map(|run| &run.replay));
        all.runs = runs.iter().map(Self::values).collect();
        Some(all)
    }
}
