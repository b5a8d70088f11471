//! The load from which one node costs no more than a design that is paid by use.
//!
//! `isotherm cost`, `isotherm simulate` and `isotherm decide` all take it from here, over the whole path and without free
//! units. So each says the same of the same assumptions.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cost::bill::{Bill, Rates};
use crate::model::cost::design::Design;
use crate::model::cost::given::{Given, Load};
use crate::model::cost::limits;
use crate::model::cost::usage::Service;

/// Loads are compared at each power of 10 requests a month between these.
const DECADES: std::ops::RangeInclusive<i32> = 2..=13;
/// The answer is exact to this part of it.
const EXACT: f64 = 1e-6;
/// Far more steps than that takes.
const MOST_STEPS: u32 = 60;

/// A design's load of break-even with a node.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct BreakEven {
    /// The design or the policy that is compared.
    pub policy: String,
    /// The node, by its name in the price book.
    pub node: String,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

/// The load from which a node costs no more.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// At any load: even with few requests the design costs more.
    Always,
    /// From this load on.
    From {
        /// Requests per month.
        requests_month: f64,
        /// What both cost at this load, USD per month.
        usd_month: f64,
    },
    /// At no load that the node carries.
    Never,
}

/// The smallest load from which one node with the plain server costs no more than `design`, by the same assumptions.
/// Whatever load is given, the requests vary and their size stays.
///
/// # Errors
/// Fails if the price book or the assumptions lack something.
pub(crate) fn with_a_node(design: Design, given: &Given<'_>) -> Result<Answer> {
    let rates = Rates { book: given.rates.book, on: given.rates.on, free_tier: false };
    let at = |requests: f64| -> Result<Sides> {
        let load = Load { requests, nodes: None, ..given.load.clone() };
        let given = Given { load: &load, rates: &rates, ..*given };
        let usd =
            |design: Design| Ok::<_, anyhow::Error>(Bill::of(&design.usage(&given)?, &Service::ALL, &rates)?.usd());
        let node = Design::Native.usage(&given)?;
        let is_carried = limits::exceeded(Design::Native, &given, &node)?.is_empty();
        Ok(Sides { by_use: usd(design)?, node: Bill::of(&node, &Service::ALL, &rates)?.usd(), is_carried })
    };
    let mut low = Point { log: f64::from(*DECADES.start()), over: at(10_f64.powi(*DECADES.start()))?.over() };
    if low.over >= 0.0 {
        return Ok(Answer::Always);
    }
    for decade in DECADES.skip(1) {
        let sides = at(10_f64.powi(decade))?;
        let high = Point { log: f64::from(decade), over: sides.over() };
        if sides.is_carried && high.over < 0.0 {
            low = high;
            continue;
        }
        let found = if sides.is_carried { crossing(&at, low, high)? } else { carried_crossing(&at, low, high.log)? };
        return Ok(found
            .map_or(Answer::Never, |(requests_month, sides)| Answer::From { requests_month, usd_month: sides.node }));
    }
    Ok(Answer::Never)
}

/// A load as its logarithm to base 10, and the part by which the design costs more there than a node.
#[derive(Clone, Copy, Debug)]
struct Point {
    log: f64,
    over: f64,
}

type Found = Option<(f64, Sides)>;

/// The crossing below the load that one node just carries, if it is there.
fn carried_crossing(at: &dyn Fn(f64) -> Result<Sides>, low: Point, mut beyond: f64) -> Result<Found> {
    let mut most = low;
    while beyond - most.log > EXACT {
        let log = f64::midpoint(most.log, beyond);
        let sides = at(10_f64.powf(log))?;
        let here = Point { log, over: sides.over() };
        match sides.is_carried {
            true if here.over >= 0.0 => return crossing(at, most, here),
            true => most = here,
            false => beyond = log,
        }
    }
    Ok(None)
}

/// The crossing between two loads, by false position. The end that stays is weighed less each time.
fn crossing(at: &dyn Fn(f64) -> Result<Sides>, mut low: Point, mut high: Point) -> Result<Found> {
    for _ in 0..MOST_STEPS {
        if high.log - low.log <= EXACT {
            break;
        }
        let share = (-low.over / (high.over - low.over)).clamp(0.02, 0.98);
        let log = low.log + share * (high.log - low.log);
        let here = Point { log, over: at(10_f64.powf(log))?.over() };
        if here.over < 0.0 {
            low = here;
            high.over /= 2.0;
        } else {
            high = here;
            low.over /= 2.0;
        }
    }
    let requests = 10_f64.powf(high.log);
    Ok(Some((requests, at(requests)?)))
}

/// USD per month of both sides at one load.
#[derive(Clone, Copy, Debug)]
struct Sides {
    by_use: f64,
    node: f64,
    /// `true` if one node can carry the load.
    is_carried: bool,
}

impl Sides {
    /// The part by which the design costs more than the node; below 0 if it costs less.
    fn over(&self) -> f64 {
        self.by_use / self.node - 1.0
    }
}
