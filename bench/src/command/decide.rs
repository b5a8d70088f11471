//! `isotherm decide`: one table of what each platform and policy comes to for one's own traffic.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::BadInput;
use crate::command::cost::{pair, share, utilisation};
use crate::command::prices::WhichPrices;
use crate::command::simulate::{Replay, replayed};
use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::bill::Rates;
use crate::model::cost::from;
use crate::model::cost::given::SECONDS;
use crate::model::decide::{Beside, Decision, decide};
use crate::model::simulate::draw::Sourced;
use crate::model::simulate::from::Measurements;
use crate::model::simulate::policy::{Defaults, Spec};
use crate::model::simulate::report::{Goals, Named};
use crate::model::simulate::time::Micros;
use crate::model::simulate::trace;
use crate::render;
use crate::results::sample::{NamedResult, read_or_sample};
use crate::say;
use crate::words::listed;

const EXAMPLES: &str = "\
Examples:
  isotherm decide --requests 2000000 --shape bursts               a shop, in bursts
  isotherm decide --requests 100000000 --p99 100ms                an app, with a goal
  isotherm decide --requests 5000000000 --events-per-request 10   a fleet
  isotherm decide --trace logs:report.log --from result.json --target prod
        your logs beside what a client measured
  isotherm decide --trace logs:access.log.gz --html decide.html   your own logs, as a page";

/// The policies that are compared.
const POLICIES: [&str; 8] = [
    "lambda",
    "lambda,provisioned=5",
    "lambda,ping=5m",
    "managed",
    "workers",
    "spin,nodes=1",
    "keda,pods=0..10",
    "container,nodes=1",
];
/// Generated traffic has about so many requests, but is no shorter and no longer than these.
const REQUESTS: f64 = 1_000_000.0;
const SHORTEST: f64 = 60.0;
const LONGEST: f64 = 30.0 * 24.0 * 3600.0;
/// Init durations that were recorded where the template deploys: x86, 256 MB.
const INIT: &str = "rust-al2023-x86-256";

/// The flags of `isotherm decide`.
#[derive(Args, Clone, Debug)]
#[command(before_help = EXAMPLES)]
pub struct Decide {
    /// Requests a month
    #[arg(long, value_name = "N", default_value = "10000000", value_parser = requests)]
    requests: f64,
    /// How they come
    #[arg(long, value_enum, default_value = "even")]
    shape: Shape,
    /// Arrivals instead of a number and a shape, as `isotherm simulate --help` lists them
    #[arg(long, value_name = "TRACE", conflicts_with_all = ["requests", "shape"])]
    trace: Option<trace::Spec>,
    /// Events in each request
    #[arg(long, value_name = "N", default_value = "1", value_parser = events)]
    events_per_request: f64,
    /// A platform and how it is run, as `isotherm simulate --help` lists them; may be given again
    #[arg(long, value_name = "POLICY")]
    policy: Vec<Spec>,
    /// Only policies whose 99th percentile is at most this, network and published cold starts included
    #[arg(long, value_name = "TIME", value_parser = Micros::parse)]
    p99: Option<Micros>,
    /// Only policies with at most this share of cold requests, such as 1%
    #[arg(long, value_name = "SHARE", value_parser = share)]
    cold_share: Option<f64>,
    /// Time from your clients to the provider and back: a stated guess
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = Micros::parse)]
    network: Micros,
    /// What `isotherm compare` measured; without it, the sample
    #[arg(long, value_name = "RESULT.JSON")]
    from: Option<PathBuf>,
    /// Beside it what `isotherm compare --target` measured of a deployment, by its name in the result of --from: what only a
    /// client sees. What only its operator sees comes from its logs, --trace logs:FILE
    #[arg(long, value_name = "NAME", requires = "from")]
    target: Option<String>,
    /// What the busiest hour may take of each machine [without it: 0.7]
    #[arg(long, value_name = "SHARE", value_parser = utilisation)]
    target_utilisation: Option<f64>,
    /// Count free tiers
    #[arg(long)]
    free_tier: bool,
    /// Another value for something that costs rest on, as `isotherm cost` names it. May be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    assume: Vec<(String, f64)>,
    #[command(flatten)]
    book: WhichPrices,
    /// Decides all that is random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Also as a page, one HTML file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// As JSON, by `isotherm schema decide`
    #[arg(long)]
    json: bool,
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Independently of each other, at one rate
    Even,
    /// Twenty on average within a second, then none for a while
    Bursts,
}

