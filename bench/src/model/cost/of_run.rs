//! Computes the cost of a run's platforms and of the baseline's design, for the run's verdict and its page.
//!
//! Designs are priced with the CPU time and the throughput of the run. A month's events arrive at another rate than
//! those of a run, so they fold and batch differently. `isotherm cost --from` prices the run's own meters.

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::bill::{Bill, Rates};
use crate::model::cost::design::Design;
use crate::model::cost::from::{self, Of};
use crate::model::cost::given::{Given, Load};
use crate::model::cost::limits;
use crate::model::cost::metered::{self, Ingest};
use crate::model::cost::sample::Sample;
use crate::model::cost::usage::Service;
use crate::model::prices::Book;
use crate::results::cost::{Cost, CostCurve, CostItem, CostLine, Crossing, Kind};
use crate::results::{Baseline, Comparison, Metered};
use crate::stats::Estimate;
use crate::words::decimal;

/// Events per month for itemised costs.
const MONTHLY_EVENTS: f64 = 100e6;
/// Curves go from 10 to the first of these powers to 10 to the second, with this many points per decade.
const DECADES: [i32; 2] = [5, 10];
const POINTS_A_DECADE: i32 = 4;
/// Number of halvings of an interval in which curves cross, which narrows it to a thousandth.
const HALVINGS: u32 = 10;

/// The inputs for pricing a month.
struct Pricing<'a> {
    book: Book,
    assumed: Assumptions,
    sample: Arc<Sample>,
    result: &'a Comparison,
    designs: Vec<Design>,
}

/// The monthly cost on each of a run's platforms, at the list prices of its day and without free units. `events` are
/// the events that were sent, as NDJSON.
///
/// # Errors
/// Fails if the price book or the events can't be read.
pub(crate) fn of_run(result: &Comparison, events: &[u8]) -> Result<Cost> {
    let pricing = Pricing::new(result, events)?;
    let ends = [Of::Least, Of::Most].map(|of| Pricing::assumptions(result, of));
    let ends = ends.into_iter().collect::<Result<Vec<_>>>()?;
    let (mut bills, mut lines) = (Vec::new(), Vec::new());
    for design in &pricing.designs {
        let bill = pricing.bill(*design, MONTHLY_EVENTS)?;
        let mut line = itemised(design.name(), &bill);
        let of_end = |assumed| Ok(per_million(pricing.bill_of(*design, MONTHLY_EVENTS, assumed)?.usd()));
        let of_ends = ends.iter().map(of_end).collect::<Result<Vec<_>>>()?;
        for usd in of_ends {
            (line.total.low, line.total.high) = (line.total.low.min(usd), line.total.high.max(usd));
        }
        lines.push(line);
        bills.push((design.name(), bill));
    }
    let volumes = (DECADES[0] * POINTS_A_DECADE..=DECADES[1] * POINTS_A_DECADE)
        .map(|step| 10_f64.powf(f64::from(step) / f64::from(POINTS_A_DECADE)));
    let volumes: Vec<f64> = volumes.collect();
    let mut assumptions = vec![format!(
        "Prices as checked on {}, us-east-1, no unit free; events are kept for 90 days, and the figures are those of a month when \
         so many are there. CPU time and throughput are this run's, and so are the intervals: what is assumed has none.",
        pricing.book.checked()?
    )];
    let used = pricing.assumed.take_used().into_iter();
    assumptions.extend(used.map(|one| format!("{}: {} {}", one.about, decimal(one.value), one.unit)));
    // Usage without a price counts as zero, so a note has to say so.
    let notes = bills.iter().flat_map(|(name, bill)| bill.notes.iter().map(move |note| format!("{name}: {note}")));
    assumptions.extend(notes);
    Ok(Cost {
        kind: Kind::Modelled,
        monthly_events: MONTHLY_EVENTS,
        assumptions,
        lines,
        curves: pricing.designs.iter().map(|design| pricing.curve(*design, &volumes)).collect::<Result<_>>()?,
        crossings: pricing.crossings(&volumes)?,
    })
}

