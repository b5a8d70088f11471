//! One answer for one traffic: what each policy costs, how often and how long its requests wait, and what can't be.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cold::{self, Start};
use crate::model::cost::assumptions::Assumption;
use crate::model::cost::break_even::{BreakEven, Pair};
use crate::model::cost::given::SECONDS;
use crate::model::cost::limits::Exceeded;
use crate::model::simulate::check::Check;
use crate::model::simulate::cost::Instead;
use crate::model::simulate::report::{Figures, Goals, Load, PriceBook, Report};
use crate::results::Comparison;
use crate::results::cost::Kind;
use crate::results::deployed::Deployed;
use crate::stats::Estimate;

/// The schema's name and version.
pub(crate) const SCHEMA: &str = "isotherm.decide/1";

/// What a client of AWS waits longer for a cold start than for a warm request, in ms: 448 − 18. Init, placement and the
/// download of the code are in it.
/// Source: `STeLLAR` (IISWC 2021), medians at the client.
pub(crate) const CLIENT_COLD_MS: f64 = 430.0;
/// The share of cold requests from which the 99th percentile is one of them.
const ONE_IN_A_HUNDRED: f64 = 0.01;

/// The answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Decision {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The traffic.
    pub traffic: Load,
    /// Requests per month.
    pub requests_month: f64,
    /// Events of each request.
    pub events_per_request: f64,
    /// Time between the client and the provider and back, in ms, which is in every latency.
    pub network_ms: f64,
    /// Where the measured figures come from.
    pub measured_in: String,
    pub prices: PriceBook,
    pub goals: Goals,
    /// One for each policy.
    pub choices: Vec<Choice>,
    /// The cheapest policy that is possible and meets the goals; null if there is none.
    pub cheapest: Option<String>,
    /// From which load on a node is no dearer. `isotherm cost` says the same.
    pub break_even: Vec<BreakEven>,
    /// Where the choice between two platforms flips. `isotherm cost` says the same.
    pub pairs: Vec<Pair>,
    /// What people would take instead, for the same traffic.
    pub instead: Vec<Instead>,
    /// Cold starts in parts: what was measured, what is published, and what is expected of both.
    pub cold_starts: Vec<ColdStart>,
    /// The simulation of Lambda beside what its own reports say; null unless the traffic is made of them.
    pub check: Option<Check>,
    /// What `isotherm compare --target` measured of a deployment; null unless one is named.
    pub deployed: Option<AsDeployed>,
    /// What costs rest on.
    pub assumptions: Vec<Assumption>,
}

/// What comes of one policy.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Choice {
    /// The policy, as `isotherm simulate` takes it.
    pub policy: String,
    /// The share of requests that wait for a cold start.
    pub cold_share: Figure,
    /// The median latency in ms, with the network.
    pub p50_ms: Figure,
    /// The 99th percentile in ms, with the network. Its higher end has the published part of a cold start.
    pub p99_ms: Figure,
    /// USD per month for the whole path.
    pub usd_month: Figure,
    /// USD per month at the availability that functions have by themselves.
    pub available_usd_month: Figure,
    /// What is priced for that; null where nothing has to be added.
    pub available_about: Option<String>,
    /// What is still not possible with it; null where nothing has to be added.
    pub not_possible: Option<String>,
    /// The limits that it exceeds. If there is one, it can't carry the traffic.
    pub impossible: Vec<Exceeded>,
    /// Requests of the trace that were refused.
    pub refused: u64,
    /// Whether it is possible, meets all goals and refuses no request.
    pub meets_goals: bool,
}

/// A deployment, as a client sees it: the network is in all of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct AsDeployed {
    /// Its name in the result.
    pub name: String,
    pub url: String,
    /// One round trip, in ms.
    pub network_ms: Figure,
    /// The latency of warm requests, in ms.
    pub p50_ms: Figure,
    pub p99_ms: Figure,
    /// The first answer after a time without requests, in ms; null if none was waited for.
    pub cold_ms: Option<Figure>,
}

impl AsDeployed {
    /// The measurements of a deployment.
    pub(crate) fn of(deployed: &Deployed) -> Self {
        let figure = |Estimate { value, low, high }: Estimate| Figure { value, low, high, kind: Kind::Measured };
        Self {
            name: deployed.name.clone(),
            url: deployed.url.clone(),
            network_ms: figure(deployed.network.connect.p50),
            p50_ms: figure(deployed.warm.latency.p50),
            p99_ms: figure(deployed.warm.latency.p99),
            cold_ms: deployed.cold.as_ref().map(|cold| figure(cold.p50)),
        }
    }
}

