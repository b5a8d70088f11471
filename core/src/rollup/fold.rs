//! Folding: events into pages. The host reads the pages that a fold names, writes those that it gives, and moves its
//! watermark, all in one transaction.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rollup::key::{Hour, KeyRange, Series};
use crate::rollup::observation::{DIMENSIONS, Dimensions, Observation};
use crate::rollup::page::Page;
use crate::rollup::quantiles::bucket_of;
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

/// Some events of a tenant, folded, before they are merged with what is stored.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    names: Names,
    hours: BTreeMap<(Hour, String), HourFold>,
    unreadable: Vec<(usize, UnreadableRecord)>,
}

/// The events of one hour and event type.
#[derive(Clone, Debug, Default)]
struct HourFold {
    all: Rollup,
    dimensions: BTreeMap<String, BTreeMap<String, Rollup>>,
}

impl Fold {
    pub(crate) fn of<'a>(records: impl IntoIterator<Item = &'a str>, dimensions: &Dimensions) -> Self {
        let mut fold = Self::default();
        for (index, record) in records.into_iter().enumerate() {
            match Observation::read(record, dimensions) {
                Ok(observation) => fold.add(&observation),
                Err(problem) => fold.unreadable.push((index, problem)),
            }
        }
        fold
    }

    /// Adds one event.
    pub fn add(&mut self, observation: &Observation<'_>) {
        let Observation { hour, event_type, user, dimensions, numbers } = observation;
        let names = &mut self.names;
        let numbers: Vec<(NameId, _, _)> =
            numbers.iter().map(|(name, number)| (names.id(name), *number, bucket_of(*number))).collect();
        let folded = self.hours.entry((*hour, event_type.to_string())).or_default();
        folded.all.add(*user, &numbers, names);
        for (name, value) in dimensions {
            let values = folded.dimensions.entry(name.to_string()).or_default();
            values.entry(value.to_string()).or_default().add(*user, &numbers, names);
        }
    }

    /// The records that were none, and which of all they were, from 0.
    pub fn unreadable(&self) -> &[(usize, UnreadableRecord)] {
        &self.unreadable
    }

    /// Which pages [`Fold::settle`] needs: all that a store has in these ranges.
    pub fn ranges(&self) -> Vec<KeyRange> {
        let mut ranges: Vec<_> = self.series().map(|series| series.pages()).collect();
        ranges.sort();
        ranges
    }

    fn series(&self) -> impl Iterator<Item = Series> {
        self.hours.iter().flat_map(|((hour, event_type), folded)| {
            let series = |dimension: &str| Series {
                dimension: dimension.to_owned(),
                hour: *hour,
                event_type: event_type.clone(),
            };
            std::iter::once(series("")).chain(folded.dimensions.keys().map(move |dimension| series(dimension)))
        })
    }

    /// The pages to write, from those that are stored in [`Fold::ranges`].
    ///
    /// # Errors
    /// [`UnreadablePage`] where a stored page can't be read; nothing is to be written then.
    pub fn settle(self, stored: Vec<StoredPage>) -> Result<Vec<StoredPage>, UnreadablePage> {
        let mut stored = by_series(stored)?;
        let mut names = self.names;
        let mut written = Vec::new();
        for ((hour, event_type), folded) in self.hours {
            let mut series = Series { dimension: String::new(), hour, event_type };
            let mut all = Shelf::new(stored.remove(&series).unwrap_or_default());
            let page = all.page_of("", &mut names)?;
            page.values.entry(String::new()).or_default().merge(&folded.all, &names);
            let mut kept = Vec::new();
            for (dimension, values) in folded.dimensions {
                if page.dimensions.contains(&dimension) || page.dimensions.len() < DIMENSIONS {
                    page.dimensions.insert(dimension.clone());
                    kept.push((dimension, values));
                } else {
                    page.dimensions_dropped = true;
                }
            }
            all.write(&series, &names, &mut written);
            for (dimension, values) in kept {
                series.dimension = dimension;
                let mut shelf = Shelf::new(stored.remove(&series).unwrap_or_default());
                shelf.merge(values, &mut names)?;
                shelf.write(&series, &names, &mut written);
            }
        }
        Ok(written)
    }
}

fn by_series(stored: Vec<StoredPage>) -> Result<BTreeMap<Series, Vec<StoredPage>>, UnreadablePage> {
    let mut series: BTreeMap<Series, Vec<StoredPage>> = BTreeMap::new();
    for page in stored {
        match Series::parse(&page.key) {
            Some((key, _)) => series.entry(key).or_default().push(page),
            None => return Err(UnreadablePage { key: page.key }),
        }
    }
    Ok(series)
}

/// The stored pages of one series, read as far as they are needed.
struct Shelf {
    /// By the value that they start at; the first starts at the empty one.
    slots: BTreeMap<String, Slot>,
}

enum Slot {
    Stored(StoredPage),
    Changed(Page),
}

impl Shelf {
    fn new(stored: Vec<StoredPage>) -> Self {
        let mut slots: BTreeMap<_, _> = stored
            .into_iter()
            .filter_map(|page| {
                let first = Series::parse(&page.key)?.1.to_owned();
                Some((first, Slot::Stored(page)))
            })
            .collect();
        slots.entry(String::new()).or_insert_with(|| Slot::Changed(Page::default()));
        Self { slots }
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

    fn merge(&mut self, values: BTreeMap<String, Rollup>, names: &mut Names) -> Result<(), UnreadablePage> {
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
                stored.merge(&rollup, names);
            } else if known < VALUES || value.is_empty() {
                page.values.insert(value, rollup);
                known += 1;
            } else {
                self.page_of("", names)?.values.entry(String::new()).or_default().merge(&rollup, names);
            }
        }
        Ok(())
    }

    fn write(self, series: &Series, names: &Names, written: &mut Vec<StoredPage>) {
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
