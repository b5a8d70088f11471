//! Merges pages into the cells of a report, one for each interval and group.

use std::collections::{BTreeMap, BTreeSet};

use crate::reports::calendar::Intervals;
use crate::reports::cursor::LastRow;
use crate::reports::data::CELL_BYTES;
use crate::reports::kind::Kind;
use crate::reports::query::{Figure, GroupBy, Metric, Query};
use crate::rollups::interner::{Interner, Symbol};
use crate::rollups::key::{Hour, KeyKind, Period, Series};
use crate::rollups::number::Number;
use crate::rollups::observation::OTHER;
use crate::rollups::page::{self, PageReader};
use crate::rollups::rollup::{NumericStats, Parts, Rollup};
use crate::rollups::stored::StoredPage;

/// The memory of a group besides its name and its cells, in bytes.
const GROUP_BYTES: usize = 1000;
/// How many names of each kind a summary lists.
const LISTED: usize = 100;

/// Why a page is not merged, or not completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The page can't be read.
    Unreadable,
    /// The cells have no room for the page.
    TooLarge,
}

/// The caps of rollups that were met. If one was, some values count as `(other)`, or names are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caps {
    /// An hour had more values of the dimension.
    pub(crate) values: bool,
    /// An hour had more dimensions, and the requested one may have been dropped.
    pub(crate) dimensions: bool,
    /// An hour had more event types.
    pub(crate) event_types: bool,
    /// A rollup had more numeric properties, and a requested one may have been dropped.
    pub(crate) numbers: bool,
}

/// What has been merged for a query so far.
pub(crate) struct Table<'q> {
    pub(crate) query: &'q Query,
    names: Interner,
    /// The numeric properties that the query asks for.
    numbers: Vec<Symbol>,
    wants_users: bool,
    /// The intervals of a time series. Other reports have a single interval, the range.
    pub(crate) intervals: Intervals,
    /// Cells by group, and then by the index of the interval in `intervals`.
    groups: BTreeMap<String, BTreeMap<usize, Rollup>>,
    /// Bytes of memory that the groups take.
    memory: usize,
    /// The number of events by hour, for a summary.
    pub(crate) hours: BTreeMap<Hour, u64>,
    /// The first names of each kind in the range, for a summary.
    pub(crate) dimensions: BTreeSet<String>,
    pub(crate) event_types: BTreeSet<String>,
    pub(crate) numeric_properties: BTreeSet<String>,
    pub(crate) caps: Caps,
    /// True if events are known to be missing from the answer: their pages can't be read, or the stream lost them.
    pub(crate) is_incomplete: bool,
}

impl<'q> Table<'q> {
    pub(crate) fn new(query: &'q Query) -> Self {
        let mut names = Interner::default();
        let mut numbers = Vec::new();
        for metric in &query.metrics {
            if let Metric::Number(_, name) = metric {
                numbers.push(names.intern(name));
            }
        }
        Self {
            query,
            names,
            numbers,
            wants_users: query.metrics.contains(&Metric::Users),
            intervals: match query.kind {
                Kind::Timeseries => Intervals::new(&query.zone, query.interval, query.from, query.until),
                Kind::Top | Kind::Summary => Intervals::whole(&query.zone, query.from, query.until),
            },
            groups: BTreeMap::new(),
            memory: 0,
            hours: BTreeMap::new(),
            dimensions: BTreeSet::new(),
            event_types: BTreeSet::new(),
            numeric_properties: BTreeSet::new(),
            caps: Caps::default(),
            is_incomplete: false,
        }
    }

