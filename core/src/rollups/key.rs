//! Keys of rollups. They sort so that every report reads a few ranges. ␟ is U+001F, ␞ U+001E, ␝ U+001D, ␜ U+001C.
//!
//! | key | holds |
//! | --- | --- |
//! | `dimension␟period␟event type␟first value` | a page of a series: its rollups from this value on. The dimension is empty for all events of the type, and the value for a series' first page. `period` has 8 hexadecimal digits: the hour since 1970, or the day plus 0xc0000000 |
//! | `␞day` | the manifest of a day, 7 hexadecimal digits |
//! | `␝day` | the event types of a day |
//! | `dimension␟period␟event type␞first value`, `␞day␞` | unreadable bytes, set apart |
//! | `dimension␟period␟event type␜first value`, `␞day␜` | a page or manifest that came from another service. Reports read it; folds and compactions don't |
//!
//! The dimension, the type and the value have at most `Limits::name_bytes` each. So a key has at most 611 bytes.

use std::fmt;

use crate::vocabulary::time::Millis;

/// An hour, counted from 1970-01-01T00:00:00Z; it lasts 3,600 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Hour(pub(crate) u32);

/// A day of UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Day(pub(crate) u32);

/// The period that a page's rollups cover.
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

    /// The key of this day's manifest.
    pub(crate) fn manifest(self) -> String {
        format!("{MANIFEST}{:07x}", self.0)
    }

    pub(crate) fn of_manifest(key: &str) -> Option<Self> {
        Self::parse(key.strip_prefix(MANIFEST)?)
    }

    /// The day of a manifest that came from another service.
    pub(crate) fn of_moved_manifest(key: &str) -> Option<Self> {
        Self::of_manifest(key.strip_suffix(MOVED)?)
    }

    /// The day of an unreadable manifest that is set apart.
    pub(crate) fn of_apart_manifest(key: &str) -> Option<Self> {
        Self::of_manifest(key.strip_suffix(APART)?)
    }

    /// The key of the list of this day's event types.
    pub(crate) fn types(self) -> String {
        format!("{TYPES}{:07x}", self.0)
    }

    pub(crate) fn of_types(key: &str) -> Option<Self> {
        Self::parse(key.strip_prefix(TYPES)?)
    }

    fn parse(digits: &str) -> Option<Self> {
        u32::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl Period {
    pub(crate) fn first_hour(self) -> Hour {
        match self {
            Self::Hour(hour) => hour,
            Self::Day(day) => day.first_hour(),
        }
    }

    /// The hour after the period's last.
    pub(crate) fn until(self) -> Hour {
        match self {
            Self::Hour(hour) => hour.next(),
            Self::Day(day) => day.next().first_hour(),
        }
    }

    /// The number in keys. Hours sort before days.
    fn number(self) -> u32 {
        match self {
            Self::Hour(Hour(hour)) => hour,
            Self::Day(Day(day)) => DAYS | day,
        }
    }

    fn of(number: u32) -> Self {
        if number & DAYS == DAYS { Self::Day(Day(number ^ DAYS)) } else { Self::Hour(Hour(number)) }
    }
}

/// The rollups of one period (an hour or day), event type and dimension: one for each value. The empty dimension has a
/// single rollup, of all events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) dimension: String,
    pub(crate) period: Period,
    pub(crate) event_type: String,
}

/// U+001F, the unit separator. It is in no name, because names have no control characters.
const SEPARATOR: char = '\u{1f}';
/// The character after [`SEPARATOR`].
const AFTER_SEPARATOR: char = '\u{20}';
/// The first character of the keys of manifests: U+001E. No page's key starts with it.
const MANIFEST: char = '\u{1e}';
/// The first character of the keys of a day's event types: U+001D. No other key starts with it.
const TYPES: char = '\u{1d}';
/// Stands in the key of unreadable bytes that are set apart. It replaces the separator before a page's first value, or
/// follows a manifest's day. Reports therefore read such a key, and folds don't.
const APART: char = '\u{1e}';
/// Stands in the keys of what came from another service, as [`APART`] stands in those of unreadable bytes.
const MOVED: char = '\u{1c}';
/// Marks a day's number in a key. An hour's number is not that large before the year 300,000.
const DAYS: u32 = 0xc000_0000;

