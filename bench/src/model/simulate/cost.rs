//! The monthly cost of a policy, and what it can't carry.
//!
//! A policy is priced as the design of its platform (`model/cost`), the whole path of an event. Only the function's part
//! is what the replay counted: billed time and nodes. The usage of the trace is assumed to continue for a month.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::bill::{Bill, Line, Rates};
use crate::model::cost::break_even::{self, BreakEven, Pair};
use crate::model::cost::design::Design;
use crate::model::cost::given::{ARCH, Given, HOURS, Load, NODE, SECONDS};
use crate::model::cost::limits::{self, Exceeded};
use crate::model::cost::quote::AtEqualAvailability;
use crate::model::cost::sample::Sample;
use crate::model::cost::usage::{Service, Usage};
use crate::model::cost::{credits, managed};
use crate::model::simulate::policy::{Model, Policy, Pricing};
use crate::model::simulate::replay::Replayed;
use crate::model::simulate::time::Micros;
use crate::words::amount;

/// Everything that costs depend on besides the replay.
pub(crate) struct Prices<'a> {
    pub rates: &'a Rates<'a>,
    pub assumed: &'a Assumptions,
    pub sample: &'a Sample,
    /// Events of each request.
    pub events_per_request: f64,
}

/// The cost of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Cost {
    /// USD per month.
    pub usd_month: f64,
    /// USD per million requests at this load; absent if no request was answered.
    pub usd_per_million: Option<f64>,
    /// The lines of the bill.
    pub lines: Vec<Line>,
    /// The same at the availability that functions have by themselves; null for policies that have it.
    pub equal_availability: Option<AtEqualAvailability>,
}

/// What people would take instead, for the same traffic.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Instead {
    /// The design.
    pub design: Design,
    /// The path of an event.
    pub about: String,
    /// What it lacks.
    pub lacks: String,
    /// USD per month.
    pub usd_month: f64,
    /// The limits that it exceeds. If there is one, it can't carry the load.
    pub impossible: Vec<Exceeded>,
}

/// Assumptions with the peak of a trace: so many requests a month, and so many a second in the busiest time.
fn with_peak(mut assumed: Assumptions, requests: f64, busiest: f64) -> Result<Assumptions> {
    if requests > 0.0 {
        assumed.set("peak-to-mean", (busiest * SECONDS / requests).max(1.0), "the trace")?;
    }
    Ok(assumed)
}

