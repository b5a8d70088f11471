//! The report of a simulation; its schema is `isotherm schema simulate`.
//!
//! Within version 2, fields may be added; no field changes its meaning or goes away. Nothing in the report depends on
//! when or where it was made.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cost::break_even::{BreakEven, Pair};
use crate::model::cost::given::SECONDS;
use crate::model::cost::limits::Exceeded;
use crate::model::simulate::check::Check;
use crate::model::simulate::cost::{Cost, Instead, Prices};
use crate::model::simulate::record::{Record, share};
use crate::model::simulate::replay::{Outcome, Replayed};
use crate::model::simulate::time::Micros;

/// The schema's name and version.
pub(crate) const SCHEMA: &str = "isotherm.simulate/2";

/// One simulation.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    pub trace: Load,
    /// The seed of everything random.
    pub seed: u64,
    pub prices: PriceBook,
    pub goals: Goals,
    /// The policies, in the order of the flags.
    pub policies: Vec<Figures>,
    /// The cheapest policy that is possible and meets the goals; null if there is none.
    pub cheapest: Option<String>,
    /// One entry for each policy without nodes, by the same assumptions as `isotherm cost`. It is compared with the node of
    /// the first policy with the plain server (`container`), else of the first with Spin (`spin`, `keda`), else with the
    /// default one.
    pub break_even: Vec<BreakEven>,
    /// Where the choice between two of the policies' designs flips, as `isotherm cost` says it.
    pub pairs: Vec<Pair>,
    /// What people would take instead, for the same traffic.
    pub instead: Vec<Instead>,
    /// The simulation beside what Lambda's own reports say of these arrivals; null for other traces.
    pub check: Option<Check>,
}

/// The load.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Load {
    /// The trace, as `--trace` names it.
    pub trace: String,
    pub scale: f64,
    pub requests: u64,
    pub seconds: f64,
    pub requests_per_second: f64,
    /// Requests per second in the busiest bin of the timeline.
    pub busiest_per_second: f64,
}

/// The prices that were applied.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct PriceBook {
    /// When the prices were compared with their sources.
    pub checked: String,
    /// The day whose prices hold.
    pub on: String,
    /// Whether Lambda's free tier counts.
    pub free_tier: bool,
}

/// The goals of a policy. A goal of null is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Goals {
    /// The largest allowed 99th percentile of latency.
    pub p99_ms: Option<f64>,
    /// The largest allowed share of cold requests.
    pub cold_share: Option<f64>,
}

/// The figures of one policy.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Figures {
    /// The policy's name, as it was given.
    pub policy: String,
    /// Answered requests.
    pub requests: u64,
    /// Answered requests that waited for an instance to start.
    pub cold: u64,
    pub cold_share: f64,
    /// The share of answered requests that waited for anything.
    pub waited_share: f64,
    /// Requests refused because the queue was full.
    pub refused: u64,
    pub latency_ms: Latency,
    pub instances: Instances,
    pub timeline: Timeline,
    pub cost: Cost,
    /// The limits that the policy exceeds. If there is one, it can't carry the load.
    pub impossible: Vec<Exceeded>,
    /// Whether the policy is possible, meets all goals and refuses no request.
    pub meets_goals: bool,
    /// The source of each value, by the name of the value.
    pub sources: BTreeMap<&'static str, String>,
}

/// Latencies as the function's platform sees them, without the network.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Instances.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Instances {
    /// The mean over the whole time.
    pub mean: f64,
    /// The largest number at once.
    pub peak: u64,
    /// Number of instances started.
    pub started: u64,
}

/// Requests and instances over time, in bins of equal width from the start on.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Timeline {
    pub bin_seconds: f64,
    pub requests: Vec<u64>,
    pub cold: Vec<u64>,
    /// The mean in each bin.
    pub instances: Vec<f64>,
    /// The largest number at once in each bin.
    pub peak: Vec<u64>,
}

/// The names and values of the load.
pub(crate) struct Named<'t> {
    pub trace: &'t str,
    pub scale: f64,
    pub seed: u64,
}