    /// Merges the part of a page that the query asks for. `next` is the page after it. If `next` is of the same series,
    /// values from its first one on are read there. This page may still list them if it was read before it was split.
    pub(crate) fn add(&mut self, page: &StoredPage, next: Option<&StoredPage>) -> Result<(), Problem> {
        let query = self.query;
        let series = match KeyKind::of(&page.key) {
            // The tail is folded as if it were stored, so it has manifests too.
            KeyKind::Day => return Ok(()),
            KeyKind::Unknown => return Err(Problem::Unreadable),
            KeyKind::Apart(series) => {
                self.is_incomplete |= query.asks_for(&series);
                return Ok(());
            }
            KeyKind::Page(series, _) | KeyKind::Moved(series, _) => series,
        };
        if series.event_type == OTHER && query.spans(&series) {
            self.caps.event_types = true;
        }
        if !query.asks_for(&series) {
            return Ok(());
        }
        let is_moved = matches!(KeyKind::of(&page.key), KeyKind::Moved(..));
        let until = next.and_then(|next| match KeyKind::of(&next.key) {
            KeyKind::Page(of, first) if of == series && !is_moved => Some(first),
            KeyKind::Moved(of, first) if of == series && is_moved => Some(first),
            _ => None,
        });
        let mut reader = PageReader::open_known(&page.bytes, &self.names).ok_or(Problem::Unreadable)?;
        if series.dimension.is_empty() {
            self.meet(&series, page, &reader);
        }
        if query.dimension().unwrap_or_default() != series.dimension {
            return Ok(());
        }
        while let Some((value, entry)) = reader.next().ok_or(Problem::Unreadable)? {
            if until.is_some_and(|until| value >= until) {
                break;
            }
            let value = if value.is_empty() && !series.dimension.is_empty() {
                self.caps.values = true;
                OTHER
            } else {
                value
            };
            if query.filter.as_ref().is_none_or(|(_, values)| values.contains(value)) {
                let parts = Parts::Some { users: self.wants_users, numbers: &self.numbers };
                let rollup = reader.rollup(entry, parts).ok_or(Problem::Unreadable)?;
                self.merge(&series, value, rollup)?;
            }
        }
        Ok(())
    }

    /// Takes in what the page of all events of an hour says about dimensions and names.
    fn meet(&mut self, series: &Series, page: &StoredPage, reader: &PageReader<'_>) {
        let is_summary = self.query.kind == Kind::Summary;
        let dimension = self.query.dimension();
        let is_missing = dimension.map_or(is_summary, |asked| !reader.dimensions.contains(&asked));
        self.caps.dimensions |= reader.dimensions_dropped && is_missing;
        if is_summary {
            reader.dimensions.iter().for_each(|dimension| list(&mut self.dimensions, dimension));
            list(&mut self.event_types, &series.event_type);
            let names = page::names(&page.bytes).unwrap_or_default();
            names.into_iter().for_each(|name| list(&mut self.numeric_properties, name));
        }
    }

    fn merge(&mut self, series: &Series, value: &str, rollup: Rollup) -> Result<(), Problem> {
        if let (Kind::Summary, Period::Hour(hour)) = (self.query.kind, series.period) {
            let count = self.hours.entry(hour).or_default();
            *count = count.saturating_add(rollup.count);
        }
        let group = match &self.query.group_by {
            None => "",
            Some(GroupBy::EventType) => &series.event_type,
            Some(GroupBy::Dimension(_)) => value,
        };
        let is_missing = |name: &Symbol| !rollup.numbers.iter().any(|(known, _)| known == name);
        self.caps.numbers |= rollup.numbers_dropped && self.numbers.iter().any(is_missing);
        let interval = self.intervals.place(series.period.first_hour());
        if !self.groups.contains_key(group) {
            self.memory += GROUP_BYTES + 2 * group.len();
            self.groups.insert(group.to_owned(), BTreeMap::new());
        }
        let Some(cells) = self.groups.get_mut(group) else { return Ok(()) };
        match cells.get_mut(&interval) {
            Some(cell) => {
                let before = cell.memory();
                cell.merge(rollup, &self.names);
                self.memory = (self.memory + cell.memory()).saturating_sub(before);
            }
            None => {
                self.memory += rollup.memory();
                cells.insert(interval, rollup);
            }
        }
        if self.memory > CELL_BYTES { Err(Problem::TooLarge) } else { Ok(()) }
    }

