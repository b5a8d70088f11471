//! Compaction: the rollups of a day's hours merged into pages of the day, which long reports read instead.
//!
//! A day's mark says which dimensions its events have, and whether it is sealed: whether the day's pages hold all that the
//! hours' do. A fold that touches a day unseals it, in the transaction that writes the hours; hours stay, for reports by hour
//! and for days as other time zones have them.
//!
//! Some days are kept by their hours for good: those that need more than a transaction takes, those whose hours have more
//! numeric properties together than a rollup keeps, and those of which something can't be read.

use std::collections::{BTreeMap, BTreeSet};

use crate::formats;
use crate::rollup::codec::{Reader, Writer};
use crate::rollup::fold::{Merged, StoredPage, UnreadablePage};
use crate::rollup::key::{Day, KeyKind, KeyRange, Period, Series};
use crate::rollup::page::{Head, PageReader, PageWriter};
use crate::rollup::{Columns, NAMES_A_DAY, NUMBERS, Names, Rollup};
use crate::step::WriteLimits;
use crate::time::Millis;

/// What the reports of a day may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DayState {
    /// Its hours: the day is not compacted, or has had events since.
    #[default]
    Open,
    /// Its own pages.
    Sealed,
    /// Its hours, for good.
    ByHour,
}

/// What a store says of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) state: DayState,
    /// Of the day's events, at most [`NAMES_A_DAY`]; the empty one, of all events, is not among them.
    pub(crate) dimensions: BTreeSet<String>,
}

impl Mark {
    /// Version 1: the version; twice the number of dimensions, plus 1 when the day is sealed; the dimensions. Version 2 is the
    /// same, of a day that is kept by its hours.
    pub(crate) fn write(&self, day: Day) -> StoredPage {
        let mut writer = Writer::default();
        writer.byte(if self.state == DayState::ByHour { formats::MARK_BY_HOUR } else { formats::MARK });
        writer.length(self.dimensions.len() << 1 | usize::from(self.state == DayState::Sealed));
        self.dimensions.iter().for_each(|dimension| writer.text(dimension));
        StoredPage { key: day.mark(), bytes: writer.0 }
    }

    /// `None`: these bytes are no mark.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let version = reader.byte()?;
        let length: usize = reader.small()?;
        let state = match (version, length & 1) {
            (formats::MARK, 0) => DayState::Open,
            (formats::MARK, _) => DayState::Sealed,
            (formats::MARK_BY_HOUR, 0) => DayState::ByHour,
            _ => return None,
        };
        let mut mark = Self { state, ..Self::default() };
        for _ in 0..length >> 1 {
            mark.dimensions.insert(reader.text()?.to_owned());
        }
        reader.is_empty().then_some(mark)
    }

    /// The day and its mark. The outer `None`: nothing is said of a day under this key. The inner one: the mark can't be read.
    pub(crate) fn read(page: &StoredPage) -> Option<(Day, Option<Self>)> {
        Some((Day::of_mark(&page.key)?, Self::parse(&page.bytes)))
    }

    /// Of a day of which something can't be read, or does not fit.
    fn by_hour(self) -> Self {
        Self { state: DayState::ByHour, ..self }
    }
}

/// What a fold knows of a day, and what it writes of it.
#[derive(Default)]
struct DayEntry {
    is_stored: bool,
    mark: Mark,
    types: BTreeSet<String>,
    has_new_types: bool,
}

/// The days that a fold touches. All marks are written, changed or not: a compaction that began before the fold may be writing
/// one that is sealed, and does not know of the fold.
#[derive(Default)]
pub(crate) struct Days(BTreeMap<Day, DayEntry>);

impl Days {
    /// Takes in what is stored of a day. What can't be read is set apart.
    pub(crate) fn know(&mut self, page: StoredPage, merged: &mut Merged) {
        if let Some((day, mark)) = Mark::read(&page) {
            let entry = self.0.entry(day).or_default();
            entry.is_stored = true;
            entry.mark = mark.unwrap_or_else(|| {
                merged.set_apart(page.key, page.bytes);
                Mark::default().by_hour()
            });
        } else if let Some(day) = Day::of_types(&page.key) {
            // Types that are not known count as new: a day may then have some more of them.
            self.0.entry(day).or_default().types = read_types(&page.bytes).unwrap_or_default();
        }
    }

    /// Opens a day that gets events.
    pub(crate) fn touch(&mut self, day: Day) {
        self.0.entry(day).or_default();
    }

    /// Whether the day has rollups of this event type, or gets them now.
    pub(crate) fn takes_type(&mut self, day: Day, event_type: &str) -> bool {
        let DayEntry { types, has_new_types, .. } = self.0.entry(day).or_default();
        if types.contains(event_type) {
            return true;
        }
        *has_new_types |= types.len() < NAMES_A_DAY;
        types.len() < NAMES_A_DAY && types.insert(event_type.to_owned())
    }

    /// The same of a dimension.
    pub(crate) fn takes_dimension(&mut self, day: Day, dimension: &str) -> bool {
        let dimensions = &mut self.0.entry(day).or_default().mark.dimensions;
        dimensions.contains(dimension) || (dimensions.len() < NAMES_A_DAY && dimensions.insert(dimension.to_owned()))
    }

