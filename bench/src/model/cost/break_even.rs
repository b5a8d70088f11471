//! The loads at which the choice between two designs flips, first of all between one node and a design that is paid by use.
//!
//! `isotherm cost`, `isotherm simulate` and `isotherm decide` all take them from here, over the whole path and without free
//! units. So each says the same of the same assumptions.

use std::cell::RefCell;
use std::collections::BTreeMap;

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
/// The largest load that is carried is known to this part of it, as a logarithm.
const EDGE: f64 = 1e-3;
/// Far more flips than two designs have.
const MOST_FLIPS: usize = 20;
/// Smooth prices take no more steps than this.
const SMOOTH_STEPS: u32 = 12;
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

/// Two designs, and the loads at which the cheaper of them changes. Loads that only one of them carries are left out.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Pair {
    /// The design that is cheaper at the smallest load.
    pub one: String,
    /// The other design.
    pub other: String,
    /// Where the cheaper of them changes, in the order of the loads.
    pub flips: Vec<Flip>,
}

/// A load at which the cheaper of two designs changes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Flip {
    /// Requests per month.
    pub requests_month: f64,
    /// What both cost at this load, USD per month.
    pub usd_month: f64,
    /// The design that is no dearer from this load on.
    pub cheaper: String,
}

/// The smallest load from which one node with the plain server costs no more than `design`, by the same assumptions.
/// Whatever load is given, the requests vary and their size stays.
///
/// # Errors
/// Fails if the price book or the assumptions lack something.
pub(crate) fn with_a_node(design: Design, given: &Given<'_>) -> Result<Answer> {
    let known = Known::default();
    let sides = Sides { designs: [design, Design::Native], carrying: &[Design::Native], given, known: &known };
    let (is_dearer, crossings) = crossings(&sides, 1)?;
    if is_dearer {
        return Ok(Answer::Always);
    }
    let first = crossings.first();
    Ok(first.map_or(Answer::Never, |(requests_month, [_, usd_month])| Answer::From {
        requests_month: *requests_month,
        usd_month: *usd_month,
    }))
}

