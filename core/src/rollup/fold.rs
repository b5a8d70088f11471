//! Folding: events into pages. The host reads the pages that a fold names, writes those that it gives, and moves its
//! watermark, all in one transaction.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rollup::compaction::Mark;
use crate::rollup::key::{Day, Hour, KeyRange, Period, Series};
use crate::rollup::number::Number;
use crate::rollup::observation::{DIMENSIONS, Dimensions, Observation};
use crate::rollup::page::Page;
use crate::rollup::users::UserHash;
use crate::rollup::{NameId, Names, Rollup};

/// Values of a dimension an hour and event type; the rest is `(other)`.
const VALUES: usize = 1000;
/// A page that grows beyond this is split, where it has two values or more.
const PAGE_BYTES: usize = 64 * 1024;

/// Some pages of rollups as a store keeps them; opaque to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPage {
    /// Where it stands.
    pub key: String,
    /// What it holds; in JSON as base64.
    #[serde(with = "base64_text")]
    pub bytes: Vec<u8>,
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(&*text).map_err(de::Error::custom)
    }
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
    /// Event types, dimensions and values, sorted; a [`Place`] has their numbers.
    texts: Vec<String>,
    events: Vec<Event>,
    numbers: Vec<(NameId, Number)>,
    /// Sorted.
    places: Vec<Place>,
    unreadable: Vec<(usize, UnreadableRecord)>,
}

/// What is counted of one event; its numbers are `numbers.0..numbers.1`.
#[derive(Clone, Copy, Debug)]
struct Event {
    user: UserHash,
    numbers: (u32, u32),
    dimensions_dropped: bool,
}

/// A rollup that an event goes into: from the highest bits on, 32 each, its hour, event type, dimension and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rollup: u128,
    event: u32,
}

impl Place {
    fn hour(&self) -> Hour {
        Hour((self.rollup >> 96) as u32)
    }

    fn event_type(&self) -> usize {
        (self.rollup >> 64) as u32 as usize
    }

    fn dimension(&self) -> usize {
        (self.rollup >> 32) as u32 as usize
    }

    fn value(&self) -> usize {
        self.rollup as u32 as usize
    }

    fn is_of_hour(&self, other: &Self) -> bool {
        self.rollup >> 64 == other.rollup >> 64
    }

    fn is_of_series(&self, other: &Self) -> bool {
        self.rollup >> 32 == other.rollup >> 32
    }

    fn is_of_rollup(&self, other: &Self) -> bool {
        self.rollup == other.rollup
    }
}

/// Numbers for texts, in the order in which they come.
#[derive(Default)]
struct Texts<'a> {
    numbers: BTreeMap<&'a str, u32>,
    /// The names of the event before: events of one type mostly have the same.
    before: Vec<(&'a str, u32)>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, text: &'a str) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(text).or_insert(next)
    }

    /// The same for the name of an event that stands at `place` among its names.
    fn name(&mut self, place: usize, name: &'a str) -> u32 {
        match self.before.get(place) {
            Some((before, number)) if *before == name => *number,
            _ => {
                let number = self.number(name);
                self.before.truncate(place);
                self.before.push((name, number));
                number
            }
        }
    }

    /// The texts, sorted, and for each number the place of its text there.
    fn sorted(self) -> (Vec<String>, Vec<u32>) {
        let mut places = vec![0; self.numbers.len()];
        for (place, number) in (0..).zip(self.numbers.values()) {
            places[*number as usize] = place;
        }
        (self.numbers.into_keys().map(str::to_owned).collect(), places)
    }
}