impl Prices<'_> {
    /// The monthly cost of a policy, and the limits that it exceeds. `busiest` is the number of requests per second in
    /// the busiest bin of the timeline.
    ///
    /// # Errors
    /// Fails if the book has no price for it.
    pub(crate) fn cost(&self, replayed: &Replayed, span: Micros, busiest: f64) -> Result<(Cost, Vec<Exceeded>)> {
        let policy = &replayed.policy;
        let requests = replayed.record.requests as f64 * SECONDS / span.seconds();
        let duration_ms = Some(replayed.mean_service.ms());
        let load = Load { requests, duration_ms, ..self.load(policy) };
        let assumed = with_peak(self.assumptions(policy)?, requests, busiest)?;
        let given = Given { load: &load, assumed: &assumed, rates: self.rates, sample: self.sample };
        let design = policy.design();
        let usage = replayed_usage(design.usage(&given)?, replayed, span, &given)?;
        let bill = Bill::of(&usage, &Service::ALL, self.rates)?;
        let mut impossible = limits::exceeded(design, &given, &usage)?;
        impossible.extend(environments(replayed, &given)?);
        let usd_month = bill.usd();
        let equal_availability = AtEqualAvailability::of(design, &given, &usage, &Service::ALL)?;
        let usd_per_million = (requests > 0.0).then(|| usd_month / requests * 1e6);
        Ok((Cost { usd_month, usd_per_million, lines: bill.lines, equal_availability }, impossible))
    }

    /// What people would take instead, for so many requests a month, with so many a second in the busiest time.
    ///
    /// # Errors
    /// Fails if the book has no price.
    pub(crate) fn instead(&self, requests: f64, busiest: f64) -> Result<Vec<Instead>> {
        let load = Load { requests, events_per_request: self.events_per_request, ..Load::of_run(0.0) };
        let assumed = with_peak(self.assumed.clone(), requests, busiest)?;
        let given = Given { load: &load, assumed: &assumed, rates: self.rates, sample: self.sample };
        let designs = Design::value_variants().iter().filter(|design| design.is_instead());
        let instead = designs.map(|design| {
            let usage = design.usage(&given)?;
            Ok(Instead {
                design: *design,
                about: design.about().to_owned(),
                lacks: design.lacks().unwrap_or_default().to_owned(),
                usd_month: Bill::of(&usage, &Service::ALL, self.rates)?.usd(),
                impossible: limits::exceeded(*design, &given, &usage)?,
            })
        });
        instead.collect()
    }

    /// Where the choice between every two of these policies' designs flips, as `isotherm cost` has it.
    ///
    /// # Errors
    /// Fails if the book has no price.
    pub(crate) fn pairs<'p>(&self, policies: impl Iterator<Item = &'p Policy>, node: &str) -> Result<Vec<Pair>> {
        let mut designs: Vec<Design> = Vec::new();
        for design in policies.map(Policy::design) {
            if !designs.contains(&design) {
                designs.push(design);
            }
        }
        let load = Load { events_per_request: self.events_per_request, node: node.to_owned(), ..Load::of_run(0.0) };
        let given = Given { load: &load, assumed: self.assumed, rates: self.rates, sample: self.sample };
        break_even::pairs(&designs, &given)
    }

    /// The load from which a node costs no more than a policy, by the same assumptions as `isotherm cost`. `None` for a
    /// policy of nodes.
    ///
    /// # Errors
    /// Fails if the book has no price.
    pub(crate) fn break_even(&self, replayed: &Replayed, node: &str) -> Result<Option<BreakEven>> {
        let policy = &replayed.policy;
        if !policy.design().is_paid_by_use() {
            return Ok(None);
        }
        let duration_ms = policy.has_own_service().then(|| replayed.mean_service.ms());
        let load = Load { duration_ms, node: node.to_owned(), ..self.load(policy) };
        let assumed = self.assumptions(policy)?;
        let given = Given { load: &load, assumed: &assumed, rates: self.rates, sample: self.sample };
        let answer = break_even::with_a_node(policy.design(), &given)?;
        Ok(Some(BreakEven { policy: policy.name.clone(), node: node.to_owned(), answer }))
    }

    /// The load of a policy, without its requests.
    fn load(&self, policy: &Policy) -> Load {
        let mut load = Load { events_per_request: self.events_per_request, ..Load::of_run(0.0) };
        match &policy.pricing {
            Pricing::Lambda { arch, provisioned, .. } => {
                load.arch = arch.clone().unwrap_or_else(|| ARCH.to_owned());
                load.provisioned = f64::from(*provisioned);
            }
            Pricing::Workers { cpu_ms } => load.cpu_ms = *cpu_ms,
            Pricing::Nodes { node, .. } => load.node.clone_from(node),
        }
        if let (Model::Containers(rules), Pricing::Nodes { paid, .. }) = (&policy.model, &policy.pricing) {
            load.nodes = Some(f64::from(paid.unwrap_or(rules.most)));
        }
        load
    }

    fn assumptions(&self, policy: &Policy) -> Result<Assumptions> {
        let mut assumed = self.assumed.clone();
        if let Pricing::Lambda { memory_mb: Some(memory), .. } = policy.pricing {
            assumed.set("lambda-memory-mb", f64::from(memory), &policy.name)?;
        }
        Ok(assumed)
    }
}

/// The node that policies are compared with: that of the first one with the plain server, else of the first one with
/// Spin, else the default one.
pub(crate) fn node<'p>(policies: impl Iterator<Item = &'p Policy> + Clone) -> String {
    let first = |wanted| {
        policies.clone().find_map(|policy| match &policy.pricing {
            Pricing::Nodes { design, node, .. } if *design == wanted => Some(node.clone()),
            _ => None,
        })
    };
    first(Design::Native).or_else(|| first(Design::Spin)).unwrap_or_else(|| NODE.to_owned())
}

