//! `isotherm cost`: computes the monthly cost on each platform without running anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use isotherm_core::{Config, ExpiryOrder, Service as Configured};

use crate::BadInput;
use crate::command::prices::WhichPrices;
use crate::command::watched::{open, open_watched};
use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::bill::{Bill, Rates};
use crate::model::cost::break_even::{self, BreakEven};
use crate::model::cost::design::Design;
use crate::model::cost::given::{Given, Load};
use crate::model::cost::quote::{self, Alternative, AtEqualAvailability, Priced, Quote};
use crate::model::cost::sample::Sample;
use crate::model::cost::usage::Service;
use crate::model::cost::{from, given, limits};
use crate::model::prices::Book;
use crate::model::production::Production;
use crate::render::cost::text;
use crate::results::sample::{NamedResult, read_or_sample};
use crate::say;
use crate::workload::Workload;

const EXAMPLES: &str = "\
Examples:
  isotherm cost --requests 10000000
  isotherm cost --platform lambda --platform baseline --requests 1000000 --free-tier off
  isotherm cost --platform workers --requests 15000000 --cpu-ms 7 \\
        --service plan --service function
  isotherm cost --from
        what the sample metered that comes with isotherm
  isotherm cost --from target/compare/TIME/result.json --json
  isotherm cost --from lines.ndjson
        a month of your service, by its own lines
  isotherm cost --leave --from lambda --to workers --events 30000000 --stay
        what `isotherm move` costs";

/// The flags of `isotherm cost`.
#[derive(Args, Clone, Debug)]
#[command(before_help = EXAMPLES)]
pub struct Cost {
    /// What is priced; may be given again; without it, all
    #[arg(long = "platform", value_name = "NAME", value_enum)]
    designs: Vec<Design>,
    /// Requests a month; without it 10,000,000, or as in the lines of --from, or with --leave as many as bring its events
    #[arg(long, value_name = "N", value_parser = amount)]
    requests: Option<f64>,
    /// Events in each request; without it 1, or as in what --from names
    #[arg(long, value_name = "N", value_parser = amount)]
    events_per_request: Option<f64>,
    /// What Lambda bills of a request beside init: wall time, the store's included; without it, CPU time and the store's latency
    #[arg(long, value_name = "MS", value_parser = amount)]
    duration_ms: Option<f64>,
    /// Memory of Lambda's functions
    #[arg(long, value_name = "MB", value_parser = memory)]
    memory_mb: Option<f64>,
    /// CPU time of a request on Lambda and on Workers
    #[arg(long, value_name = "MS", value_parser = amount)]
    cpu_ms: Option<f64>,
    /// Lambda's environments with provisioned concurrency
    #[arg(long, value_name = "N", default_value = "0", value_parser = amount)]
    provisioned: f64,
    /// The processor of Lambda's functions
    #[arg(long, default_value = given::ARCH, value_parser = ["x86", "arm"])]
    arch: String,
    /// The machine that spin, native and managed run on: the end of a price's id
    #[arg(long, value_name = "NAME", default_value = given::NODE)]
    node: String,
    /// How many of them; without it, as many as the requests take
    #[arg(long, value_name = "N", value_parser = nodes)]
    nodes: Option<f64>,
    /// The busiest hour's requests to the mean; nodes are for the busiest [without it: 3]
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    peak_to_mean: Option<f64>,
    /// What the busiest hour may take of each machine [without it: 0.7]
    #[arg(long, value_name = "SHARE", value_parser = utilisation)]
    target_utilisation: Option<f64>,
    /// Only this part of the path; may be given again; without it, all
    #[arg(long = "service", value_name = "SERVICE", value_parser = service())]
    services: Vec<Part>,
    /// Whether units that cost nothing in a free tier are taken off; those that come with a plan always are
    #[arg(long, default_value = "on", value_parser = ["on", "off"])]
    free_tier: String,
    /// Prices what this result of `isotherm compare` metered, as often as a month has its events; without a file, the sample.
    /// Or the lines of a service: a month as busy as they are
    /// With --leave, the platform to leave
    #[arg(long, value_name = "FILE or NAME")]
    from: Option<Option<PathBuf>>,
    /// Your own events instead of the flights: NDJSON, plain or gzip. With --leave, how many events are moved
    #[arg(long, value_name = "FILE or N")]
    events: Option<PathBuf>,
    /// Your configuration, JSON: each event is kept for as long as its `retention` says
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another value for something that the table rests on; the table names them. May be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    assume: Vec<(String, f64)>,
    /// Your own price in the place of the book's, such as akamai-request=0.50, for as many units as the book's. May be given again
    #[arg(long, value_name = "ID=USD", value_parser = pair)]
    price: Vec<(String, f64)>,
    #[command(flatten)]
    leave: leave::Flags,
    #[command(flatten)]
    book: WhichPrices,
    /// As JSON: `isotherm schema cost`, or with --leave `isotherm schema leave`
    #[arg(long)]
    json: bool,
}