/// Keys from `from`, included, to `until`, not included, in the order of their UTF-8 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct KeyRange {
    /// The first key.
    pub from: String,
    /// The key after the last.
    pub until: String,
}

impl Series {
    /// The prefix of the keys of the series' pages. The first page's key is the prefix alone.
    pub(crate) fn prefix(dimension: &str, period: Period, event_type: &str) -> String {
        // Without `format!`, because this runs for each page that is written.
        let mut prefix = String::with_capacity(dimension.len() + event_type.len() + 11);
        prefix.push_str(dimension);
        prefix.push(SEPARATOR);
        prefix.extend((0..8).rev().filter_map(|digit| char::from_digit(period.number() >> (4 * digit) & 15, 16)));
        prefix.push(SEPARATOR);
        prefix.push_str(event_type);
        prefix.push(SEPARATOR);
        prefix
    }

    /// The series of a page's key, and the value that the page starts at.
    pub(crate) fn parse(key: &str) -> Option<(Self, &str)> {
        let mut parts = key.splitn(4, SEPARATOR);
        let (dimension, period, event_type, first) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if event_type.contains([APART, MOVED]) {
            return None;
        }
        let period = Period::of(u32::from_str_radix(period, 16).ok()?);
        Some((Self { dimension: dimension.to_owned(), period, event_type: event_type.to_owned() }, first))
    }
}

/// The key under which an unreadable page or manifest is set apart.
pub(crate) fn apart(key: &str) -> String {
    aside(key, APART)
}

/// The key under which a page or manifest is kept that came from another service.
pub(crate) fn moved(key: &str) -> String {
    aside(key, MOVED)
}

/// The key beside this one that has the mark.
fn aside(key: &str, mark: char) -> String {
    match key.match_indices(SEPARATOR).nth(2) {
        Some((place, _)) => {
            let (before, after) = key.split_at(place);
            [before, after.replacen(SEPARATOR, mark.encode_utf8(&mut [0; 4]), 1).as_str()].concat()
        }
        None => format!("{key}{mark}"),
    }
}

