//! Folding: events into pages. The host reads the pages that a fold names, writes those that it gives, and moves its
//! watermark, all in one transaction.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

use crate::rollup::Names;
use crate::rollup::compaction::Marks;
use crate::rollup::events::{Events, Place, Run};
use crate::rollup::key::{Hour, KeyRange, Period, Series};
use crate::rollup::observation::{DIMENSIONS, Dimensions, Observation};
use crate::rollup::page::{self, Head, PageWriter};
use crate::rollup::ranks::Ranks;

/// Values of a dimension an hour and event type; the rest is `(other)`.
const VALUES: usize = 1000;

/// Some pages of rollups as a store keeps them; opaque to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPage {
    /// Where it stands.
    pub key: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// What a store has under this key is no page that this version can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadablePage {
    /// Where it stands.
    pub key: String,
}

impl fmt::Display for UnreadablePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored rollups under {:?} cannot be read", self.key)
    }
}

impl std::error::Error for UnreadablePage {}

/// A record that is no event, and so is in no report: why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRecord(pub(crate) String);

impl fmt::Display for UnreadableRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record is no event: {}", self.0)
    }
}

impl std::error::Error for UnreadableRecord {}

/// Some events of a tenant, sorted by the rollups that they go into, before they are merged with what is stored.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    names: Names,
    events: Events,
    /// Hours and event types, sorted.
    groups: Vec<Group>,
    /// Dimensions and values; first the empty ones, for all events.
    columns: Vec<(String, String)>,
    /// Sorted by group and column.
    places: Vec<Place>,
    unreadable: Vec<(usize, UnreadableRecord)>,
}

/// An hour and event type.
#[derive(Clone, Debug)]
struct Group {
    hour: Hour,
    event_type: String,
    /// How many places it has.
    places: usize,
}