/// Reads an amount.
pub(crate) fn amount(text: &str) -> Result<f64, String> {
    let amount = text.replace('_', "").parse::<f64>().map_err(|_no_number| "is no number".to_owned())?;
    if (0.0..=MOST).contains(&amount) { Ok(amount) } else { Err(format!("must be from 0 to {MOST}")) }
}

/// Requests a month if nothing says how many.
const REQUESTS: f64 = 10e6;

/// The largest amount that a flag takes. No month has more of anything, and no figure made of such amounts overflows.
const MOST: f64 = 1e15;

/// Memory that a function of Lambda can have, in MB.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
fn memory(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(memory @ 128..=10_240) => Ok(f64::from(memory)),
        _ => Err("must be a whole number from 128 to 10240".to_owned()),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().ok().filter(|factor| (1.0..=1e6).contains(factor));
    factor.ok_or_else(|| "must be from 1 to 1000000".to_owned())
}

/// Reads a share, such as 1%.
pub(crate) fn share(text: &str) -> Result<f64> {
    let (number, of) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|number| number / of).filter(|share| (0.0..=1.0).contains(share));
    share.with_context(|| format!("{text:?} is no share, such as 1% or 0.01"))
}

/// Reads a share of a machine.
pub(crate) fn utilisation(text: &str) -> Result<f64, String> {
    let share = share(text).ok().filter(|share| *share >= 0.01);
    share.ok_or_else(|| "must be from 0.01 to 1, or from 1% to 100%".to_owned())
}

fn nodes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(nodes @ 1..=1_000_000) => Ok(f64::from(nodes)),
        _ => Err("must be a whole number from 1 to 1000000".to_owned()),
    }
}

/// The value of `--service`: one service, or all.
#[derive(Clone, Copy, Debug)]
struct Part(Option<Service>);

fn service() -> impl TypedValueParser<Value = Part> {
    let names = Service::value_variants().iter().map(|service| service.name());
    PossibleValuesParser::new(names.chain(["all"])).map(|name| Part(Service::from_str(&name, false).ok()))
}

/// Reads `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), amount(value)?))
}

