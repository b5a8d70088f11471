//! The monthly cost of a policy by the price book, and the load from which an always-on container is cheaper.
//!
//! Only the differences between policies are priced: instances and requests. Gateways, stores, queues and logs are the
//! same under all of them. A month has 730 hours, and the usage of the trace is assumed to continue for a month.

use anyhow::{Context, Result};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::prices::Book;
use crate::model::simulate::draw::Draw;
use crate::model::simulate::policy::{Model, Policy, Pricing};
use crate::model::simulate::replay::Replayed;
use crate::model::simulate::time::Micros;

/// A month, in seconds.
const MONTH: f64 = 730.0 * 3600.0;

/// The search for a break-even stops at this number of nodes.
const MOST_NODES: u32 = 10_000;

/// The price book and the day whose prices hold.
pub(crate) struct Prices<'b> {
    pub book: &'b Book,
    pub on: Date,
    /// Whether the free tier counts. Units that a plan includes always count.
    pub free_tier: bool,
}

/// The monthly usage of one price.
#[derive(Clone, Debug, PartialEq)]
struct Usage {
    price: String,
    /// Units that do not depend on the load.
    fixed: f64,
    /// Units at the trace's own load, proportional to the load.
    variable: f64,
}

/// The monthly usage of a price and its cost.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Line {
    /// The price's id in the price book.
    pub price: String,
    /// Units per month.
    pub units: f64,
    /// USD per month.
    pub usd: f64,
}

/// The cost of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Cost {
    /// USD per month.
    pub usd_month: f64,
    /// USD per million requests at this load; absent if no request was answered.
    pub usd_per_million: Option<f64>,
    /// The parts of the cost.
    pub lines: Vec<Line>,
}

/// The load at which a policy costs as much as containers.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct BreakEven {
    /// The policy's name.
    pub policy: String,
    /// The node that the containers run on, by its name in the price book.
    pub node: String,
    /// The answer for this policy.
    #[serde(flatten)]
    pub answer: Answer,
}

/// The load from which containers are cheaper.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// At any load: even without a request the policy costs more.
    Always,
    /// From this load on.
    From {
        /// Requests per month.
        requests_month: f64,
        /// The same load as a multiple of the trace's load, as `--scale` takes it.
        scale: f64,
        /// Number of nodes that hold this load in its busiest time.
        nodes: u32,
        /// What both cost at this load, USD per month.
        usd_month: f64,
    },
    /// At no load that 10,000 nodes can hold.
    Never,
}

fn usage(replayed: &Replayed, span: Micros) -> Vec<Usage> {
    let to_month = MONTH / span.seconds();
    let (requests, billed) = (replayed.record.requests as f64 * to_month, replayed.billed);
    let line = |price: &str, fixed: f64, variable: f64| Usage { price: price.to_owned(), fixed, variable };
    match &replayed.policy.pricing {
        Pricing::Lambda { memory_mb, arch, provisioned } => {
            let gb = f64::from(*memory_mb) / 1024.0;
            let gb_seconds = |ms: u64| ms as f64 / 1e3 * gb * to_month;
            let mut lines = vec![
                line("lambda-request", billed.pings as f64 * to_month, requests),
                line(&format!("lambda-duration-{arch}"), gb_seconds(billed.ping_ms), gb_seconds(billed.on_demand_ms)),
            ];
            if *provisioned > 0 {
                let held = f64::from(*provisioned) * gb * MONTH;
                lines.push(line(&format!("lambda-provisioned-{arch}"), held, 0.0));
                let under = gb_seconds(billed.provisioned_ms);
                lines.push(line(&format!("lambda-provisioned-duration-{arch}"), 0.0, under));
            }
            lines
        }
        Pricing::Workers { cpu_ms } => vec![
            line("workers-plan", 1.0, 0.0),
            line("workers-request", 0.0, requests),
            line("workers-cpu", 0.0, requests * cpu_ms),
        ],
        Pricing::Nodes { price } => {
            vec![line(price, 0.0, replayed.record.timeline.instance_seconds() / 3600.0 * to_month)]
        }
    }
}

