//! The answer of `isotherm cost`.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cost::assumptions::Assumption;
use crate::model::cost::available::available;
use crate::model::cost::beside::{Beside, beside};
use crate::model::cost::bill::{Bill, Line};
use crate::model::cost::break_even::{BreakEven, Pair};
use crate::model::cost::design::Design;
use crate::model::cost::given::Given;
use crate::model::cost::limits::Exceeded;
use crate::model::cost::usage::{Service, Usage};
use crate::model::production::Production;

/// The name and version of the output of `--json`. Its schema is `isotherm schema cost`.
pub(crate) const SCHEMA: &str = "isotherm/cost/1";

/// The answer to all flags.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Quote {
    /// [`SCHEMA`].
    pub schema: String,
    /// The day of the prices.
    pub on: String,
    /// When the prices were compared with their sources.
    pub checked: String,
    /// True if the prices deduct the free units.
    pub free_tier: bool,
    /// Requests per month.
    pub requests: f64,
    /// Events per request.
    pub events_per_request: f64,
    /// The file of the events that were weighed and folded.
    pub events: String,
    /// The load by the lines of a service; missing if it is not from such lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub production: Option<Production>,
    /// One bill for each design.
    pub designs: Vec<Priced>,
    /// The loads from which one node costs no more than a design that is paid by use, without free units.
    pub break_even: Vec<BreakEven>,
    /// Where the choice between two of these designs flips, without free units.
    pub pairs: Vec<Pair>,
}

/// One design's bill.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Priced {
    /// The design.
    pub design: Design,
    /// The path of an event.
    pub about: String,
    /// The bill's lines, and notes on its prices.
    #[serde(flatten)]
    pub bill: Bill,
    /// The sum of all lines with a price, in USD per month.
    pub month_usd: f64,
    /// The same per million events; `None` without events.
    pub per_million_events_usd: Option<f64>,
    /// The ids of unpublished prices, which are not in the sums.
    pub unpriced: Vec<String>,
    /// The limits that this load exceeds. If there is one, the design can't carry the load.
    pub impossible: Vec<Exceeded>,
    /// The same at the availability that functions have by themselves; null for designs that have it.
    pub equal_availability: Option<AtEqualAvailability>,
    /// The same with another service, or another way to pay for one, in one place.
    pub beside: Vec<Alternative>,
    /// The assumptions behind the usage.
    pub assumptions: Vec<Assumption>,
}

/// A design on nodes, as available as it can be.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct AtEqualAvailability {
    /// What is priced.
    pub about: String,
    /// What is still not possible.
    pub not_possible: String,
    /// USD per month.
    pub month_usd: f64,
    /// The lines of the bill.
    pub lines: Vec<Line>,
    /// Notes on the prices in it.
    pub notes: Vec<String>,
}

impl AtEqualAvailability {
    /// The bill of these services, with `usage` being that of the design itself; `None` if nothing has to be added.
    ///
    /// # Errors
    /// Fails if the price book or the assumptions lack something.
    pub(crate) fn of(design: Design, given: &Given<'_>, usage: &Usage, services: &[Service]) -> Result<Option<Self>> {
        let Some(available) = available(design, given, usage)? else { return Ok(None) };
        let bill = Bill::of(&available.usage, services, given.rates)?;
        Ok(Some(Self {
            about: available.about.to_owned(),
            not_possible: available.not_possible.to_owned(),
            month_usd: bill.usd(),
            lines: bill.lines,
            notes: bill.notes,
        }))
    }
}

/// A design with one service, or the way to pay for it, replaced.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Alternative {
    /// What is replaced.
    pub about: String,
    /// USD per month.
    pub month_usd: f64,
}

impl Alternative {
    /// The alternatives to a design, with `usage` being that of the design itself, and the bills of these services.
    ///
    /// # Errors
    /// Fails if the price book or the assumptions lack something.
    pub(crate) fn all(design: Design, given: &Given<'_>, usage: &Usage, services: &[Service]) -> Result<Vec<Self>> {
        let priced = beside(design, given, usage)?.into_iter().map(|Beside { about, usage }| {
            Ok(Self { about: about.to_owned(), month_usd: Bill::of(&usage, services, given.rates)?.usd() })
        });
        priced.collect()
    }
}

impl Priced {
    /// A bill with its sums, for `events` events.
    pub(crate) fn new(
        design: Design,
        about: String,
        bill: Bill,
        events: f64,
        impossible: Vec<Exceeded>,
        assumptions: Vec<Assumption>,
    ) -> Self {
        Self {
            impossible,
            equal_availability: None,
            beside: Vec::new(),
            design,
            about,
            month_usd: bill.usd(),
            per_million_events_usd: per_million(bill.usd(), events),
            unpriced: bill.unpriced().into_iter().map(str::to_owned).collect(),
            bill,
            assumptions,
        }
    }
}

/// The same sum per million events; `None` without events.
pub(crate) fn per_million(usd: f64, events: f64) -> Option<f64> {
    (events > 0.0).then(|| usd / events * 1e6)
}
