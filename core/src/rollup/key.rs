//! Where a rollup stands: keys that sort so that every report reads a few ranges.

use std::fmt;

use crate::time::Millis;

/// Hours since 1970-01-01T00:00:00Z. It starts then and lasts 3,600 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(pub(crate) u32);

const HOUR_MS: u64 = 60 * 60 * 1000;

impl Hour {
    pub(crate) fn of(time: Millis) -> Self {
        Self(u32::try_from(time.0 / HOUR_MS).unwrap_or(u32::MAX))
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) fn start(self) -> Millis {
        Millis(u64::from(self.0) * HOUR_MS)
    }
}

/// The rollups of one hour and event type: those of all values of a dimension, or, with the empty dimension, the one of all
/// events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) dimension: String,
    pub(crate) hour: Hour,
    pub(crate) event_type: String,
}

/// U+001F, the unit separator. No name has it, for names have no control characters.
const SEPARATOR: char = '\u{1f}';
/// What follows [`SEPARATOR`] in the order of characters.
const AFTER_SEPARATOR: char = '\u{20}';

/// Keys from `from`, included, to `until`, not included, in the order of their UTF-8 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct KeyRange {
    /// The first key.
    pub from: String,
    /// The key after the last.
    pub until: String,
}

impl Series {
    /// What the keys of its pages start with; the first has nothing else.
    pub(crate) fn prefix(dimension: &str, Hour(hour): Hour, event_type: &str) -> String {
        // Not with `format!`: there is one for each page that is written.
        let mut prefix = String::with_capacity(dimension.len() + event_type.len() + 11);
        prefix.push_str(dimension);
        prefix.push(SEPARATOR);
        prefix.extend((0..8).rev().filter_map(|digit| char::from_digit(hour >> (4 * digit) & 15, 16)));
        prefix.push(SEPARATOR);
        prefix.push_str(event_type);
        prefix.push(SEPARATOR);
        prefix
    }

    /// The series of a key, and the value that its page starts at.
    pub(crate) fn parse(key: &str) -> Option<(Self, &str)> {
        let mut parts = key.splitn(4, SEPARATOR);
        let (dimension, hour, event_type, first) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hour = Hour(u32::from_str_radix(hour, 16).ok()?);
        Some((Self { dimension: dimension.to_owned(), hour, event_type: event_type.to_owned() }, first))
    }
}

impl KeyRange {
    /// The keys of all pages of the series with this prefix.
    pub(crate) fn of_series(prefix: String) -> Self {
        let mut until = prefix.clone();
        until.pop();
        until.push(AFTER_SEPARATOR);
        Self { from: prefix, until }
    }

    /// The pages of a dimension, of all event types, in the hours from `from` until before `until`.
    pub(crate) fn of_hours(dimension: &str, from: Hour, until: Hour) -> Self {
        let edge = |hour: Hour| format!("{dimension}{SEPARATOR}{:08x}{SEPARATOR}", hour.0);
        Self { from: edge(from), until: edge(until) }
    }

    /// Whether the range has this key.
    pub fn contains(&self, key: &str) -> bool {
        *self.from <= *key && *key < *self.until
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dimension, hour, event_type } = self;
        write!(f, "{event_type} by {dimension:?} at {}", hour.start().to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(dimension: &str, hour: u32, event_type: &str) -> Series {
        Series { dimension: dimension.to_owned(), hour: Hour(hour), event_type: event_type.to_owned() }
    }

    fn key(dimension: &str, hour: u32, event_type: &str) -> String {
        Series::prefix(dimension, Hour(hour), event_type)
    }

    #[test]
    fn keys_tell_their_series() {
        let prefix = key("carrier", 376_954, "flight departed");
        assert_eq!(prefix, "carrier\u{1f}0005c07a\u{1f}flight departed\u{1f}");
        for first in ["", "UA", "a\u{1f}b"] {
            let series = series("carrier", 376_954, "flight departed");
            assert_eq!(Series::parse(&format!("{prefix}{first}")), Some((series, first)));
            assert!(KeyRange::of_series(prefix.clone()).contains(&format!("{prefix}{first}")));
        }
        assert_eq!(Series::parse("carrier"), None);
    }

    #[test]
    fn ranges_have_their_pages_and_no_others() {
        let range = KeyRange::of_hours("carrier", Hour(15), Hour(17));
        for hour in [15, 16] {
            assert!(range.contains(&key("carrier", hour, "x")) && range.contains(&(key("carrier", hour, "~") + "é")));
        }
        for other in [key("carrier", 17, "x"), key("carrier", 14, "~"), key("carrier2", 15, "x"), key("", 15, "x")] {
            assert!(!range.contains(&other), "{other}");
        }
        assert!(!KeyRange::of_series(key("carrier", 15, "x")).contains(&key("carrier", 15, "x y")));
    }
}
