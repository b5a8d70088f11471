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
/// Far more flips than two designs have.
const MOST_FLIPS: usize = 20;
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
    let at = |requests: f64| -> Result<Sides> {
        let (one, other) = (at_load(design, requests, given)?, at_load(Design::Native, requests, given)?);
        Ok(Sides { one: one.usd, other: other.usd, are_carried: other.is_carried })
    };
    let (is_dearer, crossings) = crossings(&at, 1)?;
    if is_dearer {
        return Ok(Answer::Always);
    }
    let first = crossings.first();
    Ok(first.map_or(Answer::Never, |(requests_month, sides)| Answer::From {
        requests_month: *requests_month,
        usd_month: sides.other,
    }))
}

/// Every two of `designs`, by the same assumptions.
///
/// # Errors
/// Fails if the price book or the assumptions lack something.
pub(crate) fn pairs(designs: &[Design], given: &Given<'_>) -> Result<Vec<Pair>> {
    let known = RefCell::new(BTreeMap::<(&str, u64), AtLoad>::new());
    let of = |design: Design, requests: f64| -> Result<AtLoad> {
        let key = (design.name(), requests.to_bits());
        if let Some(found) = known.borrow().get(&key) {
            return Ok(*found);
        }
        let found = at_load(design, requests, given)?;
        known.borrow_mut().insert(key, found);
        Ok(found)
    };
    let mut pairs = Vec::new();
    for (nth, one) in designs.iter().enumerate() {
        for other in &designs[nth + 1..] {
            let at = |requests: f64| -> Result<Sides> {
                let (one, other) = (of(*one, requests)?, of(*other, requests)?);
                let are_carried = one.is_carried && other.is_carried;
                Ok(Sides { one: one.usd, other: other.usd, are_carried })
            };
            let (is_dearer, crossings) = crossings(&at, MOST_FLIPS)?;
            let [mut cheaper, mut dearer] = if is_dearer { [other, one] } else { [one, other] };
            let mut pair = Pair { one: cheaper.name().to_owned(), other: dearer.name().to_owned(), flips: Vec::new() };
            for (requests_month, sides) in crossings {
                std::mem::swap(&mut cheaper, &mut dearer);
                pair.flips.push(Flip { requests_month, usd_month: sides.other, cheaper: cheaper.name().to_owned() });
            }
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

/// What a design comes to at one load.
#[derive(Clone, Copy, Debug)]
struct AtLoad {
    usd: f64,
    is_carried: bool,
}

fn at_load(design: Design, requests: f64, given: &Given<'_>) -> Result<AtLoad> {
    let rates = Rates { book: given.rates.book, on: given.rates.on, free_tier: false };
    let load = Load { requests, nodes: None, ..given.load.clone() };
    let given = Given { load: &load, rates: &rates, ..*given };
    let usage = design.usage(&given)?;
    let is_carried = limits::exceeded(design, &given, &usage)?.is_empty();
    Ok(AtLoad { usd: Bill::of(&usage, &Service::ALL, &rates)?.usd(), is_carried })
}

/// A load as its logarithm to base 10, and the part by which one side costs more there than the other.
#[derive(Clone, Copy, Debug)]
struct Point {
    log: f64,
    over: f64,
}

type At<'a> = &'a dyn Fn(f64) -> Result<Sides>;
type Found = Option<(f64, Sides)>;

/// The first `most` loads at which the cheaper side changes, and whether the first side costs no less at the smallest load.
fn crossings(at: At<'_>, most: usize) -> Result<(bool, Vec<(f64, Sides)>)> {
    let mut low = Point { log: f64::from(*DECADES.start()), over: at(10_f64.powi(*DECADES.start()))?.over() };
    let is_dearer = low.over >= 0.0;
    let mut found = Vec::new();
    // If the first side is dearer, it has to become cheaper: the same with the sides the other way round.
    let mut is_turned = is_dearer;
    for decade in DECADES.skip(1) {
        if found.len() == most {
            break;
        }
        let turned = |requests: f64| at(requests).map(|sides| if is_turned { sides.turned() } else { sides });
        let sides = at(10_f64.powi(decade))?;
        let high = Point { log: f64::from(decade), over: sides.over() };
        let seen = |point: Point| if is_turned { Point { over: turned_over(point.over), ..point } } else { point };
        if sides.are_carried && (high.over < 0.0) != is_turned {
            low = high;
            continue;
        }
        let crossing = if sides.are_carried {
            crossing(&turned, seen(low), seen(high))?
        } else {
            carried_crossing(&turned, seen(low), high.log)?
        };
        let Some((requests, there)) = crossing else { break };
        found.push((requests, if is_turned { there.turned() } else { there }));
        if !sides.are_carried {
            break;
        }
        is_turned = !is_turned;
        low = high;
    }
    Ok((is_dearer, found))
}

/// The part by which the other side costs more.
fn turned_over(over: f64) -> f64 {
    1.0 / (1.0 + over) - 1.0
}

/// The crossing below the load that is just carried, if it is there.
fn carried_crossing(at: At<'_>, low: Point, mut beyond: f64) -> Result<Found> {
    let mut most = low;
    while beyond - most.log > EXACT {
        let log = f64::midpoint(most.log, beyond);
        let sides = at(10_f64.powf(log))?;
        let here = Point { log, over: sides.over() };
        match sides.are_carried {
            true if here.over >= 0.0 => return crossing(at, most, here),
            true => most = here,
            false => beyond = log,
        }
    }
    Ok(None)
}

/// The crossing between two loads, by false position. The end that stays is weighed less each time.
fn crossing(at: At<'_>, mut low: Point, mut high: Point) -> Result<Found> {
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
    one: f64,
    other: f64,
    /// `true` if the load can be carried by those of which that is asked.
    are_carried: bool,
}

impl Sides {
    /// The part by which the first side costs more than the other; below 0 if it costs less.
    fn over(&self) -> f64 {
        self.one / self.other - 1.0
    }

    fn turned(self) -> Self {
        Self { one: self.other, other: self.one, ..self }
    }
}