/// Makes the report. `node` is the node for break-even loads, by its name in the price book.
///
/// # Errors
/// Fails if the price book has no price for a policy.
pub(crate) fn report(
    outcome: &Outcome,
    named: &Named<'_>,
    goals: Goals,
    prices: &Prices<'_>,
    node: &str,
) -> Result<Report> {
    let busiest_per_second = outcome.busiest();
    let seconds = outcome.span.seconds();
    let mut policies = Vec::new();
    let mut break_even = Vec::new();
    for replayed in &outcome.policies {
        let priced = prices.cost(replayed, outcome.span, busiest_per_second)?;
        policies.push(figures(replayed, outcome.span, goals, priced));
        break_even.extend(prices.break_even(replayed, node)?);
    }
    let good = policies.iter().filter(|figures| figures.meets_goals);
    let cheapest = good.min_by(|one, two| one.cost.usd_month.total_cmp(&two.cost.usd_month));
    let requests_month = outcome.requests as f64 / seconds * SECONDS;
    Ok(Report {
        pairs: prices.pairs(outcome.policies.iter().map(|replayed| &replayed.policy), node)?,
        instead: prices.instead(requests_month, busiest_per_second)?,
        schema: SCHEMA,
        trace: Load {
            trace: named.trace.to_owned(),
            scale: named.scale,
            requests: outcome.requests,
            seconds,
            requests_per_second: outcome.requests as f64 / seconds,
            busiest_per_second,
        },
        seed: named.seed,
        prices: PriceBook {
            checked: prices.rates.book.checked()?.to_string(),
            on: prices.rates.on.to_string(),
            free_tier: prices.rates.free_tier,
        },
        goals,
        cheapest: cheapest.map(|figures| figures.policy.clone()),
        policies,
        break_even,
        check: None,
    })
}

fn figures(replayed: &Replayed, span: Micros, goals: Goals, priced: (Cost, Vec<Exceeded>)) -> Figures {
    let (cost, impossible) = priced;
    let record = &replayed.record;
    let latency_ms = latency(record);
    let cold_share = record.cold_share();
    let meets_p99 = goals.p99_ms.is_none_or(|most| latency_ms.p99 <= most);
    let meets_cold = goals.cold_share.is_none_or(|most| cold_share <= most);
    Figures {
        policy: replayed.policy.name.clone(),
        requests: record.requests,
        cold: record.cold,
        cold_share,
        waited_share: share(record.waited, record.requests),
        refused: record.refused,
        latency_ms,
        instances: Instances {
            mean: record.timeline.instance_seconds() / span.seconds(),
            peak: record.timeline.peak(),
            started: record.started,
        },
        timeline: timeline(record, span),
        cost,
        meets_goals: meets_p99 && meets_cold && record.refused == 0 && impossible.is_empty(),
        impossible,
        sources: replayed.policy.sources.clone(),
    }
}

fn latency(record: &Record) -> Latency {
    let latency = &record.latency;
    let at = |q: f64| Micros(latency.value_at_quantile(q)).ms();
    Latency {
        mean: latency.mean() / 1e3,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: Micros(latency.max()).ms(),
    }
}

fn timeline(record: &Record, span: Micros) -> Timeline {
    let (bins, width) = (record.timeline.bins(), record.timeline.width());
    let mean = |(nth, instance_us): (usize, u64)| {
        // The last bin ends with the trace.
        let start = Micros(nth as u64 * width.0);
        let length = (span - start).min(width);
        if length == Micros::ZERO { 0.0 } else { instance_us as f64 / length.0 as f64 }
    };
    Timeline {
        bin_seconds: width.seconds(),
        requests: bins.iter().map(|bin| bin.requests).collect(),
        cold: bins.iter().map(|bin| bin.cold).collect(),
        instances: bins.iter().map(|bin| bin.instance_us).enumerate().map(mean).collect(),
        peak: bins.iter().map(|bin| bin.peak).collect(),
    }
}