/// Prints the cost of a month.
///
/// # Errors
/// Fails if a file can't be read, or if a flag names something that does not exist.
pub fn cost(flags: &Cost) -> Result<ExitCode> {
    if flags.leave.leave {
        return leave::leave(flags);
    }
    let quote = quote(flags).map_err(BadInput)?;
    let text = if flags.json { format!("{}\n", serde_json::to_string_pretty(&quote)?) } else { text(&quote) };
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The quote that the flags ask for.
pub(crate) fn quote(flags: &Cost) -> Result<Quote> {
    let book = flags.prices()?;
    let mut assumed = Assumptions::read()?;
    let file = flags.from.as_ref().and_then(Option::as_deref);
    let production = file.map(production).transpose()?.flatten();
    let result = flags.from.as_ref().filter(|_| production.is_none());
    let named = result.map(|file| read_or_sample(file.as_deref())).transpose()?;
    let (mut requests, mut events_per_request) = (REQUESTS, 1.0);
    if let Some(NamedResult { result, name }) = &named {
        from::assume(result, name, &mut assumed, from::Of::Value)?;
        events_per_request = from::events_per_request(result);
    }
    if let Some(production) = &production {
        (requests, events_per_request) = (production.requests, production.events_per_request);
        if let Some(cold_share) = production.cold_share {
            assumed.set("cold-share", cold_share, &production.file)?;
        }
    }
    let (sample, source) = flags.sample(flags.events.as_deref(), &mut assumed)?;
    let load = flags.load(flags.requests.unwrap_or(requests), flags.events_per_request.unwrap_or(events_per_request));
    ensure!(load.events_per_request > 0.0 || load.requests == 0.0, "a request must have events");
    let on = flags.book.day();
    let rates = Rates { book: &book, on, free_tier: flags.free_tier == "on" };
    let given = Given { load: &load, assumed: &assumed, rates: &rates, sample: &sample };

    let services: Vec<Service> = match flags.services.iter().map(|part| part.0).collect::<Option<Vec<_>>>() {
        Some(some) if !some.is_empty() => some,
        _ => Service::ALL.to_vec(),
    };
    let designs = if flags.designs.is_empty() { Design::value_variants() } else { flags.designs.as_slice() };
    let priced = designs.iter().map(|design| {
        let pricing = || format!("cannot price {}", design.name());
        let metered = match &named {
            Some(named) => from::metered(named, *design, &given).with_context(pricing)?,
            None => None,
        };
        let (usage, about) = match metered {
            Some(metered) => metered,
            None => (design.usage(&given).with_context(pricing)?, design.about().to_owned()),
        };
        let bill = Bill::of(&usage, &services, &rates)?;
        ensure!(bill.usd().is_finite(), "{} has no price for these figures: one that divides is 0", design.name());
        let impossible = limits::exceeded(*design, &given, &usage)?;
        Ok(Priced {
            equal_availability: AtEqualAvailability::of(*design, &given, &usage, &services)?,
            beside: Alternative::all(*design, &given, &usage, &services)?,
            ..Priced::new(*design, about, bill, load.events(), impossible, assumed.take_used())
        })
    });
    let priced = priced.collect::<Result<Vec<_>>>()?;
    let by_use = designs.iter().filter(|design| design.is_paid_by_use());
    let break_even = by_use.map(|design| {
        let answer = break_even::with_a_node(*design, &given)?;
        Ok(BreakEven { policy: design.name().to_owned(), node: load.node.clone(), answer })
    });
    let break_even = break_even.collect::<Result<_>>()?;
    let paired: Vec<Design> = designs.iter().copied().filter(|design| design.is_paired()).collect();
    let pairs = break_even::pairs(&paired, &given)?;
    Ok(Quote {
        schema: quote::SCHEMA.to_owned(),
        on: on.to_string(),
        checked: book.checked()?.to_string(),
        free_tier: rates.free_tier,
        requests: load.requests,
        events_per_request: load.events_per_request,
        events: source,
        production,
        designs: priced,
        break_even,
        pairs,
    })
}

/// What the lines in this file say; `None` if it has no lines of a service.
fn production(file: &Path) -> Result<Option<Production>> {
    if Production::is_in(open(file)?) { Production::read(open_watched("cost", file)?).map(Some) } else { Ok(None) }
}

/// The service that this file configures.
pub(crate) fn configured(file: &Path) -> Result<Configured> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Configured::new(Config::parse(&text).with_context(|| format!("{} is no configuration", file.display()))?))
}

impl Cost {
    /// The price book, with the user's own prices.
    fn prices(&self) -> Result<Book> {
        let mut book = self.book.read()?;
        self.price.iter().try_for_each(|(id, usd)| book.set(id, *usd))?;
        Ok(book)
    }

    /// The events that are weighed and folded, and the name of their file; and what the flags assume.
    fn sample(&self, events: Option<&Path>, assumed: &mut Assumptions) -> Result<(Arc<Sample>, String)> {
        let configured = self.config.as_deref().map(configured).transpose()?;
        let loaded = Workload::load("flights", events)?;
        let sample = Sample::of(&loaded.events, &loaded.source, configured.as_ref())?;
        if let Some(configured) = &configured {
            assumed.set("event-days", sample.kept_days, "--config")?;
            if configured.expiry_order() == ExpiryOrder::Time {
                let rows = 2.0 * assumed.value("workers-block-rows")?;
                assumed.set("workers-block-rows", rows, "--config")?;
            }
            drop(assumed.take_used());
        }
        self.assume(assumed)?;
        Ok((sample, loaded.source))
    }

    /// Flags take precedence over a result, and a result over the defaults.
    fn assume(&self, assumed: &mut Assumptions) -> Result<()> {
        if let Some(memory) = self.memory_mb {
            assumed.set("lambda-memory-mb", memory, "--memory-mb")?;
        }
        if let Some(peak) = self.peak_to_mean {
            assumed.set("peak-to-mean", peak, "--peak-to-mean")?;
        }
        if let Some(share) = self.target_utilisation {
            assumed.set("target-utilisation", share, "--target-utilisation")?;
        }
        self.assume.iter().try_for_each(|(name, value)| assumed.set(name, *value, "--assume"))
    }

    fn load(&self, requests: f64, events_per_request: f64) -> Load {
        Load {
            requests,
            events_per_request,
            duration_ms: self.duration_ms,
            cpu_ms: self.cpu_ms,
            provisioned: self.provisioned,
            arch: self.arch.clone(),
            node: self.node.clone(),
            nodes: self.nodes,
        }
    }
}

mod leave;
#[cfg(test)]
pub(crate) mod tests;