fn requests(text: &str) -> Result<f64, String> {
    let requests = text.replace('_', "").parse::<f64>().ok().filter(|requests| (1.0..=2.6e12).contains(requests));
    requests.ok_or_else(|| "must be from 1 to 2600000000000".to_owned())
}

fn events(text: &str) -> Result<f64, String> {
    let events = text.parse::<f64>().ok().filter(|events| (1.0..=1e6).contains(events));
    events.ok_or_else(|| "must be from 1 to 1000000".to_owned())
}

/// Prints the decision.
///
/// # Errors
/// Fails if a trace, a price book or a result can't be used, or if the page can't be written.
pub fn decided(flags: &Decide) -> Result<ExitCode> {
    let decision = decision(flags).map_err(BadInput)?;
    let text = if flags.json { serde_json::to_string(&decision)? + "\n" } else { render::decide::text(&decision) };
    say(&text)?;
    if let Some(path) = &flags.html {
        let page = render::decide::page(&decision);
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn decision(flags: &Decide) -> Result<Decision> {
    let NamedResult { result, name } = read_or_sample(flags.from.as_deref())?;
    let book = flags.book.read()?;
    let rates = Rates { book: &book, on: flags.book.day(), free_tier: flags.free_tier };
    let mut assumed = Assumptions::read()?;
    // Without a run of one's own, costs rest on what `isotherm cost` takes.
    if flags.from.is_some() {
        from::assume(&result, &name, &mut assumed, from::Of::Value)?;
    }
    if let Some(share) = flags.target_utilisation {
        assumed.set("target-utilisation", share, "--target-utilisation")?;
    }
    flags.assume.iter().try_for_each(|(name, value)| assumed.set(name, *value, "--assume"))?;
    let deployed = flags.target.as_ref().map(|target| {
        let all = || result.deployments.iter().map(|one| one.name.as_str()).collect::<Vec<_>>();
        let found = result.deployments.iter().find(|one| &one.name == target);
        found.with_context(|| format!("{name} has no target {target:?}; it has {}", listed(&all())))
    });
    let deployed = deployed.transpose()?;
    let (trace, duration) = flags.traffic()?;
    let mut measured = Measurements::in_result(&result, &name)?;
    // The emulated store answers sooner than DynamoDB does.
    measured.wait("lambda", assumed.value("dynamodb-ms")?, "DynamoDB's assumed dynamodb-ms beside it");
    let defaults = Defaults { init: Some(Sourced::published(INIT)?), measured, ..Defaults::default() };
    let own: Vec<Spec> = POLICIES.iter().map(|text| text.parse()).collect::<Result<_>>()?;
    let policies = if flags.policy.is_empty() { own } else { flags.policy.clone() };
    let report = replayed(&Replay {
        trace: &trace,
        named: Named { trace: trace.text(), scale: 1.0, seed: flags.seed },
        duration,
        policies: &policies,
        defaults: &defaults,
        goals: Goals { p99_ms: flags.p99.map(Micros::ms), cold_share: flags.cold_share },
        rates: &rates,
        assumed: &assumed,
        events_per_request: flags.events_per_request,
    })?;
    let beside = Beside {
        result: &result,
        name: &name,
        requests_month: flags.trace.is_none().then_some(flags.requests),
        network_ms: flags.network.ms(),
        events_per_request: flags.events_per_request,
        deployed,
        assumptions: assumed.take_used(),
    };
    Ok(decide(report, beside))
}

impl Decide {
    /// The arrivals, and for about how long they are simulated. Without a trace, they are the asked number a month.
    fn traffic(&self) -> Result<(trace::Spec, Option<Micros>)> {
        if let Some(trace) = &self.trace {
            return Ok((trace.clone(), None));
        }
        let rate = self.requests / SECONDS;
        let text = match self.shape {
            Shape::Even => format!("poisson:{rate:.9}/s"),
            Shape::Bursts => format!("bursty:{rate:.9}/s,size=20,within=1s"),
        };
        let seconds = (REQUESTS / rate).clamp(SHORTEST, LONGEST);
        let trace = text.parse::<trace::Spec>()?.exactly(rate);
        Ok((trace, Some(Micros::from_seconds(seconds))))
    }
}

#[cfg(test)]
mod tests;
