//! Folding: counting events in pages. The host reads the pages that a fold names, writes those that it returns, and
//! moves its watermark, all in one transaction.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::rollups::compaction::Days;
use crate::rollups::fold_events::FoldEvents;
use crate::rollups::interner::Interner;
use crate::rollups::key::{Hour, KeyRange, Period, Series};
use crate::rollups::observation::{DIMENSIONS, Dimensions, OTHER, Observation};
use crate::rollups::page::{self, Head, PageWriter};
use crate::rollups::place::{Place, Run};
use crate::rollups::ranks::Ranks;
use crate::rollups::stored::{Merged, StoredPage};
use crate::vocabulary::counted;

/// The most values of a dimension per hour and event type; further values count as `(other)`.
const VALUES: usize = 1000;
/// The bytes that the numbers of a dimension's values may take together, per hour and event type. Values that get events
/// beyond that lose their numbers for good, and keep counts and users. So the pages that a fold reads and writes are bounded,
/// whatever numbers clients send, and a report can read all hours of a day.
const NUMBERS_BYTES: usize = 256 * 1024;

/// Some events of a tenant, sorted by the rollups that count them, before they are merged with stored pages.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    names: Interner,
    events: FoldEvents,
    /// Hours and event types, sorted.
    groups: Vec<Group>,
    /// Dimensions and values. The first column is empty and stands for all events.
    columns: Vec<(String, String)>,
    /// Sorted by group and column.
    places: Vec<Place>,
}

/// An hour and event type.
#[derive(Clone, Debug)]
struct Group {
    hour: Hour,
    event_type: String,
    /// The number of its places.
    places: usize,
}

impl Fold {
    /// Folds these events.
    pub fn of<'e, 'a: 'e>(observations: impl ExactSizeIterator<Item = &'e Observation<'a>> + Clone) -> Self {
        let first = observations.clone().next();
        let (mut names, mut events) = (Interner::default(), FoldEvents::with_room_for(observations.len(), first));
        let (mut groups, mut columns) = (Ranks::new(), Ranks::new());
        let length = |observation: &Observation<'_>| 1 + observation.dimensions.len();
        // Every event is in the first column.
        let all = columns.number((0, "", ""), observations.len() as u32);
        let mut places = Vec::with_capacity(observations.len() * first.map_or(0, length));
        let mut group_of = Vec::with_capacity(observations.len());
        for (event, observation) in (0..).zip(observations.clone()) {
            events.push(observation, &mut names);
            let Observation { hour: Hour(hour), event_type, dimensions, .. } = observation;
            group_of.push(groups.number((*hour, "", event_type), length(observation) as u32));
            places.push(Place { column: all, event });
            for (dimension, value) in dimensions {
                places.push(Place { column: columns.number((0, dimension, value), 1), event });
            }
        }
        events.close(&names);
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
        }
    }

    /// Folds the records of events. Skips records that can't be read, and those that moved rollups count.
    pub(crate) fn of_records<'a>(records: impl IntoIterator<Item = &'a str>, dimensions: &Dimensions) -> Self {
        let read = |record| Observation::read(record, dimensions).ok();
        let records = records.into_iter().filter(|record| !counted::is_counted(record));
        let observations: Vec<_> = records.filter_map(read).collect();
        Self::of(observations.iter())
    }

    /// The ranges of keys in which [`Fold::merge`] needs every stored page.
    pub fn ranges(&self) -> Vec<KeyRange> {
        let mut ranges = Vec::new();
        for (group, runs) in self.groups() {
            let prefixes = runs.chunk_by(Run::is_of_dimension).map(|runs| prefix(group, runs));
            ranges.extend(prefixes.map(KeyRange::of_series));
        }
        for groups in self.groups.chunk_by(|one, two| one.hour == two.hour) {
            ranges.push(KeyRange::of_series(Series::prefix("", Period::Hour(groups[0].hour), OTHER)));
        }
        for groups in self.groups.chunk_by(|one, two| one.hour.day() == two.hour.day()) {
            let day = groups[0].hour.day();
            ranges.extend([KeyRange::of_manifests(day, day.next()), KeyRange::of_types(day)]);
        }
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }

    /// The runs of each hour and event type, sorted by dimension and value.
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

    /// The pages to write, given the stored pages in [`Fold::ranges`].
    pub fn merge(mut self, stored: Vec<StoredPage>) -> Merged {
        let (mut days, mut merged) = (Days::default(), Merged::default());
        let mut events = std::mem::take(&mut self.events);
        let mut pages = BTreeMap::new();
        for page in stored {
            if Series::parse(&page.key).is_some() {
                pages.insert(page.key, page.bytes);
            } else {
                days.know(page, &mut merged);
            }
        }
        let names = std::mem::take(&mut self.names);
        let mut pages = Pages { stored: pages, names, writer: PageWriter::default(), merged };
        // Events of the hour whose event types are beyond the cap.
        let mut others: Vec<Place> = Vec::new();
        let mut groups = self.groups().peekable();
        while let Some((group, runs)) = groups.next() {
            let day = group.hour.day();
            let mut all_series = runs.chunk_by(Run::is_of_dimension);
            let Some(all) = all_series.next() else { continue };
            if group.event_type != OTHER && days.takes_type(day, &group.event_type) {
                pages
                    .merge_group(group, all, all_series, &mut events, |dimension| days.takes_dimension(day, dimension));
            } else {
                others.extend(all.iter().flat_map(|run| run.places));
            }
            if groups.peek().is_none_or(|(next, _)| next.hour != group.hour) && !others.is_empty() {
                days.touch(day);
                let other = Group { hour: group.hour, event_type: OTHER.to_owned(), places: others.len() };
                pages.merge_others(&other, &others, &mut events);
                others.clear();
            }
        }
        let Pages { writer, mut merged, .. } = pages;
        merged.pages.extend(writer.written);
        merged.opens_day = days.write(&mut merged.pages);
        merged
    }
}

