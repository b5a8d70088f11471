//! Merges pages into the cells of a report: one for each interval and group.

use std::collections::{BTreeMap, BTreeSet};

use crate::refusal::Refusal;
use crate::report::calendar::Buckets;
use crate::report::query::{Figure, Group, Kind, Metric, Query};
use crate::rollup::fold::StoredPage;
use crate::rollup::key::{Day, Hour, Period, Series};
use crate::rollup::number::Number;
use crate::rollup::observation::OTHER;
use crate::rollup::page::PageReader;
use crate::rollup::{Columns, NameId, Names, Rollup};

/// Cells of a table that hold something: what a report may take in memory.
const CELLS: usize = 100_000;

/// What has been read for a query so far.
pub(crate) struct Table<'q> {
    query: &'q Query,
    names: Names,
    /// The numeric properties that the query asks for.
    numbers: Vec<NameId>,
    wants_users: bool,
    /// Of a time series; otherwise there is one interval, the range.
    pub(crate) buckets: Buckets,
    /// By group, and then by the place of the interval in `buckets`.
    groups: BTreeMap<String, BTreeMap<usize, Rollup>>,
    cells: usize,
    /// Events by hour: of a summary.
    pub(crate) hours: BTreeMap<Hour, u64>,
    /// What there is in the range: of a summary.
    pub(crate) dimensions: BTreeSet<String>,
    pub(crate) event_types: BTreeSet<String>,
    properties: BTreeSet<NameId>,
    /// Whether the dimension asked for had more values, or an event type more dimensions, than rollups keep.
    pub(crate) is_capped: bool,
    /// Whether rollups had more numeric properties than they keep, and one asked for may be among them.
    pub(crate) numbers_dropped: bool,
}

impl<'q> Table<'q> {
    pub(crate) fn new(query: &'q Query) -> Self {
        let mut names = Names::default();
        let mut numbers = Vec::new();
        for metric in &query.metrics {
            if let Metric::Number(_, name) = metric {
                numbers.push(names.id(name));
            }
        }
        Self {
            query,
            names,
            numbers,
            wants_users: query.metrics.contains(&Metric::Users),
            buckets: match query.kind {
                Kind::Timeseries => Buckets::new(&query.zone, query.interval, query.from, query.until),
                Kind::Top | Kind::Summary => Buckets::whole(&query.zone, query.from, query.until),
            },
            groups: BTreeMap::new(),
            cells: 0,
            hours: BTreeMap::new(),
            dimensions: BTreeSet::new(),
            event_types: BTreeSet::new(),
            properties: BTreeSet::new(),
            is_capped: false,
            numbers_dropped: false,
        }
    }

    /// Merges what the query asks for of a page. `next` is the page after it: where that is of the same series, the values that
    /// it starts with are there, whatever this one says, which was read before it was split.
    pub(crate) fn add(&mut self, page: &StoredPage, next: Option<&StoredPage>) -> Result<(), Refusal> {
        if Day::of_mark(&page.key).is_some() || Day::of_types(&page.key).is_some() {
            // The tail is folded as if it were stored, and so has marks.
            return Ok(());
        }
        let unreadable = || Refusal::UnreadableRollups(page.key.clone());
        let (series, _) = Series::parse(&page.key).ok_or_else(unreadable)?;
        let until = next.and_then(|next| Series::parse(&next.key).filter(|(of, _)| *of == series));
        let query = self.query;
        let is_asked_for = query.from <= series.period.first_hour()
            && series.period.until() <= query.until
            && query.event_type.as_ref().is_none_or(|event_type| *event_type == series.event_type);
        if !is_asked_for {
            return Ok(());
        }
        let mut reader = PageReader::open(&page.bytes, &mut self.names).ok_or_else(unreadable)?;
        if series.dimension.is_empty() {
            self.meet(&series, &reader);
        }
        if query.dimension().unwrap_or_default() != series.dimension {
            return Ok(());
        }
        while let Some((value, entry)) = reader.next().ok_or_else(unreadable)? {
            if until.as_ref().is_some_and(|(_, until)| value >= *until) {
                break;
            }
            let value = if value.is_empty() && !series.dimension.is_empty() {
                self.is_capped = true;
                OTHER
            } else {
                value
            };
            if query.filter.as_ref().is_none_or(|(_, values)| values.iter().any(|wanted| wanted == value)) {
                let columns = Columns::Some { users: self.wants_users, numbers: &self.numbers };
                let rollup = reader.rollup(entry, columns).ok_or_else(unreadable)?;
                self.merge(&series, value, rollup)?;
            }
        }
        Ok(())
    }

