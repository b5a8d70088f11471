//! The pages that a report reads: pages of whole days if there are any, and pages of hours elsewhere.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::reports::calendar::{Interval, Intervals};
use crate::reports::data::ReadBudget;
use crate::reports::kind::Kind;
use crate::reports::query::Query;
use crate::rollups::compaction::{DayManifest, DayState};
use crate::rollups::key::{Day, Hour, KeyRange};
use crate::rollups::stored::StoredPage;
use crate::vocabulary::time::Millis;

/// The most ranges. A report that would need more reads only hours, because on some stores each range is a request.
const RANGES: usize = 48;

/// What a report reads from each store or shard: first the manifests of days, if any are needed, then the pages. It
/// does not depend on the query any more, so it can be sent to a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    dimensions: Vec<String>,
    hours: Range<Hour>,
    /// Runs of days that each lie within one row, in order.
    days: Vec<Range<Day>>,
}

impl Reading {
    pub(crate) fn of(query: &Query) -> Self {
        // The pages of all events say what dimensions there are.
        let dimensions = std::iter::once("").chain(query.dimension()).map(str::to_owned).collect();
        let whole = Hour(query.from.0.saturating_add(23)).day()..query.until.day();
        let days = match (query.kind, query.interval) {
            (Kind::Top, _) => vec![whole],
            // A summary names hours, so it reads no whole days.
            (Kind::Summary, _) | (Kind::Timeseries, Interval::Hour) => Vec::new(),
            (Kind::Timeseries, _) => {
                let intervals = Intervals::new(&query.zone, query.interval, query.from, query.until);
                let mut runs: Vec<Range<Day>> = Vec::new();
                for day in (whole.start.0..whole.end.0).map(Day) {
                    let last_hour = Hour(day.next().first_hour().0 - 1);
                    match runs.last_mut() {
                        _ if intervals.place(day.first_hour()) != intervals.place(last_hour) => {}
                        Some(run) if run.end == day => run.end = day.next(),
                        _ => runs.push(day..day.next()),
                    }
                }
                runs
            }
        };
        let days = days.into_iter().filter(|run| run.start < run.end).collect();
        Self { dimensions, hours: query.from..query.until, days }
    }

    /// The time that the report's hours cover.
    pub(crate) fn time(&self) -> Range<Millis> {
        self.hours.start.start()..self.hours.end.start()
    }

    /// The keys of the manifests that [`Reading::ranges`] needs; `None` if no day is read as a whole.
    pub fn manifests(&self) -> Option<KeyRange> {
        let (first, last) = (self.days.first()?, self.days.last()?);
        Some(KeyRange::of_manifests(first.start, last.end))
    }

    /// How much may be read from each of `shards` shards, manifests included.
    pub fn budget(&self, shards: u32) -> ReadBudget {
        ReadBudget::of_shards(shards)
    }

    /// The ranges in which to read every stored page, given the manifests. A day whose manifest can't be read is read
    /// by its hours, which are always there.
    pub fn ranges(&self, manifests: &[StoredPage]) -> Vec<KeyRange> {
        // A store whose parts are folded separately may have several manifests for a day, and one more for what came
        // from another service. A day without a manifest has no events.
        let mut open = BTreeSet::new();
        for manifest in manifests {
            let read = DayManifest::read(manifest).or_else(|| DayManifest::read_moved(manifest));
            let Some((day, manifest)) = read else {
                open.extend(Day::of_apart_manifest(&manifest.key));
                continue;
            };
            if manifest.is_none_or(|manifest| manifest.state != DayState::Sealed) {
                open.insert(day);
            }
        }
        let ranges = self.ranges_but(&open);
        if ranges.len() > RANGES { self.of_hours() } else { ranges }
    }

    /// The ranges of all pages of hours.
    fn of_hours(&self) -> Vec<KeyRange> {
        Self { days: Vec::new(), ..self.clone() }.ranges_but(&BTreeSet::new())
    }

    /// The ranges of whole days, except those in `open`, and of hours elsewhere.
    fn ranges_but(&self, open: &BTreeSet<Day>) -> Vec<KeyRange> {
        let mut days: Vec<Range<Day>> = Vec::new();
        for run in &self.days {
            let mut from = run.start;
            for day in open.range(run.clone()) {
                days.push(from..*day);
                from = day.next();
            }
            days.push(from..run.end);
        }
        days.retain(|run| run.start < run.end);
        let mut hours = Vec::new();
        let mut from = self.hours.start;
        for run in &days {
            hours.push(from..run.start.first_hour());
            from = run.end.first_hour();
        }
        hours.push(from..self.hours.end);
        hours.retain(|run| run.start < run.end);
        let ranges = self.dimensions.iter().flat_map(|dimension| {
            let hours = hours.iter().map(|run| KeyRange::of_hours(dimension, run.start, run.end));
            hours.chain(days.iter().map(|run| KeyRange::of_days(dimension, run.start, run.end)))
        });
        ranges.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_a_whole_but_those_that_are_open_and_of_too_many_ranges_all_by_their_hours() {
        let (first, end) = (Day(15_000), Day(15_100));
        // One hour more than whole days.
        let hours = first.first_hour()..end.first_hour().next();
        let reading = Reading { dimensions: vec!["to".to_owned()], hours: hours.clone(), days: vec![first..end] };
        let ranges = |open: &[Day]| {
            let manifest = |day: u32| {
                let state = if open.contains(&Day(day)) { DayState::Open } else { DayState::Sealed };
                DayManifest { state, ..DayManifest::default() }.write(Day(day))
            };
            reading.ranges(&(first.0..end.0).map(manifest).collect::<Vec<_>>())
        };
        let of_hours = |from, until| KeyRange::of_hours("to", from, until);
        let of_day = |day: Day| of_hours(day.first_hour(), day.next().first_hour());
        let expected = [
            of_day(Day(15_003)),
            of_hours(end.first_hour(), hours.end),
            KeyRange::of_days("to", first, Day(15_003)),
            KeyRange::of_days("to", Day(15_004), end),
        ];
        assert_eq!(ranges(&[Day(15_003)]), expected);
        let every_other: Vec<Day> = (0..25).map(|at| Day(15_001 + 2 * at)).collect();
        assert_eq!(ranges(&every_other[..23]).len(), RANGES);
        assert_eq!(ranges(&every_other[..24]), [of_hours(hours.start, hours.end)]);
    }
}