/// Every two of `designs`, by the same assumptions.
///
/// # Errors
/// Fails if the price book or the assumptions lack something.
pub(crate) fn pairs(designs: &[Design], given: &Given<'_>) -> Result<Vec<Pair>> {
    let known = Known::default();
    let mut pairs = Vec::new();
    for (nth, one) in designs.iter().enumerate() {
        for other in &designs[nth + 1..] {
            let both = [*one, *other];
            let sides = Sides { designs: both, carrying: &both, given, known: &known };
            let (is_dearer, crossings) = crossings(&sides, MOST_FLIPS)?;
            let [mut cheaper, mut dearer] = if is_dearer { [other, one] } else { [one, other] };
            let mut pair = Pair { one: cheaper.name().to_owned(), other: dearer.name().to_owned(), flips: Vec::new() };
            for (requests_month, [_, usd_month]) in crossings {
                std::mem::swap(&mut cheaper, &mut dearer);
                pair.flips.push(Flip { requests_month, usd_month, cheaper: cheaper.name().to_owned() });
            }
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

/// What designs cost, and if they carry it, at loads that were asked for before.
#[derive(Default)]
struct Known {
    usd: RefCell<BTreeMap<(&'static str, u64), f64>>,
    is_carried: RefCell<BTreeMap<(&'static str, u64), bool>>,
}

/// Two designs, by the same assumptions.
struct Sides<'a> {
    designs: [Design; 2],
    /// Those that have to carry a load.
    carrying: &'a [Design],
    given: &'a Given<'a>,
    known: &'a Known,
}

impl Sides<'_> {
    /// USD per month of both at a load.
    fn usd(&self, requests: f64) -> Result<[f64; 2]> {
        let [one, other] = self.designs;
        Ok([self.usd_of(one, requests)?, self.usd_of(other, requests)?])
    }

    fn usd_of(&self, design: Design, requests: f64) -> Result<f64> {
        let key = (design.name(), requests.to_bits());
        if let Some(found) = self.known.usd.borrow().get(&key) {
            return Ok(*found);
        }
        let rates = Rates { book: self.given.rates.book, on: self.given.rates.on, free_tier: false };
        let load = Load { requests, nodes: None, ..self.given.load.clone() };
        let usage = design.usage(&Given { load: &load, rates: &rates, ..*self.given })?;
        let usd = Bill::of(&usage, &Service::ALL, &rates)?.usd();
        self.known.usd.borrow_mut().insert(key, usd);
        Ok(usd)
    }

    /// True if the load is carried by each design that has to.
    fn are_carried(&self, requests: f64) -> Result<bool> {
        for design in self.carrying {
            if !self.is_carried_by(*design, requests)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_carried_by(&self, design: Design, requests: f64) -> Result<bool> {
        let key = (design.name(), requests.to_bits());
        if let Some(found) = self.known.is_carried.borrow().get(&key) {
            return Ok(*found);
        }
        let load = Load { requests, nodes: None, ..self.given.load.clone() };
        let given = Given { load: &load, ..*self.given };
        let is_carried = limits::exceeded(design, &given, &design.usage(&given)?)?.is_empty();
        self.known.is_carried.borrow_mut().insert(key, is_carried);
        Ok(is_carried)
    }

    /// The part by which one side costs more at a load, as the logarithm to base 10: the first side, or the other if
    /// `is_turned`.
    fn point(&self, log: f64, requests: f64, is_turned: bool) -> Result<Point> {
        let [one, other] = self.usd(requests)?;
        Ok(Point { log, over: if is_turned { other / one } else { one / other } - 1.0 })
    }
}

/// A load as its logarithm to base 10, and the part by which one side costs more there than the other.
#[derive(Clone, Copy, Debug)]
struct Point {
    log: f64,
    over: f64,
}

impl Point {
    /// True while the side is the cheaper one. At the same price the second of the two designs counts as cheaper.
    fn is_below(self, is_turned: bool) -> bool {
        self.over < 0.0 || is_turned && self.over <= 0.0
    }
}

/// A load, and USD per month of both sides there.
type Crossing = (f64, [f64; 2]);

/// The first `most` loads at which the cheaper side changes, and whether the first side costs no less at the smallest load.
fn crossings(sides: &Sides<'_>, most: usize) -> Result<(bool, Vec<Crossing>)> {
    let at = |decade: i32, is_turned| sides.point(f64::from(decade), 10_f64.powi(decade), is_turned);
    let is_dearer = at(*DECADES.start(), false)?.over >= 0.0;
    // A side that is dearer has to become cheaper: the same with the sides the other way round.
    let (mut is_turned, mut found) = (is_dearer, Vec::new());
    for decade in DECADES.skip(1) {
        if found.len() == most {
            break;
        }
        let (low, high) = (at(decade - 1, is_turned)?, at(decade, is_turned)?);
        let are_carried = sides.are_carried(10_f64.powi(decade))?;
        if high.is_below(is_turned) {
            if are_carried {
                continue;
            }
            break;
        }
        let requests = if are_carried {
            Some(crossing(sides, is_turned, low, high)?)
        } else {
            carried_crossing(sides, is_turned, low, high.log)?
        };
        let Some(requests) = requests else { break };
        found.push((requests, sides.usd(requests)?));
        if !are_carried {
            break;
        }
        is_turned = !is_turned;
    }
    Ok((is_dearer, found))
}

/// The crossing below the load that is just carried, if it is there.
fn carried_crossing(sides: &Sides<'_>, is_turned: bool, low: Point, mut beyond: f64) -> Result<Option<f64>> {
    let mut most = low;
    while beyond - most.log > EDGE {
        let log = f64::midpoint(most.log, beyond);
        let requests = 10_f64.powf(log);
        if !sides.are_carried(requests)? {
            beyond = log;
            continue;
        }
        let here = sides.point(log, requests, is_turned)?;
        if !here.is_below(is_turned) {
            return crossing(sides, is_turned, most, here).map(Some);
        }
        most = here;
    }
    Ok(None)
}

/// The crossing between two loads, by false position. The end that stays is weighed less each time.
fn crossing(sides: &Sides<'_>, is_turned: bool, mut low: Point, mut high: Point) -> Result<f64> {
    for step in 0..MOST_STEPS {
        if high.log - low.log <= EXACT {
            break;
        }
        // Prices that jump, as those of whole millions do, are met by halves.
        let is_smooth = step < SMOOTH_STEPS;
        let share = if is_smooth { (-low.over / (high.over - low.over)).clamp(0.02, 0.98) } else { 0.5 };
        let log = low.log + share * (high.log - low.log);
        let here = sides.point(log, 10_f64.powf(log), is_turned)?;
        if here.is_below(is_turned) {
            low = here;
            high.over /= 2.0;
        } else {
            high = here;
            low.over /= 2.0;
        }
    }
    Ok(10_f64.powf(high.log))
}