impl Fold {
    /// Folds these events.
    pub fn of(observations: &[Observation<'_>]) -> Self {
        let mut fold = Self::default();
        let mut texts = Texts::default();
        // No dimension and `(other)`: sorts first.
        let none = texts.number("");
        for (event, observation) in (0..).zip(observations) {
            let Observation { hour, event_type, user, dimensions, dimensions_dropped, numbers } = observation;
            let first = fold.numbers.len();
            for (at, (name, number)) in numbers.iter().enumerate() {
                fold.numbers.push((fold.names.id_near(at, name), *number));
            }
            let numbers = (first as u32, fold.numbers.len() as u32);
            fold.events.push(Event { user: *user, numbers, dimensions_dropped: *dimensions_dropped });
            let of_type = u128::from(hour.0) << 96 | u128::from(texts.name(0, event_type)) << 64;
            let mut place = |dimension: u32, value: u32| {
                let rollup = of_type | u128::from(dimension) << 32 | u128::from(value);
                fold.places.push(Place { rollup, event });
            };
            place(none, none);
            for (at, (name, value)) in (1..).zip(dimensions) {
                place(texts.name(at, name), texts.number(value));
            }
        }
        let (sorted, places) = texts.sorted();
        for Place { rollup, .. } in &mut fold.places {
            let renumbered = |shift: u32| u128::from(places[(*rollup >> shift) as u32 as usize]) << shift;
            *rollup = *rollup >> 96 << 96 | renumbered(64) | renumbered(32) | renumbered(0);
        }
        fold.places.sort_unstable();
        Self { texts: sorted, ..fold }
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
        let series = self.places.chunk_by(Place::is_of_series).map(|places| self.series(&places[0]).pages());
        let days = self.places.chunk_by(|one, two| one.hour().day() == two.hour().day());
        let marks = days.map(|places| places[0].hour().day()).map(|day| KeyRange::of_marks(day, day.next()));
        series.chain(marks).collect()
    }

    fn series(&self, place: &Place) -> Series {
        let text = |at: usize| self.texts.get(at).cloned().unwrap_or_default();
        Series {
            dimension: text(place.dimension()),
            period: Period::Hour(place.hour()),
            event_type: text(place.event_type()),
        }
    }

    /// The rollup of the events of these places.
    fn rollup(&self, places: &[Place]) -> Rollup {
        let mut rollup = Rollup::default();
        for place in places {
            let Event { user, numbers: (from, until), .. } = self.events[place.event as usize];
            rollup.add(user, &self.numbers[from as usize..until as usize], &self.names);
        }
        rollup
    }

    /// The pages to write, from those that are stored in [`Fold::ranges`].
    ///
    /// # Errors
    /// [`UnreadablePage`] where a stored page can't be read; nothing is to be written then.
    pub fn settle(self, stored: Vec<StoredPage>) -> Result<Vec<StoredPage>, UnreadablePage> {
        let mut marks = Marks::default();
        let mut stored = by_series(stored, &mut marks)?;
        let mut names = self.names.clone();
        let mut written = Vec::new();
        for hour in self.places.chunk_by(Place::is_of_hour) {
            let mut all_series = hour.chunk_by(Place::is_of_series);
            let Some(all) = all_series.next() else { continue };
            let series = self.series(&all[0]);
            let mut shelf = Shelf::new(stored.get_mut(&series).map(std::mem::take).unwrap_or_default());
            let page = shelf.page_of("", &mut names)?;
            page.values.entry(String::new()).or_default().merge(self.rollup(all), &names);
            let is_dropped = |place: &Place| self.events[place.event as usize].dimensions_dropped;
            page.dimensions_dropped |= all.iter().any(is_dropped);
            let mut kept = Vec::new();
            for places in all_series {
                let series = self.series(&places[0]);
                if page.dimensions.contains(&series.dimension) || page.dimensions.len() < DIMENSIONS {
                    page.dimensions.insert(series.dimension.clone());
                    kept.push((series, places));
                } else {
                    page.dimensions_dropped = true;
                }
            }
            shelf.write(&series, &names, &mut written);
            marks.touch(all[0].hour().day(), kept.iter().map(|(series, _)| &series.dimension));
            for (series, places) in kept {
                let mut shelf = Shelf::new(stored.get_mut(&series).map(std::mem::take).unwrap_or_default());
                let values = places.chunk_by(Place::is_of_rollup).map(|places| {
                    let value = self.texts.get(places[0].value()).cloned().unwrap_or_default();
                    (value, self.rollup(places))
                });
                shelf.merge(values, &mut names)?;
                shelf.write(&series, &names, &mut written);
            }
        }
        marks.write(&mut written);
        Ok(written)
    }
}

/// The marks of the days that a fold touches.
#[derive(Default)]
struct Marks(BTreeMap<Day, Touched>);

#[derive(Default)]
struct Touched {
    mark: Mark,
    is_changed: bool,
}

impl Marks {
    /// An hour of that day gets events with these dimensions.
    fn touch<'a>(&mut self, day: Day, dimensions: impl Iterator<Item = &'a String>) {
        let known = self.0.contains_key(&day);
        let Touched { mark, is_changed } = self.0.entry(day).or_default();
        *is_changed |= !known || std::mem::take(&mut mark.is_sealed);
        for dimension in dimensions {
            *is_changed |= mark.dimensions.insert(dimension.clone());
        }
    }

    fn write(self, written: &mut Vec<StoredPage>) {
        let changed = self.0.into_iter().filter(|(_, touched)| touched.is_changed);
        written.extend(changed.map(|(day, Touched { mark, .. })| mark.write(day)));
    }
}