/// The cost of a million events by the meters of the baseline, and by those of Isotherm beside it; `None` if
/// the run had neither. `events` are the events that were sent, as NDJSON.
///
/// # Errors
/// Fails if the price book or the events can't be read.
pub(crate) fn of_baseline(result: &Comparison, events: &[u8]) -> Result<Option<[CostLine; 2]>> {
    let Some(Baseline { function, isotherm, .. }) = &result.baseline else { return Ok(None) };
    let pricing = Pricing::new(result, events)?;
    let [one, other] = Baseline::NAMES;
    let function = pricing.metered(one, &function.meters, Ingest::BASELINE)?;
    Ok(Some([function, pricing.metered(other, &isotherm.meters, Ingest::ISOTHERM)?]))
}

fn per_million(usd: f64) -> f64 {
    usd / MONTHLY_EVENTS * 1e6
}

/// A bill for [`MONTHLY_EVENTS`], by service and per million events.
fn itemised(name: &str, bill: &Bill) -> CostLine {
    let mut items: Vec<CostItem> = Vec::new();
    for line in &bill.lines {
        let (service, usd) = (line.service.name(), per_million(line.usd.unwrap_or_default()));
        match items.last_mut() {
            Some(item) if item.service == service => item.usd += usd,
            _ => items.push(CostItem { service: service.to_owned(), usd }),
        }
    }
    let total = per_million(bill.usd());
    CostLine { name: name.to_owned(), items, total: Estimate { value: total, low: total, high: total } }
}

impl<'a> Pricing<'a> {
    fn new(result: &'a Comparison, events: &[u8]) -> Result<Self> {
        let assumed = Self::assumptions(result, Of::Value)?;
        let ran = |name: &str| result.platforms.iter().any(|measured| measured.platform.name() == name);
        let designs = Design::value_variants().iter().copied();
        let designs = designs.filter(|design| *design == Design::Baseline || ran(design.name())).collect();
        let sample = Sample::of(events, &result.workload.source, None)?;
        Ok(Self { book: Book::own()?, assumed, sample, result, designs })
    }

    fn assumptions(result: &Comparison, of: Of) -> Result<Assumptions> {
        let mut assumed = Assumptions::read()?;
        from::assume(result, "this run", &mut assumed, of)?;
        Ok(assumed)
    }

