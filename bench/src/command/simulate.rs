//! `isotherm simulate`: replays arrivals through models of the platforms.

mod progress;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::BadInput;
use crate::command::cost::{pair, share};
use crate::command::prices::WhichPrices;
use crate::command::watched::{open, open_watched};
use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::bill::Rates;
use crate::model::cost::from;
use crate::model::cost::sample::Sample;
use crate::model::simulate::input::Open;
use crate::model::simulate::{check, policy, replay, report, trace};
use crate::render::simulate::render;
use crate::results::sample::{NamedResult, read_or_sample};
use crate::say;
use crate::workload::Workload;

use self::progress::Progress;
use crate::model::simulate::cost::{self, Prices};
use crate::model::simulate::draw::Sourced;
use crate::model::simulate::from::Measurements;
use crate::model::simulate::policy::{Defaults, Policy, Spec};
use crate::model::simulate::report::{Goals, Named, Report};
use crate::model::simulate::time::Micros;

/// Help that does not fit on the line of a flag.
const EXAMPLES: &str = "\
Examples:
  isotherm simulate --scale 100 --cold-share 1%
  isotherm simulate --scale 10 --from
        with the times of the sample that comes with isotherm
  isotherm simulate --trace logs:access.log.gz --policy lambda --policy workers
  isotherm simulate --trace bursty:2/s,size=20 --p99 200ms \\
        --policy lambda --policy lambda,provisioned=10
  isotherm simulate --trace azure2019:invocations_per_function_md.anon.d01.csv.gz \\
        --init published:nodejs24-x86-128 --json";

const HELP: &str = "\
TRACES
  flights[,spread=1m]                       every departure from New York in January 2013, at its own time
  events:FILE[,spread=TIME]                 the timestamps of events, NDJSON in the order of time
  poisson:10/s                              independent arrivals; rates are /s, /m, /h or /d
  bursty:10/s[,size=10][,within=1s]         bursts of so many on average; the rate is of requests
  burst:500[,within=1m|,decay=4s][,after=TIME]  one burst: even, or most at first; after a time without requests
  logs:FILE[,spread=TIME]                   access logs, Lambda's REPORT lines or OTLP traces: looked at, sorted
  azure2019:FILE[,function=HASH]            Azure Functions 2019, counts per minute
  azure2021:FILE[,function=HASH][,window=1d]  Azure Functions 2021, invocations, sorted by their end within the window
  Files are plain or gzip.
POLICIES
  lambda[,provisioned=N][,ping=TIME[,pings=N][,ping-service=1ms]][,memory=MB][,arch=x86|arm]
  workers[,concurrency=100][,locations=1][,cpu=TIME]
  container[,nodes=N|N..M][,slots=16][,target=0.7][,start=TIMES][,interval=15s][,cooldown=5m][,queue=10000][,node=c7g-large]
  spin, with the options of container; managed, too: Lambda Managed Instances, nodes=3..100
  keda[,pods=0..10][,nodes=1]: pods of Spin that KEDA scales on nodes that stay, with container's other options
  each[,service=TIMES], and lambda and workers[,init=TIMES][,keep-alive=TIMES]
TIMES
  10ms   uniform:5m..7m   exp:10ms   lognormal:p50=10ms/p99=50ms   lognormal:mean=3s/sd=7s   published:rust-al2023-x86-128";

/// The flags of `isotherm simulate`.
#[derive(Args, Clone, Debug)]
#[command(before_help = EXAMPLES, after_help = HELP)]
pub struct Simulate {
    /// The arrivals; see below
    #[arg(long, value_name = "TRACE", default_value = "flights")]
    trace: trace::Spec,
    /// So many times as many arrivals
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
    scale: f64,
    /// Only the arrivals of so long; what is generated lasts so long, without it a day
    #[arg(long, value_name = "TIME", value_parser = Micros::parse)]
    duration: Option<Micros>,
    /// A platform and how it is run, see below; may be given again
    #[arg(long, value_name = "POLICY")]
    policy: Vec<Spec>,
    /// How long a request takes once an instance has it [without it: log-normal, p50 10 ms, p99 50 ms, or as the trace says]
    #[arg(long, value_name = "TIMES", value_parser = Sourced::parse)]
    service: Option<Sourced>,
    /// How long an instance of Lambda takes to start [without it: published:rust-al2023-x86-128]
    #[arg(long, value_name = "TIMES", value_parser = Sourced::parse)]
    init: Option<Sourced>,
    /// How long an idle instance of Lambda stays [without it: 10m]
    #[arg(long, value_name = "TIMES", value_parser = Sourced::parse)]
    keep_alive: Option<Sourced>,
    /// Service and init times, and CPU time, as `isotherm compare` measured them; without a file, those of the sample
    #[arg(long, value_name = "RESULT.JSON")]
    from: Option<Option<PathBuf>>,
    /// Name the cheapest policy whose 99th percentile is at most this
    #[arg(long, value_name = "TIME", value_parser = Micros::parse)]
    p99: Option<Micros>,
    /// Name the cheapest policy with at most this share of cold requests, such as 1%
    #[arg(long, value_name = "SHARE", value_parser = share)]
    cold_share: Option<f64>,
    /// Count Lambda's free tier
    #[arg(long)]
    free_tier: bool,
    /// Another value for something that costs rest on, as `isotherm cost` names it. May be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    assume: Vec<(String, f64)>,
    #[command(flatten)]
    book: WhichPrices,
    /// Decides all that is random: the same flags and seed give the same output
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// As JSON, by `isotherm schema simulate`
    #[arg(long)]
    json: bool,
}