impl Fold {
    /// Folds these events.
    pub fn of(observations: &[Observation<'_>]) -> Self {
        let (mut names, mut events) = (Names::default(), Events::for_all(observations));
        let (mut groups, mut columns) = (Ranks::new(), Ranks::new());
        let length = |observation: &Observation<'_>| 1 + observation.dimensions.len();
        // All events are in the first.
        let all = columns.number((0, "", ""), observations.len() as u32);
        let mut places = Vec::with_capacity(observations.len() * observations.first().map_or(0, length));
        let mut group_of = Vec::with_capacity(observations.len());
        for (event, observation) in (0..).zip(observations) {
            events.push(observation, &mut names);
            let Observation { hour: Hour(hour), event_type, dimensions, .. } = observation;
            group_of.push(groups.number((*hour, "", event_type), length(observation) as u32));
            places.push(Place { column: all, event });
            for (dimension, value) in dimensions {
                places.push(Place { column: columns.number((0, dimension, value), 1), event });
            }
        }
        let places = columns.sort(&places, |place| place.column);
        let group = |((hour, _, event_type), places): ((u32, &str, &str), u32)| Group {
            hour: Hour(hour),
            event_type: event_type.to_owned(),
            places: places as usize,
        };
        Self {
            names,
            events,
            places: groups.sort(&places, |place| group_of[place.event as usize]),
            groups: groups.sorted().map(group).collect(),
            columns: columns.keys().iter().map(|(_, name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            unreadable: Vec::new(),
        }
    }

    /// Folds the records of events.
    pub(crate) fn of_records<'a>(records: impl IntoIterator<Item = &'a str>, dimensions: &Dimensions) -> Self {
        let mut observations = Vec::new();
        let mut unreadable = Vec::new();
        for (index, record) in records.into_iter().enumerate() {
            match Observation::read(record, dimensions) {
                Ok(observation) => observations.push(observation),
                Err(problem) => unreadable.push((index, problem)),
            }
        }
        Self { unreadable, ..Self::of(&observations) }
    }

    /// The records that were none, and which of all they were, from 0.
    pub fn unreadable(&self) -> &[(usize, UnreadableRecord)] {
        &self.unreadable
    }

    /// Which pages [`Fold::settle`] needs: all that a store has in these ranges.
    pub fn ranges(&self) -> Vec<KeyRange> {
        let mut ranges = Vec::new();
        for (group, runs) in self.groups() {
            let prefixes = runs.chunk_by(Run::is_of_dimension).map(|runs| prefix(group, runs));
            ranges.extend(prefixes.map(KeyRange::of_series));
        }
        let days = self.groups.chunk_by(|one, two| one.hour.day() == two.hour.day());
        ranges.extend(days.map(|groups| groups[0].hour.day()).map(|day| KeyRange::of_marks(day, day.next())));
        ranges
    }

    /// What is counted of each hour and event type, sorted by dimension and value.
    fn groups(&self) -> impl Iterator<Item = (&Group, Vec<Run<'_>>)> {
        let mut rest = self.places.as_slice();
        self.groups.iter().map(move |group| {
            let (places, others) = rest.split_at(group.places);
            rest = others;
            let runs = places.chunk_by(|one, two| one.column == two.column).map(|places| {
                let (dimension, value) = &self.columns[places[0].column as usize];
                Run { dimension, value, places }
            });
            (group, runs.collect())
        })
    }

    /// The pages to write, from those that are stored in [`Fold::ranges`].
    ///
    /// # Errors
    /// [`UnreadablePage`] where a stored page can't be read; nothing is to be written then.
    pub fn settle(mut self, stored: Vec<StoredPage>) -> Result<Vec<StoredPage>, UnreadablePage> {
        let mut marks = Marks::default();
        let mut events = std::mem::take(&mut self.events);
        let mut pages = Pages { stored: BTreeMap::new(), names: self.names.clone(), writer: PageWriter::default() };
        for StoredPage { key, bytes } in stored {
            if Series::parse(&key).is_some() {
                pages.stored.insert(key, bytes);
            } else {
                marks.know(&StoredPage { key, bytes })?;
            }
        }
        for (group, runs) in self.groups() {
            let mut all_series = runs.chunk_by(Run::is_of_dimension);
            let Some(all) = all_series.next() else { continue };
            let mut head = pages.head(prefix(group, all))?;
            head.dimensions_dropped |= all.iter().any(|run| events.dimensions_dropped(run.places));
            let mut kept = Vec::new();
            for runs in all_series {
                let dimension = runs[0].dimension;
                if head.dimensions.contains(dimension) {
                    kept.push(runs);
                } else if head.dimensions.len() < DIMENSIONS {
                    head.dimensions.insert(dimension.to_owned());
                    kept.push(runs);
                } else {
                    head.dimensions_dropped = true;
                }
            }
            marks.touch(group.hour.day(), kept.iter().map(|runs| runs[0].dimension));
            pages.writer.tally.group(runs[0].places, &mut events);
            pages.merge(&prefix(group, all), &head, all, &events)?;
            for runs in kept {
                pages.merge(&prefix(group, runs), &Head::default(), runs, &events)?;
            }
        }
        let mut written = pages.writer.written;
        marks.write(&mut written);
        Ok(written)
    }
}

fn prefix(Group { hour, event_type, .. }: &Group, runs: &[Run<'_>]) -> String {
    Series::prefix(runs[0].dimension, Period::Hour(*hour), event_type)
}

/// The pages that are stored, and those that are written.
struct Pages {
    stored: BTreeMap<String, Vec<u8>>,
    names: Names,
    writer: PageWriter,
}

impl Pages {
    /// What the page of all events says of its hour.
    fn head(&mut self, key: String) -> Result<Head, UnreadablePage> {
        let stored = self.stored.get(&key).map(Vec::as_slice);
        Head::read(stored, &mut self.names).ok_or(UnreadablePage { key })
    }

    /// Counts the events of a series' runs. All keys of its pages have the prefix.
    fn merge(&mut self, prefix: &str, head: &Head, runs: &[Run<'_>], events: &Events) -> Result<(), UnreadablePage> {
        let Self { stored, names, writer } = self;
        // By the value that they start at; the first starts at the empty one.
        let mut pages = vec![("", None)];
        for (key, bytes) in stored.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)) {
            let Some(first) = key.strip_prefix(prefix) else { break };
            if first.is_empty() {
                pages.clear();
            }
            pages.push((first, Some(bytes.as_slice())));
        }
        let unreadable = |first: &str| UnreadablePage { key: [prefix, first].concat() };
        let mut known = 0;
        for (first, bytes) in &pages {
            known += bytes.map_or(Some(0), page::length).ok_or_else(|| unreadable(first))?;
        }
        let mut others = Vec::new();
        let capped;
        let mut rest = runs;
        if known + runs.len() > VALUES {
            let mut values = Vec::new();
            for (first, bytes) in &pages {
                let of_page = bytes.map_or(Some(Vec::new()), |bytes| page::values(bytes, names));
                values.extend(of_page.ok_or_else(|| unreadable(first))?);
            }
            capped = cap(runs, &values, &mut others);
            rest = &capped;
        }
        for (at, (first, bytes)) in pages.iter().enumerate() {
            let is_before_next = |run: &Run<'_>| pages.get(at + 1).is_none_or(|(next, _)| run.value < *next);
            let (of_page, others) = rest.split_at(rest.partition_point(is_before_next));
            rest = others;
            if bytes.is_none() || !of_page.is_empty() {
                writer.merge((prefix, first), *bytes, head, of_page, events, names).ok_or_else(|| unreadable(first))?;
            }
        }
        Ok(())
    }
}

/// Of values beyond [`VALUES`], counts those that are not known yet as `(other)`, the empty value: in `others`.
fn cap<'r>(runs: &[Run<'r>], known: &[&str], others: &'r mut Vec<Place>) -> Vec<Run<'r>> {
    let mut count = known.len();
    let mut kept = Vec::new();
    for run in runs {
        let is_known = known.binary_search(&run.value).is_ok();
        if !run.value.is_empty() && (is_known || count < VALUES) {
            count += usize::from(!is_known);
            kept.push(*run);
        } else {
            count += usize::from(!is_known && run.value.is_empty());
            others.extend_from_slice(run.places);
        }
    }
    // It sorts first.
    if let (false, Some(run)) = (others.is_empty(), runs.first()) {
        kept.insert(0, Run { value: "", places: others, ..*run });
    }
    kept
}
