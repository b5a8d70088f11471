//! What was moved: counts, and digests that depend on no order.

use std::collections::BTreeMap;

use anyhow::Result;
use isotherm_core::{Millis, StoredPage, day_of};
use jiff::ToSpan as _;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::lines::EventLine;

/// The characters of a date: 2013-01-01.
const DATE: usize = 10;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Counts and digests of a tenant's events and rollups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Events by the day on which they were received, in UTC.
    events: BTreeMap<String, Sum>,
    /// Pages of rollups, and manifests, by their day in UTC.
    rollups: BTreeMap<String, Sum>,
    /// Damaged pages, which can't be moved.
    #[serde(default)]
    pub(super) damaged: u64,
    /// Unreadable records, which can't be moved either.
    #[serde(default, rename = "leftOut")]
    pub(super) left_out: u64,
    /// Events that expire before this, in seconds since 1970, are not counted: one of two services may have deleted them
    /// already.
    #[serde(skip)]
    horizon: u64,
}

/// A sum over items, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    /// The sum of the first 128 bits of each item's SHA-256, without carry.
    digest: u128,
}

/// A sum as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct SumText {
    /// How many items there are.
    count: u64,
    /// The sum of the first 128 bits of each item's SHA-256, in hexadecimal digits.
    digest: String,
}

impl From<Sum> for SumText {
    fn from(Sum { count, digest }: Sum) -> Self {
        Self { count, digest: format!("{digest:032x}") }
    }
}

impl Serialize for Sum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SumText::from(*self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SumText { count, digest } = SumText::deserialize(deserializer)?;
        let digest = u128::from_str_radix(&digest, 16).map_err(serde::de::Error::custom)?;
        Ok(Self { count, digest })
    }
}

impl Sum {
    fn add(&mut self, bits: u128) {
        self.count += 1;
        self.digest = self.digest.wrapping_add(bits);
    }
}

/// The first 128 bits of the SHA-256 of an item's parts.
pub(super) fn bits_of(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

impl Manifest {
    /// A manifest of the events that do not expire before this time, in seconds since 1970.
    pub(super) fn until(horizon: u64) -> Self {
        Self { horizon, ..Self::default() }
    }

    pub(super) fn event_line(&mut self, event: &EventLine<'_>) -> Result<()> {
        if event.expires_at < self.horizon {
            return Ok(());
        }
        let record = event.record.get();
        let sum = self.events.entry(event.received_at()?.chars().take(DATE).collect()).or_default();
        sum.add(bits_of(&[event.digest.as_bytes(), &event.expires_at.to_be_bytes(), record.as_bytes()]));
        Ok(())
    }

    /// The events of this one, with the rollups of another.
    pub(super) fn with_rollups_of(&self, Self { rollups, damaged, .. }: Self) -> Self {
        Self { rollups, damaged, ..self.clone() }
    }

    /// The first and the last day with rollups among the `most` calendar days up to the last; without rollups, of days
    /// with events.
    pub(super) fn last_days(&self, most: i32) -> Option<(&str, &str)> {
        let of = if self.rollups.is_empty() { &self.events } else { &self.rollups };
        let (last, _) = of.last_key_value()?;
        // A day so early that it has no date has no days before it.
        let earliest = last.parse().and_then(|last: Date| last.checked_sub((most - 1).days()));
        let earliest = earliest.map_or_else(|_| last.clone(), |earliest| earliest.to_string());
        let (first, _) = of.range(earliest..).next()?;
        Some((first, last))
    }

    /// Adds an event of which only the record is compared. `bits` is [`bits_of`] the record.
    pub(super) fn record(&mut self, Millis(received_at): Millis, bits: u128) {
        self.events.entry(day(received_at / 1000 / DAY_SECONDS)).or_default().add(bits);
    }

    pub(super) fn page(&mut self, StoredPage { key, bytes }: &StoredPage) {
        let of = day_of(key).map_or(0, |(day, _)| day);
        self.rollups.entry(day(of.into())).or_default().add(bits_of(&[key.as_bytes(), bytes]));
    }

    /// The sum of the events of each day.
    pub(super) fn days(&self) -> impl Iterator<Item = (String, SumText)> {
        self.events.iter().map(|(day, sum)| (day.clone(), (*sum).into()))
    }

    /// How many events and pages there are.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |sums: &BTreeMap<String, Sum>| sums.values().map(|sum| sum.count).sum();
        (count(&self.events), count(&self.rollups))
    }

    /// The first differences between this manifest, which is of the source, and the other.
    pub(super) fn differences(&self, found: &Self) -> Vec<String> {
        self.differences_from(found, "at the source")
    }

    /// Like [`Self::differences`], for a manifest of another place than the source.
    pub(super) fn differences_from(&self, found: &Self, place: &str) -> Vec<String> {
        let kinds =
            [("events received on", &self.events, &found.events), ("rollups of", &self.rollups, &found.rollups)];
        let mut differences = Vec::new();
        for (kind, expected, found) in kinds {
            for day in expected.keys().chain(found.keys().filter(|day| !expected.contains_key(*day))) {
                let sums = [expected, found].map(|of| of.get(day).copied().unwrap_or_default());
                let [Sum { count: one, digest: first }, Sum { count: other, digest: second }] = sums;
                if one != other {
                    differences.push(format!("{kind} {day}: {one} {place}, {other} here"));
                } else if first != second {
                    differences.push(format!("{kind} {day}: as many, with another content"));
                }
            }
        }
        let all = differences.len();
        differences.truncate(10);
        if all > differences.len() {
            differences.push(format!("and {} more", all - differences.len()));
        }
        differences
    }
}

/// The date of a day since 1970.
fn day(day: u64) -> String {
    let seconds = i64::try_from(day * DAY_SECONDS).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%d").to_string()
}
