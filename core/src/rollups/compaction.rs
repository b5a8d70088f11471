//! Compaction merges the rollups of a day's hours into pages of the day. Long reports read these instead of the hours.
//!
//! A day's manifest says which dimensions its events have. It also says whether the day is sealed: whether
//! the day's pages hold everything that the hours' pages hold. A fold that touches a day unseals it, in the transaction
//! that writes the hours. The hours stay, for reports by hour and for the days of other time zones.
//!
//! Some days are kept by their hours for good: days that need more memory than a host has or more than a transaction takes, days whose hours together
//! have more numeric properties than a rollup keeps, days of which a value lost its numbers in some hours only, and days of
//! which something can't be read.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{Reader, Writer};
use crate::formats;
use crate::reports::data::{CELL_BYTES, ReadBudget};
use crate::rollups::interner::Interner;
use crate::rollups::key::{Day, KeyKind, KeyRange, Period, Series};
use crate::rollups::numbers_cap::NUMBERS;
use crate::rollups::page::{Head, PageReader, PageWriter};
use crate::rollups::rollup::{NAMES_A_DAY, Parts, Rollup};
use crate::rollups::stored::{Merged, StoredPage, UnreadablePage, WriteLimits};
use crate::vocabulary::time::Millis;

/// The pages that reports may read for a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DayState {
    /// Its hours' pages: the day is not compacted, or has had events since.
    #[default]
    Open,
    /// Its own pages.
    Sealed,
    /// Its hours' pages, for good.
    ByHour,
}

/// The manifest of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DayManifest {
    pub(crate) state: DayState,
    /// The dimensions of the day's events, at most [`NAMES_A_DAY`]. The empty one, of all events, is not listed.
    pub(crate) dimensions: BTreeSet<String>,
}

impl DayManifest {
    /// Layout of version 1: the version; twice the number of dimensions, plus 1 if the day is sealed; the dimensions.
    /// Version 2 has the same layout, for a day that is kept by its hours.
    pub(crate) fn write(&self, day: Day) -> StoredPage {
        let mut writer = Writer::default();
        writer.byte(if self.state == DayState::ByHour { formats::MANIFEST_BY_HOUR } else { formats::MANIFEST });
        writer.length(self.dimensions.len() << 1 | usize::from(self.state == DayState::Sealed));
        self.dimensions.iter().for_each(|dimension| writer.text(dimension));
        StoredPage { key: day.manifest(), bytes: writer.0 }
    }

    /// Reads a manifest; `None` if the bytes are not one.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let version = reader.byte()?;
        let length: usize = reader.small()?;
        let state = match (version, length & 1) {
            (formats::MANIFEST, 0) => DayState::Open,
            (formats::MANIFEST, _) => DayState::Sealed,
            (formats::MANIFEST_BY_HOUR, 0) => DayState::ByHour,
            _ => return None,
        };
        let mut manifest = Self { state, ..Self::default() };
        for _ in 0..length >> 1 {
            manifest.dimensions.insert(reader.text()?.to_owned());
        }
        reader.is_empty().then_some(manifest)
    }

    /// Like [`DayManifest::read`], for a manifest that came from another service.
    pub(crate) fn read_moved(page: &StoredPage) -> Option<(Day, Option<Self>)> {
        Some((Day::of_moved_manifest(&page.key)?, Self::parse(&page.bytes)))
    }

    /// The day and its manifest. The outer `None` means that this is not a manifest's key, the inner that the manifest
    /// can't be read.
    pub(crate) fn read(page: &StoredPage) -> Option<(Day, Option<Self>)> {
        Some((Day::of_manifest(&page.key)?, Self::parse(&page.bytes)))
    }

    /// The manifest of a day that is kept by its hours, because something can't be read or does not fit.
    fn by_hour(self) -> Self {
        Self { state: DayState::ByHour, ..self }
    }
}

/// Whether these bytes are a manifest.
pub(crate) fn is_manifest(bytes: &[u8]) -> bool {
    DayManifest::parse(bytes).is_some()
}

/// What a fold knows about a day, and what it writes.
#[derive(Default)]
struct DayEntry {
    is_stored: bool,
    manifest: DayManifest,
    types: BTreeSet<String>,
    has_new_types: bool,
}

