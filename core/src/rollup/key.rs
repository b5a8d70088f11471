//! Where a rollup stands: keys that sort so that every report reads a few ranges.

use std::fmt;

use crate::time::Millis;

/// Hours since 1970-01-01T00:00:00Z. It starts then and lasts 3,600 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Hour(pub(crate) u32);

/// Days of UTC since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Day(pub(crate) u32);

/// What the rollups of a page are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Period {
    Hour(Hour),
    Day(Day),
}

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

    pub(crate) fn day(self) -> Day {
        Day(self.0 / 24)
    }
}

impl Day {
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) fn first_hour(self) -> Hour {
        Hour(self.0.saturating_mul(24))
    }

    /// The key of this day's mark.
    pub(crate) fn mark(self) -> String {
        format!("{MARK}{:07x}", self.0)
    }

    pub(crate) fn of_mark(key: &str) -> Option<Self> {
        u32::from_str_radix(key.strip_prefix(MARK)?, 16).ok().map(Self)
    }
}

impl Period {
    pub(crate) fn first_hour(self) -> Hour {
        match self {
            Self::Hour(hour) => hour,
            Self::Day(day) => day.first_hour(),
        }
    }

    /// The hour after its last.
    pub(crate) fn until(self) -> Hour {
        match self {
            Self::Hour(hour) => hour.next(),
            Self::Day(day) => day.next().first_hour(),
        }
    }

    /// As keys have it: hours sort before days.
    fn text(self) -> String {
        match self {
            Self::Hour(Hour(hour)) => format!("{hour:08x}"),
            Self::Day(Day(day)) => format!("{DAYS}{day:07x}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |digits| u32::from_str_radix(digits, 16).ok();
        match text.strip_prefix(DAYS) {
            Some(day) => number(day).map(|day| Self::Day(Day(day))),
            None => number(text).map(|hour| Self::Hour(Hour(hour))),
        }
    }
}

/// The rollups of one hour or day and event type: those of all values of a dimension, or, with the empty dimension, the one of all
/// events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) dimension: String,
    pub(crate) period: Period,
    pub(crate) event_type: String,
}

/// U+001F, the unit separator. No name has it, for names have no control characters.
const SEPARATOR: char = '\u{1f}';
/// What follows [`SEPARATOR`] in the order of characters.
const AFTER_SEPARATOR: char = '\u{20}';
/// What the keys of marks start with: U+001E, which no page's key does.
const MARK: char = '\u{1e}';
/// What tells a day's number from an hour's, which is not that great before the year 400,000.
const DAYS: char = 'd';

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
        let Self { dimension, period, event_type } = self;
        format!("{dimension}{SEPARATOR}{}{SEPARATOR}{event_type}{end}", period.text())
    }

    /// The series of a key, and the value that its page starts at.
    pub(crate) fn parse(key: &str) -> Option<(Self, &str)> {
        let mut parts = key.splitn(4, SEPARATOR);
        let (dimension, period, event_type, first) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let period = Period::parse(period)?;
        Some((Self { dimension: dimension.to_owned(), period, event_type: event_type.to_owned() }, first))
    }
}

impl KeyRange {
    /// The pages of a dimension, of all event types, in the hours from `from` until before `until`.
    pub(crate) fn of_hours(dimension: &str, from: Hour, until: Hour) -> Self {
        Self::of_periods(dimension, Period::Hour(from), Period::Hour(until))
    }

    /// The pages of a dimension, of all event types, of the days from `from` until before `until`.
    pub(crate) fn of_days(dimension: &str, from: Day, until: Day) -> Self {
        Self::of_periods(dimension, Period::Day(from), Period::Day(until))
    }

    fn of_periods(dimension: &str, from: Period, until: Period) -> Self {
        let edge = |period: Period| format!("{dimension}{SEPARATOR}{}{SEPARATOR}", period.text());
        Self { from: edge(from), until: edge(until) }
    }

    /// The marks of the days from `from` until before `until`.
    pub(crate) fn of_marks(from: Day, until: Day) -> Self {
        Self { from: from.mark(), until: until.mark() }
    }

    /// All marks.
    pub(crate) fn of_all_marks() -> Self {
        Self { from: MARK.to_string(), until: SEPARATOR.to_string() }
    }

    /// Whether the range has this key.
    pub fn contains(&self, key: &str) -> bool {
        *self.from <= *key && *key < *self.until
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dimension, period, event_type } = self;
        write!(f, "{event_type} by {dimension:?} from {}", period.first_hour().start().to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(dimension: &str, hour: u32, event_type: &str) -> Series {
        let period = Period::Hour(Hour(hour));
        Series { dimension: dimension.to_owned(), period, event_type: event_type.to_owned() }
    }

    #[test]
    fn keys_tell_their_series() {
        for first in ["", "UA", "a\u{1f}b"] {
            let series = series("carrier", 376_954, "flight departed");
            assert_eq!(Series::parse(&series.key(first)), Some((series.clone(), first)));
            assert!(series.pages().contains(&series.key(first)));
        }
        assert_eq!(Series::parse("carrier"), None);
        let day = Series { period: Period::Day(Day(15_706)), ..series("carrier", 0, "x") };
        assert_eq!(Series::parse(&day.key("a")), Some((day.clone(), "a")));
        assert_eq!((day.period.first_hour(), day.period.until()), (Hour(376_944), Hour(376_968)));
        assert_eq!(Day::of_mark(&Day(15_706).mark()), Some(Day(15_706)));
        assert_eq!(Day::of_mark(&day.key("a")), None);
    }

    #[test]
    fn hours_days_and_marks_keep_apart() {
        let day = Series { period: Period::Day(Day(15_706)), ..series("carrier", 0, "x") };
        let hours = KeyRange::of_hours("carrier", Hour(0), Hour(0xcfff_ffff));
        let days = KeyRange::of_days("carrier", Day(15_706), Day(15_707));
        assert!(!hours.contains(&day.key("")) && days.contains(&day.key("~")));
        assert!(!days.contains(&series("carrier", 15_706, "x").key("")));
        let marks = KeyRange::of_all_marks();
        assert!(marks.contains(&Day(0).mark()) && marks.contains(&Day(u32::MAX >> 4).mark()));
        assert!(KeyRange::of_marks(Day(1), Day(2)).contains(&Day(1).mark()));
        assert!(!marks.contains(&series("", 0, "x").key("")) && !hours.contains(&Day(15_706).mark()));
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
