//! Compaction: the rollups of a day's hours merged into pages of the day, which long reports read instead.
//!
//! A day's mark says which dimensions its events have, and whether it is sealed: whether the day's pages hold all that the
//! hours' do. A fold that touches a day unseals it, in the transaction that writes the hours; hours stay, for reports by hour
//! and for days as other time zones have them.

use std::collections::{BTreeMap, BTreeSet};

use crate::rollup::codec::{Reader, Writer};
use crate::rollup::fold::{StoredPage, UnreadablePage};
use crate::rollup::key::{Day, KeyRange, Period, Series};
use crate::rollup::page::{Head, PageReader, PageWriter};
use crate::rollup::{Columns, Names, Rollup};
use crate::time::Millis;

const VERSION: u8 = 1;

/// What a store says of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) is_sealed: bool,
    /// Of the day's events; the empty one, of all events, is not among them.
    pub(crate) dimensions: BTreeSet<String>,
}

impl Mark {
    /// Version 1: the version; twice the number of dimensions, plus 1 when the day is sealed; the dimensions.
    pub(crate) fn write(&self, day: Day) -> StoredPage {
        let mut writer = Writer::default();
        writer.byte(VERSION);
        writer.length(self.dimensions.len() << 1 | usize::from(self.is_sealed));
        self.dimensions.iter().for_each(|dimension| writer.text(dimension));
        StoredPage { key: day.mark(), bytes: writer.0 }
    }

    /// `None` where the page is no mark.
    fn parse(page: &StoredPage) -> Option<(Day, Self)> {
        let mut reader = Reader(&page.bytes);
        reader.byte().filter(|version| *version == VERSION)?;
        let length: usize = reader.small()?;
        let mut mark = Self { is_sealed: length & 1 == 1, ..Self::default() };
        for _ in 0..length >> 1 {
            mark.dimensions.insert(reader.text()?.to_owned());
        }
        Some((Day::of_mark(&page.key)?, mark))
    }

    /// The day and its mark.
    ///
    /// # Errors
    /// Where the page is no mark.
    pub(crate) fn read(page: &StoredPage) -> Result<(Day, Self), UnreadablePage> {
        Self::parse(page).ok_or_else(|| UnreadablePage { key: page.key.clone() })
    }
}

/// The marks of the days that a fold touches, and whether they change.
#[derive(Default)]
pub(crate) struct Marks(BTreeMap<Day, (Mark, bool)>);

impl Marks {
    /// One that is stored.
    ///
    /// # Errors
    /// Where the page is no mark.
    pub(crate) fn know(&mut self, page: &StoredPage) -> Result<(), UnreadablePage> {
        let (day, mark) = Mark::read(page)?;
        self.0.insert(day, (mark, false));
        Ok(())
    }

    /// That day gets events with these dimensions.
    pub(crate) fn touch<'a>(&mut self, day: Day, dimensions: impl Iterator<Item = &'a str>) {
        let (mark, is_changed) = self.0.entry(day).or_insert_with(|| (Mark::default(), true));
        *is_changed |= std::mem::take(&mut mark.is_sealed);
        for dimension in dimensions {
            if !mark.dimensions.contains(dimension) {
                mark.dimensions.insert(dimension.to_owned());
                *is_changed = true;
            }
        }
    }

    pub(crate) fn write(self, written: &mut Vec<StoredPage>) {
        let changed = self.0.into_iter().filter(|(_, (_, is_changed))| *is_changed);
        written.extend(changed.map(|(day, (mark, _))| mark.write(day)));
    }
}

/// One day of a tenant that is over and not sealed.
///
/// A host reads the pages in [`Compaction::ranges`] and writes what [`Compaction::settle`] gives in one transaction, in which its
/// watermark stays where it was when the marks were read.
#[derive(Clone, Debug)]
pub struct Compaction {
    day: Day,
    mark: Mark,
}