    /// The list prices of the run's day.
    fn rates(&self) -> Result<Rates<'_>> {
        let time: jiff::Timestamp = self.result.machine.time.parse().context("the time of the run")?;
        let on = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        Ok(Rates { book: &self.book, on, free_tier: false })
    }

    /// The bill for `events` events per month, in requests as large as the run's.
    fn bill(&self, design: Design, events: f64) -> Result<Bill> {
        self.bill_of(design, events, &self.assumed)
    }

    /// Whether a design exceeds no limit at this many events per month.
    fn is_carried(&self, design: Design, events: f64) -> Result<bool> {
        let (rates, load) = (self.rates()?, self.load(events));
        let given = Given { load: &load, assumed: &self.assumed, rates: &rates, sample: &self.sample };
        Ok(limits::exceeded(design, &given, &design.usage(&given)?)?.is_empty())
    }

    /// A month with this many events, in requests as large as the run's.
    fn load(&self, events: f64) -> Load {
        let events_per_request = from::events_per_request(self.result);
        Load { requests: events / events_per_request, events_per_request, ..Load::of_run(events) }
    }

    fn bill_of(&self, design: Design, events: f64, assumed: &Assumptions) -> Result<Bill> {
        let (rates, load) = (self.rates()?, self.load(events));
        let given = Given { load: &load, assumed, rates: &rates, sample: &self.sample };
        let usage = design.usage(&given).with_context(|| format!("cannot price {}", design.name()))?;
        Bill::of(&usage, Service::value_variants(), &rates)
    }

    /// The cost of metered single events.
    fn metered(&self, name: &str, metered: &Metered, ingest: Ingest) -> Result<CostLine> {
        let rates = self.rates()?;
        let load = Load::of_run(metered.events as f64);
        let given = Given { load: &load, assumed: &self.assumed, rates: &rates, sample: &self.sample };
        let usage = metered::lambda(metered, &given, ingest)?.times(MONTHLY_EVENTS / load.events());
        Ok(itemised(name, &Bill::of(&usage, Service::value_variants(), &rates)?))
    }

    fn curve(&self, design: Design, volumes: &[f64]) -> Result<CostCurve> {
        let point = |events: &f64| Ok([*events, self.bill(design, *events)?.usd()]);
        let points = volumes.iter().map(point).collect::<Result<_>>()?;
        Ok(CostCurve { name: design.name().to_owned(), points })
    }

    /// The cheapest designs that carry `events` events per month, equal to within a millionth, and their cost.
    fn cheapest(&self, events: f64) -> Result<(Vec<Design>, f64)> {
        let mut costs: Vec<(Design, f64)> = Vec::new();
        for design in &self.designs {
            if self.is_carried(*design, events)? {
                costs.push((*design, self.bill(*design, events)?.usd()));
            }
        }
        let least = costs.iter().map(|(_, usd)| *usd).fold(f64::INFINITY, f64::min);
        let cheapest = costs.into_iter().filter(|(_, usd)| *usd <= least * (1.0 + 1e-6));
        Ok((cheapest.map(|(design, _)| design).collect(), least))
    }

    fn crossings(&self, volumes: &[f64]) -> Result<Vec<Crossing>> {
        let mut crossings = Vec::new();
        let cheapest = volumes.iter().map(|events| Ok(self.cheapest(*events)?.0)).collect::<Result<Vec<_>>>()?;
        for (volumes, designs) in volumes.windows(2).zip(cheapest.windows(2)) {
            let (mut low, mut below) = (volumes[0], designs[0].clone());
            // Where no design carries a volume, none takes another's place.
            if designs.iter().any(Vec::is_empty) {
                continue;
            }
            // There may be several crossings between two volumes.
            while !designs[1].iter().any(|design| below.contains(design)) {
                let (mut high, mut above) = (volumes[1], designs[1].clone());
                for _ in 0..HALVINGS {
                    let middle = (low * high).sqrt();
                    match self.cheapest(middle)?.0 {
                        designs if designs.iter().any(|design| below.contains(design)) => low = middle,
                        designs => (high, above) = (middle, designs),
                    }
                }
                crossings.push(Crossing {
                    monthly_events: high,
                    usd: self.cheapest(high)?.1,
                    below: names(&below),
                    above: names(&above),
                });
                (low, below) = (high, above);
            }
        }
        Ok(crossings)
    }
}

fn names(designs: &[Design]) -> String {
    designs.iter().map(|design| design.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_priced_by_service_and_volume_with_the_baseline_beside_it() {
        let result = crate::results::tests::sample();
        let loaded = crate::workload::Workload::load("flights", None).unwrap();
        let cost = of_run(&result, &loaded.events).unwrap();
        let names: Vec<&str> = cost.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["lambda", "workers", "spin", "native", "baseline"]);
        for line in &cost.lines {
            let sum: f64 = line.items.iter().map(|item| item.usd).sum();
            assert!((sum - line.total.value).abs() < 1e-9 && sum > 0.0, "{line:?}");
        }
        for curve in &cost.curves {
            assert_eq!(curve.points.len(), 21);
            assert!(curve.points.is_sorted_by(|one, two| one[0] < two[0] && one[1] <= two[1]), "{curve:?}");
        }
        // At each crossing, the two designs that cross cost the same. Each is the cheapest on its side.
        let at =
            |name: &str, point: usize| cost.curves.iter().find(|curve| curve.name == name).unwrap().points[point][1];
        let cheapest =
            |point: usize| names.iter().min_by(|one, two| at(one, point).total_cmp(&at(two, point))).unwrap();
        let ends = [*cheapest(0), *cheapest(20)];
        match (cost.crossings.first(), cost.crossings.last()) {
            (Some(first), Some(last)) => {
                let is_among = |names: &str, one: &str| names.split(", ").any(|name| name == one);
                assert!(is_among(&first.below, ends[0]) && is_among(&last.above, ends[1]), "{:?}", cost.crossings);
            }
            _ => assert_eq!(ends[0], ends[1]),
        }
        assert!(cost.assumptions.len() > 3, "{:?}", cost.assumptions);
    }
}