/// The design's usage, in which the function has what the replay counted.
fn replayed_usage(mut usage: Usage, replayed: &Replayed, span: Micros, given: &Given<'_>) -> Result<Usage> {
    let to_month = SECONDS / span.seconds();
    let (load, billed) = (given.load, replayed.billed);
    let mut add: Vec<(String, f64)> = Vec::new();
    match &replayed.policy.pricing {
        // Workers bill requests and CPU time, which do not depend on when requests come.
        Pricing::Workers { .. } => return Ok(usage),
        Pricing::Lambda { provisioned, .. } => {
            let gb = given.assumed("lambda-memory-mb")? / 1024.0;
            let gb_seconds = |ms: u64| ms as f64 / 1e3 * gb * to_month;
            add.push(("lambda-request".to_owned(), load.requests + billed.pings as f64 * to_month));
            add.push((format!("lambda-duration-{}", load.arch), gb_seconds(billed.on_demand_ms + billed.ping_ms)));
            if *provisioned > 0 {
                add.push((format!("lambda-provisioned-{}", load.arch), load.provisioned * gb * SECONDS));
                let under = format!("lambda-provisioned-duration-{}", load.arch);
                add.push((under, gb_seconds(billed.provisioned_ms)));
            }
        }
        Pricing::Nodes { design, paid, .. } => {
            let there = replayed.record.timeline.instance_seconds() / 3600.0 * to_month;
            let hours = paid.map_or(there, |paid| f64::from(paid) * HOURS);
            if *design == Design::Managed {
                // The replay knows how many requests are there at once, and not their CPU time.
                let mut usage = usage.without(Service::Function);
                managed::function(given, hours.max(managed::least_hours(given)?), &mut usage)?;
                return Ok(usage);
            }
            let id = load.node_id();
            add.push((id.clone(), hours));
            add.extend(beyond_credits(*design, hours / HOURS, replayed, given)?);
            if paid.is_some() {
                // Pods that may all be gone keep their events in a server's database.
                usage.add(Service::Plan, "eks-cluster", HOURS);
                usage.at_least(Service::Store, &id, HOURS);
            }
        }
    }
    let mut usage = usage.without(Service::Function);
    for (price, units) in add {
        usage.add(Service::Function, &price, units);
    }
    Ok(usage)
}

/// The vCPU-hours of a month that so many burstable nodes use beyond their credits: hour by hour, as the requests of the
/// trace came.
///
/// # Errors
/// Fails if nodes come and go. Each has credits of its own, and the mean number of nodes says too little of them.
fn beyond_credits(design: Design, nodes: f64, replayed: &Replayed, given: &Given<'_>) -> Result<Option<(String, f64)>> {
    let machine = given.machine()?;
    let Some(price) = machine.surplus.clone().filter(|_| nodes > 0.0) else { return Ok(None) };
    if let (Model::Containers(rules), Pricing::Nodes { paid: None, .. }) =
        (&replayed.policy.model, &replayed.policy.pricing)
    {
        ensure!(
            rules.least == rules.most,
            "{}: a {} is burstable, and the credits of nodes that come and go can't be told: give one number of nodes, \
             such as nodes={}, or another node",
            replayed.policy.name,
            given.load.node,
            rules.most
        );
    }
    let of_one = credits::vcpus_of_a_request(given, &format!("{}-requests-per-second", design.name()))?;
    let (timeline, width) = (&replayed.record.timeline, replayed.record.timeline.width().seconds());
    let used: Vec<f64> = timeline.bins().iter().map(|bin| bin.requests as f64 / width * of_one / nodes).collect();
    let beyond = nodes * credits::billed(machine, &used, width / 3600.0, HOURS);
    Ok((beyond > 0.0).then_some((price, beyond)))
}

/// The longest time in which Lambda lets a function have so many more environments as an account has at once, in
/// seconds.
const SCALING: f64 = 10.0;

/// The environments that the replay needed at once, and how fast they had to start.
fn environments(replayed: &Replayed, given: &Given<'_>) -> Result<Option<Exceeded>> {
    if !matches!(replayed.policy.pricing, Pricing::Lambda { .. }) {
        return Ok(None);
    }
    let most = given.assumed("lambda-concurrency")?;
    let (timeline, held) = (&replayed.record.timeline, given.load.provisioned);
    let peak = timeline.peak() as f64;
    if peak > most {
        let problem = format!(
            "Lambda runs {} environments of an account at once, and the trace needs {}",
            amount(most),
            amount(peak)
        );
        let remedy = format!("a quota of {} environments, for which AWS has to be asked", amount(peak));
        return Ok(Some(Exceeded { problem, remedy }));
    }
    let width = timeline.width().seconds();
    if width > SCALING {
        return Ok(None);
    }
    // The rate is 1,000 in 10 s whatever the quota is.
    let within = (SCALING / width) as usize;
    let peaks: Vec<f64> = timeline.bins().iter().map(|bin| bin.peak as f64).collect();
    let before = |at: usize| at.checked_sub(within).and_then(|at| peaks.get(at)).copied().unwrap_or(held);
    let steepest = peaks.iter().enumerate().map(|(at, peak)| peak - before(at)).fold(0.0, f64::max);
    Ok((steepest > SCALED).then(|| Exceeded {
        problem: format!(
            "Lambda starts {} environments of a function in 10 s, and the trace needs {}",
            amount(SCALED),
            amount(steepest)
        ),
        remedy: format!("{} provisioned environments, or a queue before the function", amount(steepest - SCALED)),
    }))
}

/// Environments that a function can have more of every 10 s.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html>
const SCALED: f64 = 1000.0;