/// A figure, its range and its source.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Figure {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub kind: Kind,
}

/// The cold start of a platform, in ms until an instance is ready.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ColdStart {
    pub platform: String,
    /// On the machine of the run.
    pub measured: Figure,
    /// What the platform or others publish of their own functions; null where nothing is.
    pub published: Option<Figure>,
    /// What is published, in words, with its source.
    pub words: Option<String>,
    /// What is expected there; null where nothing is published.
    pub expected: Option<Figure>,
}

/// What is known beside the simulation.
pub(crate) struct Beside<'a> {
    pub result: &'a Comparison,
    /// The name of the result.
    pub name: &'a str,
    /// The requests per month that were asked for; `None` if a trace tells.
    pub requests_month: Option<f64>,
    pub network_ms: f64,
    pub events_per_request: f64,
    /// The deployment that is named.
    pub deployed: Option<&'a Deployed>,
    pub assumptions: Vec<Assumption>,
}

/// Makes the decision of a simulation.
pub(crate) fn decide(report: Report, beside: Beside<'_>) -> Decision {
    let choices: Vec<Choice> =
        report.policies.iter().map(|figures| choice(figures, beside.network_ms, report.goals)).collect();
    let good = choices.iter().filter(|choice| choice.meets_goals);
    let cheapest = good.min_by(|one, two| one.usd_month.value.total_cmp(&two.usd_month.value));
    Decision {
        schema: SCHEMA,
        requests_month: beside.requests_month.unwrap_or(report.trace.requests_per_second * SECONDS),
        traffic: report.trace,
        events_per_request: beside.events_per_request,
        network_ms: beside.network_ms,
        measured_in: beside.name.to_owned(),
        prices: report.prices,
        goals: report.goals,
        cheapest: cheapest.map(|choice| choice.policy.clone()),
        choices,
        break_even: report.break_even,
        pairs: report.pairs,
        instead: report.instead,
        deployed: beside.deployed.map(AsDeployed::of),
        check: report.check,
        cold_starts: cold::starts(beside.result).into_iter().map(cold_start).collect(),
        assumptions: beside.assumptions,
    }
}

fn choice(figures: &Figures, network_ms: f64, goals: Goals) -> Choice {
    let modelled = |value: f64, high: f64| Figure { value, low: value, high, kind: Kind::Modelled };
    let [p50, p99] = [figures.latency_ms.p50, figures.latency_ms.p99].map(|ms| ms + network_ms);
    let is_on_lambda = figures.policy.split(',').next() == Some("lambda");
    // Nobody publishes what a client of the other platforms waits for a cold start. The upper end has the simulated init
    // twice: some ms, on the careful side.
    let with_cold = |ms: f64, share: f64| {
        if is_on_lambda && figures.cold_share >= share { modelled(ms, ms + CLIENT_COLD_MS) } else { modelled(ms, ms) }
    };
    let p99_ms = with_cold(p99, ONE_IN_A_HUNDRED);
    let available = figures.cost.equal_availability.as_ref();
    let available_usd = available.map_or(figures.cost.usd_month, |one| one.month_usd);
    // A goal holds of the whole range.
    let meets_p99 = goals.p99_ms.is_none_or(|most| p99_ms.high <= most);
    Choice {
        policy: figures.policy.clone(),
        cold_share: modelled(figures.cold_share, figures.cold_share),
        p50_ms: with_cold(p50, 0.5),
        p99_ms,
        usd_month: modelled(figures.cost.usd_month, figures.cost.usd_month),
        available_usd_month: modelled(available_usd, available_usd),
        available_about: available.map(|one| one.about.clone()),
        not_possible: available.map(|one| one.not_possible.clone()),
        impossible: figures.impossible.clone(),
        refused: figures.refused,
        meets_goals: figures.meets_goals && meets_p99,
    }
}

fn cold_start(start: Start) -> ColdStart {
    let figure = |value: f64, low: f64, high: f64, kind| Figure { value, low, high, kind };
    let published = start.published.as_ref();
    ColdStart {
        platform: start.platform.name().to_owned(),
        measured: figure(start.init.value, start.init.low, start.init.high, Kind::Measured),
        published: published
            .map(|one| figure(one.ms, if one.is_bound { 0.0 } else { one.ms }, one.ms, Kind::Published)),
        words: published.map(|one| format!("{}: {}", one.source, one.words)),
        expected: start.expected.map(|one| figure(one.value, one.low, one.high, Kind::Modelled)),
    }
}