fn prefix(Group { hour, event_type, .. }: &Group, runs: &[Run<'_>]) -> String {
    Series::prefix(runs[0].dimension, Period::Hour(*hour), event_type)
}

/// The stored pages, and the pages to write.
struct Pages {
    stored: BTreeMap<String, Vec<u8>>,
    names: Interner,
    writer: PageWriter,
    merged: Merged,
}

impl Pages {
    /// Counts the events of an hour and event type: `all` of them, and those of each dimension that the hour and the
    /// day have, or still have room for.
    fn merge_group<'r>(
        &mut self,
        group: &Group,
        all: &[Run<'r>],
        all_series: impl Iterator<Item = &'r [Run<'r>]>,
        events: &mut FoldEvents,
        mut takes_dimension: impl FnMut(&str) -> bool,
    ) {
        let mut head = self.head(prefix(group, all));
        head.dimensions_dropped |= all.iter().any(|run| events.dimensions_dropped(run.places));
        let mut kept = Vec::new();
        for runs in all_series {
            let dimension = runs[0].dimension;
            let is_known = head.dimensions.contains(dimension);
            if (is_known || head.dimensions.len() < DIMENSIONS) && takes_dimension(dimension) {
                head.dimensions.insert(dimension.to_owned());
                kept.push(runs);
            } else {
                head.dimensions_dropped = true;
            }
        }
        self.writer.tally.group(all[0].places, events);
        self.merge(&prefix(group, all), &head, all, events);
        for runs in kept {
            self.merge(&prefix(group, runs), &Head::default(), runs, events);
        }
    }

    /// Counts events whose event types are beyond the cap, without dimensions.
    fn merge_others(&mut self, group: &Group, places: &[Place], events: &mut FoldEvents) {
        let all = [Run { dimension: "", value: "", places }];
        let mut head = self.head(prefix(group, &all));
        head.dimensions_dropped = true;
        self.writer.tally.group(places, events);
        self.merge(&prefix(group, &all), &head, &all, events);
    }

    /// The head of the hour's page of all events.
    fn head(&mut self, key: String) -> Head {
        let stored = self.stored.get(&key).map(Vec::as_slice);
        Head::read(stored).unwrap_or_else(|| {
            let bytes = self.stored.remove(&key).unwrap_or_default();
            self.merged.set_apart(key, bytes);
            Head::default()
        })
    }

    /// Counts the events of a series' runs. The keys of all its pages start with `prefix`. An unreadable page is set
    /// apart and started anew.
    fn merge(&mut self, prefix: &str, head: &Head, runs: &[Run<'_>], events: &FoldEvents) {
        let Self { stored, names, writer, merged } = self;
        // Pages by the value that they start at; the first page starts at the empty value.
        let mut pages = vec![("", None)];
        for (key, bytes) in stored.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)) {
            let Some(first) = key.strip_prefix(prefix) else { break };
            if first.is_empty() {
                pages.clear();
            }
            pages.push((first, Some(bytes.as_slice())));
        }
        let mut set_apart = |first: &str, bytes: &[u8]| merged.set_apart([prefix, first].concat(), bytes.to_vec());
        let mut known = 0;
        for (first, bytes) in &mut pages {
            let length = bytes.map_or(Some(0), page::length);
            known += length.unwrap_or_else(|| {
                bytes.take().into_iter().for_each(|bytes| set_apart(first, bytes));
                0
            });
        }
        let mut others = Vec::new();
        let capped;
        let mut rest = runs;
        if known + runs.len() > VALUES {
            let mut values = Vec::new();
            for (first, bytes) in &mut pages {
                let of_page = bytes.map_or(Some(Vec::new()), page::values);
                values.extend(of_page.unwrap_or_else(|| {
                    bytes.take().into_iter().for_each(|bytes| set_apart(first, bytes));
                    Vec::new()
                }));
            }
            capped = cap(runs, &values, &mut others);
            rest = &capped;
        }
        writer.room = room(runs, pages.iter().filter_map(|(_, bytes)| *bytes));
        for (at, (first, bytes)) in pages.iter().enumerate() {
            let is_before_next = |run: &Run<'_>| pages.get(at + 1).is_none_or(|(next, _)| run.value < *next);
            let (of_page, others) = rest.split_at(rest.partition_point(is_before_next));
            rest = others;
            let is_touched = bytes.is_none() || !of_page.is_empty();
            if is_touched && writer.merge((prefix, first), *bytes, head, of_page, events, names).is_none() {
                bytes.iter().for_each(|bytes| set_apart(first, bytes));
                // Without stored bytes nothing can be unreadable.
                let _merged = writer.merge((prefix, first), None, head, of_page, events, names);
            }
        }
    }
}

/// How many more bytes a series with these stored pages may take before it drops numbers.
fn room<'p>(runs: &[Run<'_>], pages: impl Iterator<Item = &'p [u8]> + Clone) -> isize {
    // The single rollup of all events is bounded by itself.
    if runs.first().is_none_or(|run| run.dimension.is_empty()) {
        return isize::MAX;
    }
    let mut taken: usize = pages.clone().map(<[u8]>::len).sum();
    // Values and users have bounds of their own. They are looked at only in the few series that are so large.
    if taken > NUMBERS_BYTES {
        taken = pages.map(page::numbers_bytes).sum();
    }
    0_isize.saturating_add_unsigned(NUMBERS_BYTES).saturating_sub_unsigned(taken)
}

/// Keeps at most [`VALUES`] values. Events of further, unknown values are collected in `others` and count as `(other)`,
/// whose value is empty.
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
    // The empty value sorts first.
    if let (false, Some(run)) = (others.is_empty(), runs.first()) {
        kept.insert(0, Run { value: "", places: others, ..*run });
    }
    kept
}
