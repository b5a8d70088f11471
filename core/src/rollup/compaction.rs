//! Compaction: the rollups of a day's hours merged into pages of the day, which long reports read instead.
//!
//! A day's mark says which dimensions its events have, and whether it is sealed: whether the day's pages hold all that the
//! hours' do. A fold that touches a day unseals it, in the transaction that writes the hours; hours stay, for reports by hour
//! and for days as other time zones have them.

use std::collections::{BTreeMap, BTreeSet};

use crate::rollup::Names;
use crate::rollup::codec::{Reader, Writer};
use crate::rollup::fold::{Shelf, StoredPage, UnreadablePage};
use crate::rollup::key::{Day, KeyRange, Period, Series};
use crate::rollup::page::Page;
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
        let mut shelves: BTreeMap<Series, Shelf> = BTreeMap::new();
        let mut hours = Vec::new();
        for page in stored {
            let Some((series, first)) = Series::parse(&page.key) else { return Err(UnreadablePage { key: page.key }) };
            let is_hour = matches!(series.period, Period::Hour(_));
            let series = Series { period: Period::Day(self.day), ..series };
            let shelf = shelves.entry(series.clone()).or_default();
            if is_hour {
                hours.push((series, page));
            } else {
                // Its values are made anew; that there is a page stays, or the old one would.
                shelf.split_at(first);
            }
        }
        for (series, stored) in hours {
            let hour = Page::read(&stored.bytes, &mut names).ok_or(UnreadablePage { key: stored.key })?;
            if let Some(shelf) = shelves.get_mut(&series) {
                shelf.merge_page(hour, &mut names)?;
            }
        }
        let mut written = Vec::new();
        for (series, shelf) in shelves {
            shelf.write(&series, &names, &mut written);
        }
        written.push(Mark { is_sealed: true, ..self.mark }.write(self.day));
        Ok(written)
    }
}