    /// What the page of all events of an hour says about what there is.
    fn meet(&mut self, series: &Series, page: &PageReader<'_>) {
        let dimension = self.query.dimension();
        if page.dimensions_dropped && dimension.is_some_and(|asked| !page.dimensions.contains(&asked)) {
            self.is_capped = true;
        }
        if self.query.kind == Kind::Summary {
            self.dimensions.extend(page.dimensions.iter().map(|dimension| (*dimension).to_owned()));
            self.event_types.insert(series.event_type.clone());
            self.properties.extend(page.names());
        }
    }

    fn merge(&mut self, series: &Series, value: &str, rollup: Rollup) -> Result<(), Refusal> {
        if let (Kind::Summary, Period::Hour(hour)) = (self.query.kind, series.period) {
            *self.hours.entry(hour).or_default() += rollup.count;
        }
        let group = match &self.query.group {
            None => "",
            Some(Group::EventType) => &series.event_type,
            Some(Group::Dimension(_)) => value,
        };
        let asked = |name: &NameId| !rollup.numbers.iter().any(|(known, _)| known == name);
        self.numbers_dropped |= rollup.numbers_dropped && self.numbers.iter().any(asked);
        let bucket = self.buckets.place(series.period.first_hour());
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), BTreeMap::new());
        }
        let Some(cells) = self.groups.get_mut(group) else { return Ok(()) };
        match cells.get_mut(&bucket) {
            Some(cell) => cell.merge(rollup, &self.names),
            None => {
                cells.insert(bucket, rollup);
                self.cells += 1;
            }
        }
        if self.cells > CELLS {
            return Err(Refusal::UnsupportedReport(format!(
                "the report has more than {CELLS} figures by time and group: ask for a shorter range, a longer interval or a filter"
            )));
        }
        Ok(())
    }

    /// The rows of a time series from `offset` on: every interval with every group, those without events too.
    pub(crate) fn rows(&self, offset: usize, limit: usize) -> Vec<(usize, &str, Option<&Rollup>)> {
        let mut groups: Vec<(&str, Option<&BTreeMap<usize, Rollup>>)> =
            self.groups.iter().map(|(group, cells)| (group.as_str(), Some(cells))).collect();
        if self.query.group.is_none() && groups.is_empty() {
            groups.push(("", None));
        }
        let rows = self.buckets.len() * groups.len();
        let row = |at: usize| {
            let (bucket, (group, cells)) = (at / groups.len(), groups[at % groups.len()]);
            (bucket, group, cells.and_then(|cells| cells.get(&bucket)))
        };
        (offset..rows.min(offset.saturating_add(limit))).map(row).collect()
    }

    /// The groups of the whole range, in the order of their names.
    pub(crate) fn totals(&self) -> Vec<(&str, &Rollup)> {
        self.groups.iter().filter_map(|(group, cells)| Some((group.as_str(), cells.get(&0)?))).collect()
    }

    pub(crate) fn numeric_properties(&self) -> BTreeSet<&str> {
        // Not `collect`, which brings a sort along.
        let mut names = BTreeSet::new();
        names.extend(self.properties.iter().map(|name| self.names.name(*name)));
        names
    }

    /// One figure of a cell.
    pub(crate) fn figure(&self, metric: &Metric, cell: Option<&Rollup>) -> Option<Number> {
        let integer = |value: u64| Some(Number::Integer(value.into()));
        let (figure, name) = match metric {
            Metric::Count => return integer(cell.map_or(0, |cell| cell.count)),
            Metric::Users => return integer(cell.map_or(0, |cell| cell.users.count())),
            Metric::Number(figure, name) => (*figure, name),
        };
        let measure = cell.and_then(|cell| {
            let (_, measure) = cell.numbers.iter().find(|(known, _)| self.names.name(*known) == name)?;
            Some(measure)
        });
        let Some(measure) = measure else {
            // The sum of no numbers is 0; there is no least of none. What was dropped is not known.
            let is_none = !cell.is_some_and(|cell| cell.numbers_dropped);
            return (figure == Figure::Sum && is_none).then_some(Number::Integer(0));
        };
        match figure {
            Figure::Sum => measure.sum.total(),
            Figure::Min => Some(measure.min),
            Figure::Max => Some(measure.max),
            Figure::Mean => Number::from_f64(measure.sum.total()?.to_f64() / measure.count as f64),
            Figure::Percentile(thousandths) => {
                // Nearest rank.
                let rank = (u128::from(measure.count) * u128::from(thousandths)).div_ceil(100_000).max(1);
                measure.at_rank(u64::try_from(rank).ok()?)
            }
        }
    }

    /// The largest relative error of the quantiles of a property.
    pub(crate) fn relative_error(&self, name: &str) -> f64 {
        let cells = self.groups.values().flat_map(BTreeMap::values).flat_map(|cell| &cell.numbers);
        let of_name = cells.filter(|(known, _)| self.names.name(*known) == name);
        of_name.map(|(_, measure)| measure.relative_error()).fold(Rollup::relative_error(), f64::max)
    }
}
