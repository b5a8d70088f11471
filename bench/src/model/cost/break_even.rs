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

/// Loads are compared at each power of 10 requests a month between these, and between those where two may cross.
const DECADES: std::ops::RangeInclusive<i32> = 2..=13;
/// Where two may cross, loads are compared that are no further apart than this, as a logarithm: 64 in a decade.
const PART: f64 = 1.0 / 64.0;
/// Steps in the number of nodes are looked at only where there are at most this many. Where there are more, each changes the
/// price very little.
const MOST_NODES: f64 = 64.0;
/// A part with more steps than this is halved again.
const FEW_STEPS: usize = 2;
/// How far before and behind a step prices are taken, as a part of its load.
const BESIDE: f64 = 1e-7;
/// A load that takes so many nodes that rounding up to whole ones does not show.
const FAR: f64 = 1e18;
/// Crossings of which each is within this factor of the one before are told as one.
const NEAR: f64 = 2.0;
/// The answer is exact to this part of it.
const EXACT: f64 = 1e-6;
/// The largest load that is carried is known to this part of it, as a logarithm.
const EDGE: f64 = 1e-3;
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

/// A load at which the cheaper of two designs changes, or several such loads close together.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Flip {
    /// Requests per month: the last of these loads.
    pub requests_month: f64,
    /// The first of these loads; null if there is one.
    pub first_requests_month: Option<f64>,
    /// What the cheaper of them costs at the last of these loads, USD per month. Where a node more has a price, it may be
    /// less than what the other costs.
    pub usd_month: f64,
    /// The design that is no dearer from the last of these loads on.
    pub cheaper: String,
}

/// The load from which one node with the plain server costs no more than `design`, by the same assumptions. Whatever load
/// is given, the requests vary and their size stays.
///
/// # Errors
/// Fails if the price book or the assumptions lack something.
pub(crate) fn with_a_node(design: Design, given: &Given<'_>) -> Result<Answer> {
    let known = Known::default();
    let sides = Sides { designs: [design, Design::Native], carrying: &[Design::Native], given, known: &known };
    let Some(crossings) = crossings(&sides)? else { return Ok(Answer::Never) };
    if crossings.is_dearer {
        return Ok(Answer::Always);
    }
    // Where they cross more than once, the last time counts: only from then on the node stays cheaper.
    let crossing = crossings.found.last().filter(|crossing| crossing.is_dearer());
    Ok(crossing.map_or(Answer::Never, |crossing| Answer::From {
        requests_month: crossing.requests,
        usd_month: crossing.usd[1],
    }))
}

/// Every two of `designs` that carry the smallest load, by the same assumptions.
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
            let Some(crossings) = crossings(&sides)? else { continue };
            let [cheaper, dearer] = if crossings.is_dearer { [other, one] } else { [one, other] };
            pairs.push(Pair {
                one: cheaper.name().to_owned(),
                other: dearer.name().to_owned(),
                flips: flips(both, &crossings.found),
            });
        }
    }
    Ok(pairs)
}

/// Crossings in words. Those close together are one.
fn flips(both: [Design; 2], crossings: &[Point]) -> Vec<Flip> {
    let mut flips: Vec<Flip> = Vec::new();
    for crossing in crossings {
        let cheaper = usize::from(crossing.is_dearer());
        let mut flip = Flip {
            requests_month: crossing.requests,
            first_requests_month: None,
            usd_month: crossing.usd[cheaper],
            cheaper: both[cheaper].name().to_owned(),
        };
        if let Some(last) = flips.pop_if(|last| crossing.requests <= last.requests_month * NEAR) {
            flip.first_requests_month = last.first_requests_month.or(Some(last.requests_month));
        }
        flips.push(flip);
    }
    flips
}

/// What designs cost, and if they carry it, at loads that were asked for before.
#[derive(Default)]
struct Known {
    usd: RefCell<BTreeMap<(&'static str, u64), f64>>,
    /// By design: the largest load that it is known to carry, and the smallest that it is known not to.
    carried: RefCell<BTreeMap<&'static str, [f64; 2]>>,
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
        let known = self.known.carried.borrow().get(design.name()).copied();
        let [most, least] = known.unwrap_or([0.0, f64::INFINITY]);
        if requests <= most || requests >= least {
            return Ok(requests <= most);
        }
        let load = Load { requests, nodes: None, ..self.given.load.clone() };
        let given = Given { load: &load, ..*self.given };
        let is_carried = limits::exceeded(design, &given, &design.usage(&given)?)?.is_empty();
        let known = if is_carried { [requests, least] } else { [most, requests] };
        self.known.carried.borrow_mut().insert(design.name(), known);
        Ok(is_carried)
    }

    /// Both prices at a load, given as its logarithm to base 10 as well.
    fn point(&self, log: f64, requests: f64) -> Result<Point> {
        Ok(Point { log, requests, usd: self.usd(requests)? })
    }

    fn at(&self, log: f64) -> Result<Point> {
        self.point(log, 10_f64.powf(log))
    }

