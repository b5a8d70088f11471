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
    /// The key of the page whose values start at `first`.
    pub(crate) fn key(&self, first: &str) -> String {
        format!("{}{first}", self.prefix(SEPARATOR))
    }

    /// The keys of all pages of this series.
    pub(crate) fn pages(&self) -> KeyRange {
        KeyRange { from: self.prefix(SEPARATOR), until: self.prefix(AFTER_SEPARATOR) }
    }

    fn prefix(&self, end: char) -> String {
        let Self { dimension, hour: Hour(hour), event_type } = self;
        format!("{dimension}{SEPARATOR}{hour:08x}{SEPARATOR}{event_type}{end}")
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

    #[test]
    fn keys_tell_their_series() {
        for first in ["", "UA", "a\u{1f}b"] {
            let series = series("carrier", 376_954, "flight departed");
            assert_eq!(Series::parse(&series.key(first)), Some((series.clone(), first)));
            assert!(series.pages().contains(&series.key(first)));
        }
        assert_eq!(Series::parse("carrier"), None);
    }

    #[test]
    fn ranges_have_their_pages_and_no_others() {
        let range = KeyRange::of_hours("carrier", Hour(15), Hour(17));
        for hour in [15, 16] {
            assert!(
                range.contains(&series("carrier", hour, "x").key(""))
                    && range.contains(&series("carrier", hour, "~").key("é"))
            );
        }
        for other in
            [series("carrier", 17, "x"), series("carrier", 14, "~"), series("carrier2", 15, "x"), series("", 15, "x")]
        {
            assert!(!range.contains(&other.key("")), "{other}");
        }
        assert!(!series("carrier", 15, "x").pages().contains(&series("carrier", 15, "x y").key("")));
    }
}