fn factor(text: &str) -> Result<f64> {
    let factor = text.parse().ok().filter(|factor| *factor > 0.0 && *factor <= 1e6);
    factor.with_context(|| format!("{text:?} is not a number above 0 and up to 1000000"))
}

/// Runs `isotherm simulate`.
///
/// # Errors
/// Fails if a trace, a price book or a result can't be used.
pub fn simulate(flags: &Simulate) -> Result<ExitCode> {
    say(&simulated(flags)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The output of `isotherm simulate`.
///
/// # Errors
/// Fails as [`simulate`] does.
pub fn simulated(flags: &Simulate) -> Result<String> {
    let report = run(flags).map_err(BadInput)?;
    Ok(if flags.json { serde_json::to_string(&report)? + "\n" } else { render(&report) })
}

fn run(flags: &Simulate) -> Result<Report> {
    let book = flags.book.read()?;
    let rates = Rates { book: &book, on: flags.book.day(), free_tier: flags.free_tier };
    let mut assumed = Assumptions::read()?;
    let measured = match &flags.from {
        Some(from) => {
            let NamedResult { result, name } = read_or_sample(from.as_deref())?;
            from::assume(&result, &name, &mut assumed, from::Of::Value)?;
            Measurements::in_result(&result, &name)?
        }
        None => Measurements::default(),
    };
    let defaults = Defaults {
        service: flags.service.clone(),
        init: flags.init.clone(),
        keep_alive: flags.keep_alive.clone(),
        measured,
        trace_has_service: false,
    };
    flags.assume.iter().try_for_each(|(name, value)| assumed.set(name, *value, "--assume"))?;
    replayed(&Replay {
        trace: &flags.trace,
        named: Named { trace: flags.trace.text(), scale: flags.scale, seed: flags.seed },
        duration: flags.duration,
        policies: &flags.policy,
        defaults: &defaults,
        goals: Goals { p99_ms: flags.p99.map(Micros::ms), cold_share: flags.cold_share },
        rates: &rates,
        assumed: &assumed,
        events_per_request: 1.0,
    })
}

/// What is replayed and how it is priced.
pub(crate) struct Replay<'a> {
    pub trace: &'a trace::Spec,
    /// The name of the trace, its scale and the seed.
    pub named: Named<'a>,
    pub duration: Option<Micros>,
    /// The policies; without any, the default ones.
    pub policies: &'a [Spec],
    pub defaults: &'a Defaults,
    pub goals: Goals,
    pub rates: &'a Rates<'a>,
    pub assumed: &'a Assumptions,
    pub events_per_request: f64,
}

/// Replays a trace through all policies and prices them.
///
/// # Errors
/// Fails if the trace or the price book can't be used.
pub(crate) fn replayed(replay: &Replay<'_>) -> Result<Report> {
    let Named { scale, seed, .. } = replay.named;
    let opener: Open<'_> = if replay.trace.log().is_some() { &|path| open_watched("simulate", path) } else { &open };
    let trace = replay.trace.open(scale, replay.duration, seed, opener)?;
    for note in &trace.notes {
        eprintln!("simulate: {note}");
    }
    let defaults = Defaults { trace_has_service: trace.has_service, ..replay.defaults.clone() };
    let mut policies = policies(replay.policies, &defaults)?;
    let node = cost::node(policies.iter());
    let observed = trace.observed.clone();
    policies.extend(observed.as_ref().map(check::policy));
    let mut progress = Progress::start(trace.end);
    let mut outcome = replay::replay(trace, policies, seed, &mut |requests, at| progress.tell(requests, at))?;
    // The policy that is checked is none that was asked for.
    let checked = observed.and_then(|observed| Some(check::check(observed, &outcome.policies.pop()?)));
    let loaded = Workload::load("flights", None)?;
    let sample = Sample::of(&loaded.events, &loaded.source, None)?;
    let prices = Prices {
        rates: replay.rates,
        assumed: replay.assumed,
        sample: &sample,
        events_per_request: replay.events_per_request,
    };
    let report = report::report(&outcome, &replay.named, replay.goals, &prices, &node)?;
    Ok(Report { check: checked, ..report })
}

/// The given policies, or the default ones if none was given.
fn policies(given: &[Spec], defaults: &Defaults) -> Result<Vec<Policy>> {
    let own: Vec<Spec> = policy::DEFAULT.iter().map(|text| text.parse()).collect::<Result<_>>()?;
    let specs = if given.is_empty() { &own } else { given };
    for (nth, spec) in specs.iter().enumerate() {
        ensure!(!specs[..nth].contains(spec), "the policy {:?} is given twice", spec.text());
    }
    specs.iter().map(|spec| spec.resolve(defaults)).collect()
}