    /// Writes what is new of each day, and that it is open. Whether nothing was stored of one of them.
    pub(crate) fn write(self, written: &mut Vec<StoredPage>) -> bool {
        let mut opens_day = false;
        for (day, DayEntry { is_stored, mut mark, types, has_new_types }) in self.0 {
            opens_day |= !is_stored;
            if mark.state == DayState::Sealed {
                mark.state = DayState::Open;
            }
            written.push(mark.write(day));
            if has_new_types {
                written.push(StoredPage { key: day.types(), bytes: write_types(&types) });
            }
        }
        opens_day
    }
}

/// Version 1: the version; how many there are; the event types.
fn write_types(types: &BTreeSet<String>) -> Vec<u8> {
    let mut writer = Writer(vec![formats::TYPES]);
    writer.length(types.len());
    types.iter().for_each(|event_type| writer.text(event_type));
    writer.0
}

fn read_types(bytes: &[u8]) -> Option<BTreeSet<String>> {
    let mut reader = Reader(bytes);
    reader.byte().filter(|version| *version == formats::TYPES)?;
    let length: usize = reader.small()?;
    let types = (0..length).map(|_| reader.text().map(str::to_owned)).collect::<Option<_>>()?;
    reader.is_empty().then_some(types)
}

/// One day of a tenant that is over and not sealed.
///
/// A host reads the pages in [`Compaction::ranges`], and writes what [`Compaction::settle`] gives if its watermark still stands
/// where it was when the marks were read.
#[derive(Clone, Debug)]
pub struct Compaction {
    day: Day,
    mark: Mark,
    /// The stored mark, where it can't be read.
    unreadable: Option<StoredPage>,
}

impl Compaction {
    /// The days to compact, from all marks.
    pub(crate) fn of(marks: &[StoredPage], received_at: Millis) -> Vec<Self> {
        let mut compactions = Vec::new();
        for page in marks {
            let Some((day, mark)) = Mark::read(page) else { continue };
            let unreadable = mark.is_none().then(|| page.clone());
            let mark = mark.unwrap_or_default();
            if mark.state == DayState::Open && day.next().first_hour().start() <= received_at {
                compactions.push(Self { day, mark, unreadable });
            }
        }
        compactions
    }

    /// Where the day's mark stands: a host that has done something else since it read the mark reads it again, and begins anew.
    pub fn mark(&self) -> KeyRange {
        KeyRange::of_marks(self.day, self.day.next())
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

    /// The pages to write, from those that are stored in [`Compaction::ranges`]: the day's, and its mark. The mark alone where
    /// the day is to be kept by its hours.
    pub fn settle(self, stored: Vec<StoredPage>, limits: WriteLimits) -> Merged {
        let Self { day, mark, unreadable } = self;
        let mut merged = Merged::default();
        if let Some(StoredPage { key, bytes }) = unreadable {
            merged.set_apart(key, bytes);
        } else if let Some(mut pages) = whole_day(day, stored, &mut merged) {
            pages.push(Mark { state: DayState::Sealed, ..mark.clone() }.write(day));
            if limits.fit(pages.iter()) {
                return Merged { pages, ..merged };
            }
        }
        merged.pages.push(mark.by_hour().write(day));
        merged
    }
}

/// The pages of a day, from all that is stored of it. `None`: it can't be told from its hours, or must not.
fn whole_day(day: Day, stored: Vec<StoredPage>, merged: &mut Merged) -> Option<Vec<StoredPage>> {
    let mut names = Names::default();
    let mut all_series: BTreeMap<Series, Whole> = BTreeMap::new();
    for StoredPage { key, bytes } in stored {
        let (series, first) = match KeyKind::of(&key) {
            KeyKind::Page(series, first) => (series, first),
            KeyKind::Apart(_) | KeyKind::Day => return None,
            KeyKind::Unknown => {
                merged.damaged.push(UnreadablePage { key });
                return None;
            }
        };
        let is_hour = matches!(series.period, Period::Hour(_));
        let whole = all_series.entry(Series { period: Period::Day(day), ..series }).or_default();
        if !is_hour {
            whole.firsts.insert(first.to_owned());
        } else if whole.merge(&bytes, &mut names).is_none() {
            // A fold sets it apart, when it comes to it.
            merged.damaged.push(UnreadablePage { key });
            return None;
        }
    }
    if all_series.values().any(|whole| whole.is_too_wide) {
        return None;
    }
    let mut writer = PageWriter::default();
    for (series, whole) in all_series {
        whole.write(&series, &names, &mut writer);
    }
    Some(writer.written)
}

/// All rollups of a series of a day.
#[derive(Default)]
struct Whole {
    head: Head,
    values: BTreeMap<String, Rollup>,
    /// Where the day's pages start that are stored: each is written anew, or it would stay as it was.
    firsts: BTreeSet<String>,
    /// Whether a value has more numeric properties than a rollup keeps, all of which its hours have.
    is_too_wide: bool,
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
                Some(known) => {
                    known.merge(rollup, names);
                    self.is_too_wide |= known.numbers.len() > NUMBERS;
                    known.numbers.truncate(NUMBERS);
                }
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