impl Prices<'_> {
    fn line(&self, usage: &Usage, scale: f64) -> Result<Line> {
        let price = self.book.price(&usage.price, self.on)?;
        let units = usage.fixed + usage.variable * scale;
        let usd = price.usd(units, self.free_tier);
        Ok(Line { price: usage.price.clone(), units, usd })
    }

    /// The monthly cost of a policy.
    ///
    /// # Errors
    /// Fails if the book has no price for it.
    pub(crate) fn cost(&self, replayed: &Replayed, span: Micros) -> Result<Cost> {
        let lines = usage(replayed, span).iter().map(|usage| self.line(usage, 1.0)).collect::<Result<Vec<_>>>()?;
        let usd_month = lines.iter().map(|line| line.usd).sum::<f64>();
        let requests = replayed.record.requests as f64 * MONTH / span.seconds();
        let usd_per_million = (requests > 0.0).then(|| usd_month / requests * 1e6);
        Ok(Cost { usd_month, usd_per_million, lines })
    }

    /// The smallest load from which always-on containers cost no more than a policy; `None` if `container` is not a
    /// container.
    ///
    /// The policy's usage is assumed to grow in proportion to the load of this trace, except for provisioned instances,
    /// pings and the plan. Its cost follows from the price book's tiers at that usage. The number of containers is what
    /// holds the busiest bin of the timeline at the target utilisation, for the whole month. That bin has `busiest`
    /// requests per second at a scale of 1. Bisection finds the load at which n containers cost the same, for the first
    /// n that can hold it.
    ///
    /// # Errors
    /// Fails if the book has no price.
    pub(crate) fn break_even(
        &self,
        policy: &Replayed,
        container: &Policy,
        span: Micros,
        busiest: f64,
    ) -> Result<Option<BreakEven>> {
        let (Model::Containers(rules), Pricing::Nodes { price }) = (&container.model, &container.pricing) else {
            return Ok(None);
        };
        let hourly = self.book.price(price, self.on).with_context(|| container.name.clone())?;
        let usage = usage(policy, span);
        let cost = |scale: f64| -> Result<f64> {
            usage.iter().map(|usage| self.line(usage, scale).map(|line| line.usd)).sum()
        };
        let of_nodes = |nodes: u32| hourly.usd(f64::from(nodes) * MONTH / 3600.0, false);
        let service_us = container.service.as_ref().map_or(policy.mean_service.0 as f64, Draw::mean);
        let of_one = f64::from(rules.slots) * rules.target / (busiest * service_us.max(1.0) / 1e6);
        let requests = policy.record.requests as f64 * MONTH / span.seconds();
        let answer = if cost(0.0)? >= of_nodes(1) {
            Answer::Always
        } else if let Some((scale, nodes)) = crossing(cost, of_nodes, of_one)? {
            Answer::From { requests_month: scale * requests, scale, nodes, usd_month: of_nodes(nodes) }
        } else {
            Answer::Never
        };
        let node = price.trim_start_matches("node-").to_owned();
        Ok(Some(BreakEven { policy: policy.policy.name.clone(), node, answer }))
    }
}

/// The smallest load at which `cost` reaches the cost of the nodes that hold it, and the number of these nodes. Each
/// holds `of_one`.
fn crossing(
    cost: impl Fn(f64) -> Result<f64>,
    of_nodes: impl Fn(u32) -> f64,
    of_one: f64,
) -> Result<Option<(f64, u32)>> {
    for nodes in 1..=MOST_NODES {
        let (mut low, mut high) = (f64::from(nodes - 1) * of_one, f64::from(nodes) * of_one);
        if cost(high)? < of_nodes(nodes) {
            continue;
        }
        // This is far more steps than a number has digits.
        for _ in 0..100 {
            let middle = f64::midpoint(low, high);
            if cost(middle)? < of_nodes(nodes) { low = middle } else { high = middle }
        }
        return Ok(Some((high, nodes)));
    }
    Ok(None)
}
