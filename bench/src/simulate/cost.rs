//! What a policy costs a month by the price book, and from which load on an always-on container is cheaper.
//!
//! Only what differs between policies is priced: instances and requests. Gateways, stores, queues and logs are the same under all of them.
//! A month has 730 hours; what a trace used is taken to go on for a month.

use anyhow::{Context, Result};
use jiff::civil::Date;
use serde::Serialize;

use crate::prices::Book;
use crate::simulate::draw::Draw;
use crate::simulate::policy::{Model, Policy, Pricing};
use crate::simulate::replay::Replayed;
use crate::simulate::time::Micros;

/// A month, in seconds.
const MONTH: f64 = 730.0 * 3600.0;

/// More nodes than these are not looked at for a break-even.
const MOST_NODES: u32 = 10_000;

/// The prices of a day.
pub(super) struct Prices<'b> {
    pub book: &'b Book,
    pub on: Date,
    /// Whether the free tier counts. What a plan includes always does.
    pub free_tier: bool,
}

/// What is used of one price in a month.
#[derive(Clone, Debug, PartialEq)]
struct Usage {
    price: String,
    /// Whatever the load.
    fixed: f64,
    /// At the trace's own load; in proportion to it.
    variable: f64,
}

/// What is used of a price, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Line {
    /// Its id in the price book.
    pub price: String,
    /// Units a month.
    pub units: f64,
    /// A month.
    pub usd: f64,
}

/// What a policy costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Cost {
    /// A month.
    pub usd_month: f64,
    /// For a million requests at this load; absent where none was answered.
    pub usd_per_million: Option<f64>,
    /// What it is made of.
    pub lines: Vec<Line>,
}

/// Where a policy costs as much as a container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct BreakEven {
    /// The policy.
    pub policy: String,
    /// The node that the containers run on, as the price book calls it.
    pub node: String,
    /// What becomes of it.
    #[serde(flatten)]
    pub answer: Answer,
}

/// From which load on containers are cheaper.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    /// At any load: what the policy costs without a request is more.
    Always,
    /// From this load on.
    From {
        /// Requests a month.
        requests_month: f64,
        /// The same as a multiple of the trace's load: what `--scale` would be.
        scale: f64,
        /// Nodes that hold it in its busiest time.
        nodes: u32,
        /// What both cost then.
        usd_month: f64,
    },
    /// At no load that 10,000 nodes hold.
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

    /// What a policy costs a month.
    ///
    /// # Errors
    /// Where the book has no price for it.
    pub(super) fn cost(&self, replayed: &Replayed, span: Micros) -> Result<Cost> {
        let lines = usage(replayed, span).iter().map(|usage| self.line(usage, 1.0)).collect::<Result<Vec<_>>>()?;
        let usd_month = lines.iter().map(|line| line.usd).sum::<f64>();
        let requests = replayed.record.requests as f64 * MONTH / span.seconds();
        let usd_per_million = (requests > 0.0).then(|| usd_month / requests * 1e6);
        Ok(Cost { usd_month, usd_per_million, lines })
    }

    /// The smallest load from which on always-on containers cost no more than a policy; `None` where `container` is none.
    ///
    /// The policy's use is taken to grow with the load as it was in this trace (provisioned instances, pings and the plan stay what they
    /// are): its cost is then the price book's tiers at so much use. Containers are as many as hold the busiest bin of the timeline
    /// (`busiest` requests a second at a scale of 1) at their target utilisation, for the whole month. The load at which n
    /// of them cost the same is found by bisection, for the first n that can hold it.
    ///
    /// # Errors
    /// Where the book has no price.
    pub(super) fn break_even(
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

/// The smallest load at which `cost` reaches that of the nodes that hold it, of which each holds `of_one`; and how many these are.
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
        // Far more steps than a number has digits.
        for _ in 0..100 {
            let middle = f64::midpoint(low, high);
            if cost(middle)? < of_nodes(nodes) { low = middle } else { high = middle }
        }
        return Ok(Some((high, nodes)));
    }
    Ok(None)
}