    /// The largest load between these that is carried. The first one is.
    fn last_carried(&self, low: Point, mut beyond: f64) -> Result<Point> {
        let mut most = low.log;
        while beyond - most > EDGE {
            let log = f64::midpoint(most, beyond);
            if self.are_carried(10_f64.powf(log))? {
                most = log;
            } else {
                beyond = log;
            }
        }
        if most > low.log { self.at(most) } else { Ok(low) }
    }

    /// The loads between these from which a design needs a node more, in their order; none if there are very many.
    fn steps(&self, low: f64, high: f64) -> Result<Vec<f64>> {
        let load = Load { requests: FAR, nodes: None, ..self.given.load.clone() };
        let far = Given { load: &load, ..*self.given };
        let mut steps = Vec::new();
        for design in self.designs {
            let Some(nodes) = design.nodes_needed(&far)? else { continue };
            let each = FAR / nodes;
            if (high - low) / each <= MOST_NODES {
                let (first, last) = ((low / each).ceil() as u64, (high / each).floor() as u64);
                steps.extend((first..=last).map(|nodes| nodes as f64 * each));
            }
        }
        steps.sort_by(f64::total_cmp);
        Ok(steps)
    }

    /// Finds all crossings between two loads. No design costs less at a larger load, so two do not cross where one costs
    /// less at the end than the other at the beginning.
    fn search(&self, low: Point, high: Point, found: &mut Vec<Point>) -> Result<()> {
        let are_apart = high.usd[0] < low.usd[1] || high.usd[1] < low.usd[0];
        if are_apart && low.is_dearer() == high.is_dearer() {
            return Ok(());
        }
        let steps = self.steps(low.requests, high.requests)?;
        let is_wide = high.log - low.log > PART || steps.len() > FEW_STEPS;
        if is_wide {
            let middle = self.at(f64::midpoint(low.log, high.log))?;
            self.search(low, middle, found)?;
            return self.search(middle, high, found);
        }
        // Prices jump where a node more is needed.
        let mut before = low;
        for step in steps {
            for requests in [step * (1.0 - BESIDE), step * (1.0 + BESIDE)] {
                if before.requests < requests && requests < high.requests {
                    let here = self.point(requests.log10(), requests)?;
                    self.between(before, here, found)?;
                    before = here;
                }
            }
        }
        self.between(before, high, found)
    }

    /// Adds the crossing between two loads of which only one is dearer on the first side.
    fn between(&self, low: Point, high: Point, found: &mut Vec<Point>) -> Result<()> {
        if low.is_dearer() != high.is_dearer() {
            found.push(crossing(self, low, high)?);
        }
        Ok(())
    }
}

/// A load, also as its logarithm to base 10, and USD per month of both sides there.
#[derive(Clone, Copy, Debug)]
struct Point {
    log: f64,
    requests: f64,
    usd: [f64; 2],
}

impl Point {
    /// True if the first side is the dearer one. At the same price the second of the two designs counts as cheaper.
    fn is_dearer(self) -> bool {
        self.usd[0] >= self.usd[1]
    }

    /// How far the prices are apart.
    fn distance(self) -> f64 {
        (self.usd[0] / self.usd[1]).ln().abs()
    }
}

/// All loads at which the cheaper side changes.
struct Crossings {
    /// True if the first side costs no less at the smallest load.
    is_dearer: bool,
    /// The first load on the other side of each change.
    found: Vec<Point>,
}

/// All loads at which the cheaper side changes, among those that are carried. `None` if not even the smallest one is.
fn crossings(sides: &Sides<'_>) -> Result<Option<Crossings>> {
    let at = |decade: i32| sides.point(f64::from(decade), 10_f64.powi(decade));
    let mut low = at(*DECADES.start())?;
    if !sides.are_carried(low.requests)? {
        return Ok(None);
    }
    let mut crossings = Crossings { is_dearer: low.is_dearer(), found: Vec::new() };
    for decade in DECADES.skip(1) {
        if !sides.are_carried(10_f64.powi(decade))? {
            let last = sides.last_carried(low, f64::from(decade))?;
            sides.search(low, last, &mut crossings.found)?;
            break;
        }
        let high = at(decade)?;
        sides.search(low, high, &mut crossings.found)?;
        low = high;
    }
    Ok(Some(crossings))
}

/// The crossing between two loads, by false position. The end that stays is weighed less each time.
fn crossing(sides: &Sides<'_>, mut low: Point, mut high: Point) -> Result<Point> {
    let is_dearer = low.is_dearer();
    let (mut below, mut above) = (low.distance(), high.distance());
    for step in 0..MOST_STEPS {
        if high.log - low.log <= EXACT {
            break;
        }
        // Prices that jump, as those of whole millions do, are met by halves.
        let is_smooth = step < SMOOTH_STEPS;
        let share = if is_smooth { (below / (below + above)).clamp(0.02, 0.98) } else { 0.5 };
        let here = sides.at(low.log + share * (high.log - low.log))?;
        if here.is_dearer() == is_dearer {
            (low, below) = (here, here.distance());
            above /= 2.0;
        } else {
            (high, above) = (here, here.distance());
            below /= 2.0;
        }
    }
    Ok(high)
}

#[cfg(test)]
mod tests;