/// The days that a fold touches. Every manifest is written, changed or not. A compaction that began before the fold
/// does not know of it and may be writing a sealed manifest.
#[derive(Default)]
pub(crate) struct Days(BTreeMap<Day, DayEntry>);

impl Days {
    /// Takes in a stored page about a day. An unreadable one is set apart.
    pub(crate) fn know(&mut self, page: StoredPage, merged: &mut Merged) {
        if let Some((day, manifest)) = DayManifest::read(&page) {
            let entry = self.0.entry(day).or_default();
            entry.is_stored = true;
            entry.manifest = manifest.unwrap_or_else(|| {
                merged.set_apart(page.key, page.bytes);
                DayManifest::default().by_hour()
            });
        } else if let Some(day) = Day::of_types(&page.key) {
            // Unknown types count as new, so after an unreadable list a day may get some more types than the cap.
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

    /// Whether the day has rollups of this dimension, or gets them now.
    pub(crate) fn takes_dimension(&mut self, day: Day, dimension: &str) -> bool {
        let dimensions = &mut self.0.entry(day).or_default().manifest.dimensions;
        dimensions.contains(dimension) || (dimensions.len() < NAMES_A_DAY && dimensions.insert(dimension.to_owned()))
    }

    /// Writes what is new about each day, and that the day is open. Returns whether any day had nothing stored.
    pub(crate) fn write(self, written: &mut Vec<StoredPage>) -> bool {
        let mut opens_day = false;
        for (day, DayEntry { is_stored, mut manifest, types, has_new_types }) in self.0 {
            opens_day |= !is_stored;
            if manifest.state == DayState::Sealed {
                manifest.state = DayState::Open;
            }
            written.push(manifest.write(day));
            if has_new_types {
                written.push(StoredPage { key: day.types(), bytes: write_types(&types) });
            }
        }
        opens_day
    }
}

/// Layout of version 1: the version; the number of event types; the event types.
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

/// The compaction of one day of a tenant that is over and not sealed.
///
/// A host reads the pages in [`Compaction::ranges`]. It writes what [`Compaction::merge`] returns only if its
/// watermark has not moved since the manifests were read.
#[derive(Clone, Debug)]
pub struct Compaction {
    day: Day,
    manifest: DayManifest,
    /// The stored manifest, if it can't be read.
    unreadable: Option<StoredPage>,
}

impl Compaction {
    /// The compactions that are due, given all manifests.
    pub(crate) fn of(manifests: &[StoredPage], received_at: Millis) -> Vec<Self> {
        let mut compactions = Vec::new();
        for page in manifests {
            let Some((day, manifest)) = DayManifest::read(page) else { continue };
            let unreadable = manifest.is_none().then(|| page.clone());
            let manifest = manifest.unwrap_or_default();
            if manifest.state == DayState::Open && day.next().first_hour().start() <= received_at {
                compactions.push(Self { day, manifest, unreadable });
            }
        }
        compactions
    }

    /// The key of the day's manifest. A host that has done other work since it read the manifest reads it again and
    /// starts over.
    pub fn manifest(&self) -> KeyRange {
        KeyRange::of_manifests(self.day, self.day.next())
    }

    /// The ranges of keys in which [`Compaction::merge`] needs every stored page.
    pub fn ranges(&self) -> Vec<KeyRange> {
        let (day, next) = (self.day, self.day.next());
        let dimensions = std::iter::once("").chain(self.manifest.dimensions.iter().map(String::as_str));
        let ranges = dimensions.flat_map(|dimension| {
            [
                KeyRange::of_hours(dimension, day.first_hour(), next.first_hour()),
                KeyRange::of_days(dimension, day, next),
            ]
        });
        ranges.collect()
    }

    /// The most that the pages in [`Compaction::ranges`] may have together.
    pub fn budget(&self) -> ReadBudget {
        ReadBudget::of_compaction()
    }

    /// The pages to write, given the stored pages in [`Compaction::ranges`], or `None` if they exceed
    /// [`Compaction::budget`]: the day's pages and its manifest. If the day is to be kept by its hours, only the manifest.
    pub fn merge(self, stored: Option<Vec<StoredPage>>, limits: WriteLimits) -> Merged {
        let Self { day, manifest, unreadable } = self;
        let mut merged = Merged::default();
        if let Some(StoredPage { key, bytes }) = unreadable {
            merged.set_apart(key, bytes);
        } else if let Some(mut pages) = stored.and_then(|stored| whole_day(day, stored, &mut merged)) {
            pages.push(DayManifest { state: DayState::Sealed, ..manifest.clone() }.write(day));
            if limits.fit(pages.iter()) {
                return Merged { pages, ..merged };
            }
        }
        merged.pages.push(manifest.by_hour().write(day));
        merged
    }
}

/// The pages of a day, given everything stored for it. `None` if they can't or must not be made from its hours.
fn whole_day(day: Day, stored: Vec<StoredPage>, merged: &mut Merged) -> Option<Vec<StoredPage>> {
    let mut all_series: BTreeMap<Series, (BTreeSet<String>, Vec<StoredPage>)> = BTreeMap::new();
    for page in stored {
        let (series, first) = match KeyKind::of(&page.key) {
            KeyKind::Page(series, first) => (series, first),
            // What came from another service has pages of days of its own.
            KeyKind::Moved(..) => continue,
            KeyKind::Apart(_) | KeyKind::Day => return None,
            KeyKind::Unknown => {
                merged.damaged.push(UnreadablePage { key: page.key });
                return None;
            }
        };
        let is_hour = matches!(series.period, Period::Hour(_));
        let (firsts, hours) = all_series.entry(Series { period: Period::Day(day), ..series }).or_default();
        if is_hour {
            hours.push(page);
        } else {
            firsts.insert(first.to_owned());
        }
    }
    let mut writer = PageWriter::default();
    // Rollups and names take more memory than their bytes, so one series is merged after the other.
    for (series, (firsts, hours)) in all_series {
        let (mut names, mut whole) = (Interner::default(), Whole { firsts, ..Whole::default() });
        for StoredPage { key, bytes } in hours {
            if whole.merge(&bytes, &mut names).is_none() {
                // A fold will set this page apart when it meets it.
                merged.damaged.push(UnreadablePage { key });
                return None;
            }
            if whole.is_too_wide || whole.memory > CELL_BYTES {
                return None;
            }
        }
        whole.write(&series, &names, &mut writer);
    }
    Some(writer.written)
}

/// All rollups of one series over a day, or in all parts of a store.
#[derive(Default)]
pub(crate) struct Whole {
    pub(crate) head: Head,
    pub(crate) values: BTreeMap<String, Rollup>,
    /// The values at which the day's stored pages start. Each page is written anew; otherwise it would keep its old
    /// content.
    pub(crate) firsts: BTreeSet<String>,
    /// Whether a value has more numeric properties, over all its hours, than a rollup keeps, or kept them in some hours
    /// only.
    is_too_wide: bool,
    /// Bytes of memory that the rollups take.
    memory: usize,
}

impl Whole {
    /// Merges a page of an hour. `None` means that the bytes are not a page.
    fn merge(&mut self, hour: &[u8], names: &mut Interner) -> Option<()> {
        let Head { dimensions, dimensions_dropped } = Head::read(Some(hour))?;
        self.head.dimensions.extend(dimensions);
        self.head.dimensions_dropped |= dimensions_dropped;
        let mut reader = PageReader::open(hour, names)?;
        while let Some((value, entry)) = reader.next()? {
            let rollup = reader.rollup(entry, Parts::All)?;
            match self.values.get_mut(value) {
                Some(known) => {
                    let before = known.memory();
                    // The numbers of one hour must not pass for those of the day.
                    self.is_too_wide |= known.lacks_numbers_of(&rollup) || rollup.lacks_numbers_of(known);
                    known.merge(rollup, names);
                    self.is_too_wide |= known.numbers.len() > NUMBERS;
                    known.keep_numbers(NUMBERS);
                    self.memory = (self.memory + known.memory()).saturating_sub(before);
                }
                None => {
                    self.memory += rollup.memory();
                    self.values.insert(value.to_owned(), rollup);
                }
            }
        }
        Some(())
    }

    pub(crate) fn write(&self, series: &Series, names: &Interner, writer: &mut PageWriter) {
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