/// The kind of data under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind<'k> {
    /// A page of this series, and the value that it starts at.
    Page(Series, &'k str),
    /// Such a page, which came from another service.
    Moved(Series, &'k str),
    /// Unreadable bytes of this series, set apart.
    Apart(Series),
    /// Data about a day, or unreadable bytes of such data, set apart.
    Day,
    Unknown,
}

impl<'k> KeyKind<'k> {
    pub(crate) fn of(key: &'k str) -> Self {
        if key.starts_with([MANIFEST, TYPES]) {
            return Self::Day;
        }
        if let Some((series, first)) = Series::parse(key) {
            return Self::Page(series, first);
        }
        // With its original separator, the key would be a page's key.
        let aside = |mark| {
            let (prefix, first) = key.split_once(mark)?;
            let (series, rest) =
                Series::parse(&format!("{prefix}{SEPARATOR}")).map(|(series, rest)| (series, rest.len()))?;
            (rest == 0).then_some((series, first))
        };
        if let Some((series, first)) = aside(MOVED) {
            return Self::Moved(series, first);
        }
        aside(APART).map_or(Self::Unknown, |(series, _)| Self::Apart(series))
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

    /// The hour pages of a dimension, of all event types, from `from` until before `until`.
    pub(crate) fn of_hours(dimension: &str, from: Hour, until: Hour) -> Self {
        Self::of_periods(dimension, Period::Hour(from), Period::Hour(until))
    }

    /// The day pages of a dimension, of all event types, from `from` until before `until`.
    pub(crate) fn of_days(dimension: &str, from: Day, until: Day) -> Self {
        Self::of_periods(dimension, Period::Day(from), Period::Day(until))
    }

    fn of_periods(dimension: &str, from: Period, until: Period) -> Self {
        let edge = |period: Period| format!("{dimension}{SEPARATOR}{:08x}{SEPARATOR}", period.number());
        Self { from: edge(from), until: edge(until) }
    }

    /// The manifests of the days from `from` until before `until`.
    pub(crate) fn of_manifests(from: Day, until: Day) -> Self {
        Self { from: from.manifest(), until: until.manifest() }
    }

    /// The list of a day's event types.
    pub(crate) fn of_types(day: Day) -> Self {
        Self { from: day.types(), until: day.next().types() }
    }

    /// All manifests.
    pub(crate) fn of_all_manifests() -> Self {
        Self { from: MANIFEST.to_string(), until: SEPARATOR.to_string() }
    }

    /// Whether this key is in the range.
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

    fn key(dimension: &str, hour: u32, event_type: &str) -> String {
        Series::prefix(dimension, Period::Hour(Hour(hour)), event_type)
    }

    const DAY: Period = Period::Day(Day(15_706));

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
        let day = Series { period: DAY, ..series("carrier", 0, "x") };
        assert_eq!(Series::parse(&(Series::prefix("carrier", DAY, "x") + "a")), Some((day, "a")));
        assert_eq!((DAY.first_hour(), DAY.until()), (Hour(376_944), Hour(376_968)));
        assert_eq!(Day::of_manifest(&Day(15_706).manifest()), Some(Day(15_706)));
        assert_eq!(Day::of_manifest(&prefix), None);
    }

    #[test]
    fn what_is_set_apart_lies_in_what_reports_read_and_not_in_what_folds_read() {
        for first in ["", "UA", "a\u{1f}b\u{1e}"] {
            let prefix = key("carrier", 15, "x");
            let apart = apart(&format!("{prefix}{first}"));
            assert_eq!(KeyKind::of(&apart), KeyKind::Apart(series("carrier", 15, "x")));
            assert!(KeyRange::of_hours("carrier", Hour(15), Hour(16)).contains(&apart));
            assert!(!KeyRange::of_series(prefix.clone()).contains(&apart) && Series::parse(&apart).is_none());
            assert_eq!(KeyKind::of(&format!("{prefix}{first}")), KeyKind::Page(series("carrier", 15, "x"), first));
        }
        let manifest = Day(15_706).manifest();
        for of_day in [&apart(&manifest), &manifest, &Day(7).types()] {
            assert_eq!(KeyKind::of(of_day), KeyKind::Day);
        }
        let moved_key = moved(&format!("{}UA", key("carrier", 15, "x")));
        assert_eq!(KeyKind::of(&moved_key), KeyKind::Moved(series("carrier", 15, "x"), "UA"));
        assert!(KeyRange::of_hours("carrier", Hour(15), Hour(16)).contains(&moved_key));
        assert!(!KeyRange::of_series(key("carrier", 15, "x")).contains(&moved_key));
        assert_eq!(Day::of_moved_manifest(&moved(&manifest)), Some(Day(15_706)));
        assert_eq!((Day::of_manifest(&moved(&manifest)), Day::of_apart_manifest(&moved(&manifest))), (None, None));
        for unknown in ["", "d", "d\u{1f}x\u{1f}t\u{1f}", "d\u{1f}0005c07a\u{1f}t"] {
            assert_eq!(KeyKind::of(unknown), KeyKind::Unknown, "{unknown}");
        }
        assert!(KeyRange::of_manifests(Day(15_706), Day(15_707)).contains(&apart(&manifest)));
        assert_eq!((Day::of_manifest(&apart(&manifest)), Day::of_types(&Day(7).types())), (None, Some(Day(7))));
    }

    #[test]
    fn hours_days_and_marks_keep_apart() {
        let day = Series::prefix("carrier", DAY, "x");
        let hours = KeyRange::of_hours("carrier", Hour(0), Hour(DAYS - 1));
        let days = KeyRange::of_days("carrier", Day(15_706), Day(15_707));
        assert!(!hours.contains(&day) && days.contains(&day));
        assert!(hours.contains(&key("carrier", 15_706, "x")) && !days.contains(&key("carrier", 15_706, "x")));
        let manifests = KeyRange::of_all_manifests();
        assert!(manifests.contains(&Day(0).manifest()) && manifests.contains(&Day(u32::MAX >> 4).manifest()));
        assert!(KeyRange::of_manifests(Day(1), Day(2)).contains(&Day(1).manifest()));
        assert!(!manifests.contains(&key("", 0, "x")) && !hours.contains(&Day(15_706).manifest()));
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