fn by_series(stored: Vec<StoredPage>, marks: &mut Marks) -> Result<BTreeMap<Series, Vec<StoredPage>>, UnreadablePage> {
    let mut series: BTreeMap<Series, Vec<StoredPage>> = BTreeMap::new();
    for page in stored {
        match Series::parse(&page.key) {
            Some((key, _)) => series.entry(key).or_default().push(page),
            None => {
                let (day, mark) = Mark::read(&page)?;
                marks.0.insert(day, Touched { mark, is_changed: false });
            }
        }
    }
    Ok(series)
}

/// The stored pages of one series, read as far as they are needed.
pub(crate) struct Shelf {
    /// By the value that they start at; the first starts at the empty one.
    slots: BTreeMap<String, Slot>,
}

enum Slot {
    Stored(StoredPage),
    Changed(Page),
}

impl Default for Shelf {
    fn default() -> Self {
        // Not from a list, which brings a sort along.
        let mut slots = BTreeMap::new();
        slots.insert(String::new(), Slot::Changed(Page::default()));
        Self { slots }
    }
}

impl Shelf {
    fn new(stored: Vec<StoredPage>) -> Self {
        let mut shelf = Self::default();
        for page in stored {
            if let Some((_, first)) = Series::parse(&page.key) {
                shelf.slots.insert(first.to_owned(), Slot::Stored(page));
            }
        }
        shelf
    }

    /// An empty page for the values from `first` on.
    pub(crate) fn split_at(&mut self, first: &str) {
        self.slots.insert(first.to_owned(), Slot::Changed(Page::default()));
    }

    /// Merges a page of the same values, however many there are.
    pub(crate) fn merge_page(&mut self, page: Page, names: &mut Names) -> Result<(), UnreadablePage> {
        let Page { values, dimensions, dimensions_dropped } = page;
        let all = self.page_of("", names)?;
        all.dimensions.extend(dimensions);
        all.dimensions_dropped |= dimensions_dropped;
        for (value, rollup) in values {
            self.page_of(&value, names)?.values.entry(value).or_default().merge(rollup, names);
        }
        Ok(())
    }

    /// The page that has `value`, or would have it.
    fn page_of(&mut self, value: &str, names: &mut Names) -> Result<&mut Page, UnreadablePage> {
        let bounds = (std::ops::Bound::Unbounded, std::ops::Bound::Included(value));
        let first = self.slots.range::<str, _>(bounds).next_back().map_or_else(String::new, |(first, _)| first.clone());
        let slot = self.slots.entry(first).or_insert_with(|| Slot::Changed(Page::default()));
        if let Slot::Stored(stored) = slot {
            let page = Page::read(&stored.bytes, names);
            *slot = Slot::Changed(page.ok_or_else(|| UnreadablePage { key: stored.key.clone() })?);
        }
        match slot {
            Slot::Changed(page) => Ok(page),
            // Just replaced.
            Slot::Stored(stored) => Err(UnreadablePage { key: stored.key.clone() }),
        }
    }

    fn merge(
        &mut self,
        values: impl Iterator<Item = (String, Rollup)>,
        names: &mut Names,
    ) -> Result<(), UnreadablePage> {
        let mut known = 0;
        for slot in self.slots.values() {
            known += match slot {
                Slot::Changed(page) => page.values.len(),
                Slot::Stored(stored) => {
                    Page::length(&stored.bytes).ok_or_else(|| UnreadablePage { key: stored.key.clone() })?
                }
            };
        }
        for (value, rollup) in values {
            let page = self.page_of(&value, names)?;
            if let Some(stored) = page.values.get_mut(&value) {
                stored.merge(rollup, names);
            } else if known < VALUES || value.is_empty() {
                page.values.insert(value, rollup);
                known += 1;
            } else {
                self.page_of("", names)?.values.entry(String::new()).or_default().merge(rollup, names);
            }
        }
        Ok(())
    }

    pub(crate) fn write(self, series: &Series, names: &Names, written: &mut Vec<StoredPage>) {
        for (first, slot) in self.slots {
            if let Slot::Changed(page) = slot {
                write_split(page, &first, series, names, written);
            }
        }
    }
}

/// Writes a page, or the halves of one that has grown too large.
fn write_split(page: Page, first: &str, series: &Series, names: &Names, written: &mut Vec<StoredPage>) {
    let bytes = page.write(names);
    let Some(middle) = page
        .values
        .keys()
        .nth(page.values.len() / 2)
        .filter(|middle| bytes.len() > PAGE_BYTES && **middle != *first && page.values.len() > 1)
    else {
        written.push(StoredPage { key: series.key(first), bytes });
        return;
    };
    let middle = middle.clone();
    let Page { mut values, dimensions, dimensions_dropped } = page;
    let upper = values.split_off(&middle);
    write_split(Page { values, dimensions, dimensions_dropped }, first, series, names, written);
    write_split(Page { values: upper, ..Page::default() }, &middle, series, names, written);
}