    /// The rows of a time series after `after`: every interval with every group, including those without events.
    pub(crate) fn rows(&self, after: Option<&LastRow>) -> impl Iterator<Item = (usize, &str, Option<&Rollup>)> {
        let mut groups: Vec<(&str, Option<&BTreeMap<usize, Rollup>>)> =
            self.groups.iter().map(|(group, cells)| (group.as_str(), Some(cells))).collect();
        if self.query.group_by.is_none() && groups.is_empty() {
            groups.push(("", None));
        }
        let first = match after {
            Some(LastRow::Interval(start, group)) => {
                let interval = self.intervals.from(*start);
                let is_same = self.intervals.start(interval) == Some(*start);
                let shown = groups.partition_point(|(known, _)| is_same && *known <= group.as_str());
                interval * groups.len() + shown
            }
            _ => 0,
        };
        (first..self.intervals.len() * groups.len()).filter_map(move |at| {
            let interval = at / groups.len();
            let (group, cells) = *groups.get(at % groups.len())?;
            Some((interval, group, cells.and_then(|cells| cells.get(&interval))))
        })
    }

    /// The groups of the whole range, ordered by name.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (&str, &Rollup)> {
        self.groups.iter().filter_map(|(group, cells)| Some((group.as_str(), cells.get(&0)?)))
    }

    /// One figure of a cell.
    pub(crate) fn figure(&self, metric: &Metric, cell: Option<&Rollup>) -> Option<Number> {
        let integer = |value: u64| Some(Number::Integer(value.into()));
        let (figure, name) = match metric {
            Metric::Count => return integer(cell.map_or(0, |cell| cell.count)),
            Metric::Users => return integer(cell.map_or(0, |cell| cell.users.count())),
            Metric::Number(figure, name) => (*figure, name),
        };
        let stats = cell.and_then(|cell| {
            let (_, stats) = cell.numbers.iter().find(|(known, _)| self.names.name(*known) == name)?;
            Some(stats)
        });
        let Some(stats) = stats else {
            // The sum of no numbers is 0, but they have no minimum or mean. Dropped numbers are unknown.
            let none_dropped = !cell.is_some_and(|cell| cell.numbers_dropped);
            return (figure == Figure::Sum && none_dropped).then_some(Number::Integer(0));
        };
        match figure {
            Figure::Sum => stats.sum.total(),
            Figure::Min => Some(stats.min),
            Figure::Max => Some(stats.max),
            // If integers are too large for doubles, the nearest double may lie beyond all values.
            Figure::Mean => Some(stats.sum.mean(stats.count).larger(stats.min).smaller(stats.max)),
            Figure::Percentile(thousandths) => {
                // The nearest-rank method.
                let rank = (u128::from(stats.count) * u128::from(thousandths)).div_ceil(100_000).max(1);
                stats.at_rank(u64::try_from(rank).ok()?)
            }
        }
    }

    /// The largest relative error of the quantiles of a property.
    pub(crate) fn relative_error(&self, name: &str) -> f64 {
        self.numbers_of(name).map(NumericStats::relative_error).fold(Rollup::relative_error(), f64::max)
    }

    /// True if a sum of a property is beyond the largest double.
    pub(crate) fn has_overflow(&self, name: &str) -> bool {
        self.numbers_of(name).any(|stats| stats.sum.total().is_none())
    }

    fn numbers_of(&self, name: &str) -> impl Iterator<Item = &NumericStats> {
        let cells = self.groups.values().flat_map(BTreeMap::values).flat_map(|cell| &cell.numbers);
        cells.filter(move |(known, _)| self.names.name(*known) == name).map(|(_, stats)| stats)
    }
}

/// Adds a name if it is among the first [`LISTED`].
fn list(names: &mut BTreeSet<String>, name: &str) {
    if names.len() == LISTED && names.last().is_some_and(|last| last.as_str() < name) || names.contains(name) {
        return;
    }
    names.insert(name.to_owned());
    if names.len() > LISTED {
        names.pop_last();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_are_listed() {
        let mut names = BTreeSet::new();
        (0..300).rev().chain(0..300).for_each(|at| list(&mut names, &format!("{at:03}")));
        assert_eq!((names.len(), names.first().unwrap().as_str(), names.last().unwrap().as_str()), (100, "000", "099"));
    }
}