impl Compaction {
    /// The days to compact, from all marks.
    pub(crate) fn of(marks: &[StoredPage], received_at: Millis) -> Result<Vec<Self>, UnreadablePage> {
        let mut compactions = Vec::new();
        for page in marks {
            let (day, mark) = Mark::read(page)?;
            if !mark.is_sealed && day.next().first_hour().start() <= received_at {
                compactions.push(Self { day, mark });
            }
        }
        Ok(compactions)
    }

    /// Which pages [`Compaction::settle`] needs: all that a store has in these ranges.
    pub fn ranges(&self) -> Vec<KeyRange> {
        let (day, next) = (self.day, self.day.next());
        let dimensions = std::iter::once("").chain(self.mark.dimensions.iter().map(String::as_str));
        let ranges = dimensions.flat_map(|dimension| {
            [
                KeyRange::of_hours(dimension, day.first_hour(), next.first_hour()),
                KeyRange::of_days(dimension, day, next),
            ]
        });
        ranges.collect()
    }

    /// The pages to write, from those that are stored in [`Compaction::ranges`]: the day's, and its mark.
    ///
    /// # Errors
    /// [`UnreadablePage`] where a stored page can't be read; nothing is to be written then.
    pub fn settle(self, stored: Vec<StoredPage>) -> Result<Vec<StoredPage>, UnreadablePage> {
        let mut names = Names::default();
        let mut all_series: BTreeMap<Series, Whole> = BTreeMap::new();
        for StoredPage { key, bytes } in stored {
            let Some((series, first)) = Series::parse(&key) else { return Err(UnreadablePage { key }) };
            let is_hour = matches!(series.period, Period::Hour(_));
            let whole = all_series.entry(Series { period: Period::Day(self.day), ..series }).or_default();
            if is_hour {
                whole.merge(&bytes, &mut names).ok_or(UnreadablePage { key })?;
            } else {
                whole.firsts.insert(first.to_owned());
            }
        }
        let mut writer = PageWriter::default();
        for (series, whole) in all_series {
            whole.write(&series, &names, &mut writer);
        }
        writer.written.push(Mark { is_sealed: true, ..self.mark }.write(self.day));
        Ok(writer.written)
    }
}

/// All rollups of a series of a day.
#[derive(Default)]
struct Whole {
    head: Head,
    values: BTreeMap<String, Rollup>,
    /// Where the day's pages start that are stored: each is written anew, or it would stay as it was.
    firsts: BTreeSet<String>,
}

impl Whole {
    /// Merges a page of an hour. `None`: these bytes are none.
    fn merge(&mut self, hour: &[u8], names: &mut Names) -> Option<()> {
        let Head { dimensions, dimensions_dropped } = Head::read(Some(hour), names)?;
        self.head.dimensions.extend(dimensions);
        self.head.dimensions_dropped |= dimensions_dropped;
        let mut reader = PageReader::open(hour, names)?;
        while let Some((value, entry)) = reader.next()? {
            let rollup = reader.rollup(entry, Columns::All)?;
            match self.values.get_mut(value) {
                Some(known) => known.merge(rollup, names),
                None => drop(self.values.insert(value.to_owned(), rollup)),
            }
        }
        Some(())
    }

    fn write(self, series: &Series, names: &Names, writer: &mut PageWriter) {
        let values: Vec<(&str, &Rollup)> = self.values.iter().map(|(value, rollup)| (value.as_str(), rollup)).collect();
        let mut rest = values.as_slice();
        let prefix = Series::prefix(&series.dimension, series.period, &series.event_type);
        let none = Head::default();
        let mut head = &self.head;
        let mut firsts = self.firsts.iter().map(String::as_str).filter(|first| !first.is_empty());
        let mut first = "";
        loop {
            let next = firsts.next();
            let end = next.map_or(rest.len(), |next| rest.partition_point(|(value, _)| *value < next));
            let (page, others) = rest.split_at(end);
            writer.write_split((&prefix, first), page, head, names);
            let Some(next) = next else { return };
            (first, rest, head) = (next, others, &none);
        }
    }
}
