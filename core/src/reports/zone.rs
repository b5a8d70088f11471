//! Time zones: how far local clocks are from UTC, and when that changes.
//!
//! The rules of all IANA zones are in `zones.bin`, which `zones.py` makes from the package `tzdata` of PyPI. They cover
//! the time from 1999-11-30 to the end of 2100. Before and after it, the first and the last offset apply. The file is
//! one line of text with the version of tzdata, followed by raw deflate of these parts, one after the other:
//!
//! ```text
//! names        sorted; between two names, one byte: how many first bytes the later name shares with the earlier one
//! 0x1f
//! references   a byte for each name: 0 for a new zone, which gets the next number, or 1 + the number of a zone
//! n            a byte: how many patterns follow
//! patterns     9 bytes each: the yearly clock changes. Two switches, in the order of the year:
//!                u16  month | week << 4 | weekday << 7   week 1 to 5, 5 being the last; weekday 0 is Sunday
//!                i16  minutes from that day's local midnight
//!              then i8: the offset between the two, less the offset after the second, in quarter hours
//! counts       a byte for each zone: how many stretches of time are listed, from 1999-11-30 on
//! kinds        a byte for each zone: what follows the listed stretches, 0 for one offset, or 1 + a pattern's number
//! offsets      i8 for each listed stretch of a zone, then the last offset or the one after the second switch, in
//!              quarter hours
//! lengths      3 bytes for each listed stretch, in minutes
//! ```
//!
//! Numbers are little-endian.

use flate2::{Decompress, FlushDecompress, Status};

use crate::rollups::key::Hour;
use crate::vocabulary::time::{civil, days_since_1970};

const BLOB: &[u8] = include_bytes!("zones.bin");
/// More bytes than the inflated data has: the most that inflating may take.
const INFLATED: usize = 32 * 1024;
/// Ends the names. No name contains it, and no name shares that many bytes with the one before.
const END_OF_NAMES: u8 = 0x1f;
const PATTERN: usize = 9;
const LENGTH: usize = 3;
const QUARTER: i32 = 15 * 60;
const DAY: i64 = 24 * 60 * 60;
/// 1999-11-30T00:00:00Z.
const BEGIN: i64 = 10_925 * DAY;

/// A time zone.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    name: String,
    stretches: Vec<Stretch>,
}

/// A time with one offset. It starts at the end of the stretch before.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// The end in seconds since 1970; not included.
    until: i64,
    /// Seconds east of UTC.
    offset: i32,
}

impl Zone {
    pub(crate) fn utc() -> Self {
        Self { name: "UTC".to_owned(), stretches: vec![Stretch { until: i64::MAX, offset: 0 }] }
    }

    /// The zone with this IANA name, which may be an alias. Upper and lower case must match.
    pub(crate) fn find(name: &str) -> Option<Self> {
        if name == "UTC" {
            return Some(Self::utc());
        }
        Some(Self { name: name.to_owned(), stretches: stretches(&inflated()?, name)? })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The offset at a time, in seconds east of UTC.
    pub(crate) fn offset_at(&self, utc: i64) -> i32 {
        let at = self.stretches.partition_point(|stretch| stretch.until <= utc);
        self.stretches.get(at).map_or(0, |stretch| stretch.offset)
    }

    /// What the local clock shows at a time, in seconds as if it showed UTC.
    pub(crate) fn local(&self, utc: i64) -> i64 {
        utc + i64::from(self.offset_at(utc))
    }

    /// When the local clock first shows `local`. If clocks are put forward across it, when they first show something
    /// later.
    pub(crate) fn reaches(&self, local: i64) -> i64 {
        let ended = |stretch: &Stretch| stretch.until.saturating_add(stretch.offset.into()) <= local;
        let at = self.stretches.partition_point(ended);
        let shown = local - self.stretches.get(at).map_or(0, |stretch| i64::from(stretch.offset));
        match at.checked_sub(1).and_then(|before| self.stretches.get(before)) {
            Some(before) => shown.max(before.until),
            None => shown,
        }
    }

    /// When the hour starts, in local time.
    pub(crate) fn rfc3339(&self, hour: Hour) -> String {
        let utc = i64::from(hour.0) * 3600;
        local_rfc3339(utc, self.offset_at(utc))
    }
}

fn inflated() -> Option<Vec<u8>> {
    let deflated = BLOB.splitn(2, |byte| *byte == b'\n').nth(1)?;
    // Inflates into this capacity and no further.
    let mut data = Vec::with_capacity(INFLATED);
    let end = Decompress::new(false).decompress_vec(deflated, &mut data, FlushDecompress::Finish).ok()?;
    (end == Status::StreamEnd).then_some(data)
}

/// Takes the next `count` bytes off `rest`.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

/// The index of `wanted` among the names, if it is there, and the number of names.
fn place(names: &[u8], wanted: &str) -> (Option<usize>, usize) {
    let (mut name, mut place, mut count) = (Vec::new(), None, 0);
    // Ends the last name like the others.
    for byte in names.iter().chain(&[0]) {
        if *byte < END_OF_NAMES {
            if name == wanted.as_bytes() {
                place = Some(count);
            }
            count += 1;
            name.truncate(usize::from(*byte));
        } else {
            name.push(*byte);
        }
    }
    (place, count)
}

/// Reads one zone from the data, whose layout the head of this file describes.
fn stretches(data: &[u8], name: &str) -> Option<Vec<Stretch>> {
    let mut parts = data.splitn(2, |byte| *byte == END_OF_NAMES);
    let (names, mut rest) = (parts.next()?, parts.next()?);
    let (place, count) = place(names, name);
    let references = take(&mut rest, count)?;
    let first_met = |references: &[u8]| references.iter().filter(|reference| **reference == 0).count();
    let place = place?;
    let zone = match *references.get(place)? {
        0 => first_met(references.get(..place)?),
        reference => usize::from(reference) - 1,
    };
    let zones = first_met(references);
    let count = usize::from(*take(&mut rest, 1)?.first()?);
    let patterns = take(&mut rest, count * PATTERN)?;
    let (counts, kinds) = (take(&mut rest, zones)?, take(&mut rest, zones)?);
    let sum = |counts: &[u8]| counts.iter().map(|count| usize::from(*count)).sum::<usize>();
    let (before, count) = (sum(counts.get(..zone)?), usize::from(*counts.get(zone)?));
    // Each zone has one offset more than it has lengths.
    let mut offsets = take(&mut rest, sum(counts) + zones)?.get(before + zone..)?.iter();
    let mut offsets = std::iter::from_fn(|| Some(i32::from(offsets.next()?.cast_signed()) * QUARTER));
    let lengths = rest.get(before * LENGTH..)?.chunks_exact(LENGTH);

    let (mut stretches, mut begin) = (Vec::new(), BEGIN);
    for (length, offset) in lengths.take(count).zip(&mut offsets) {
        begin += length.iter().rev().fold(0, |minutes, byte| minutes << 8 | i64::from(*byte)) * 60;
        stretches.push(Stretch { until: begin, offset });
    }
    let last = offsets.next()?;
    let mut offset = last;
    if let Some(pattern) = usize::from(*kinds.get(zone)?).checked_sub(1) {
        let pattern = Pattern::read(patterns.get(pattern * PATTERN..)?)?;
        let between = last + pattern.difference;
        // Starts in an earlier year, to know which offset applies when the pattern begins.
        for year in 1998..=2100 {
            for (at, next) in [(pattern.first.at(year, last), between), (pattern.second.at(year, between), last)] {
                if at > begin {
                    stretches.push(Stretch { until: at, offset });
                }
                offset = next;
            }
        }
    }
    stretches.push(Stretch { until: i64::MAX, offset });
    Some(stretches)
}

/// The yearly changes of clocks.
struct Pattern {
    first: Switch,
    second: Switch,
    /// The seconds that the first switch adds.
    difference: i32,
}

/// The day of a year and the time of that day at which clocks change.
struct Switch {
    month: u16,
    week: u16,
    weekday: u16,
    minutes: i16,
}

impl Pattern {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, second) = (Switch::read(bytes)?, Switch::read(bytes.get(4..)?)?);
        Some(Self { first, second, difference: i32::from(bytes.get(8)?.cast_signed()) * QUARTER })
    }
}

impl Switch {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [day, week, low, high] = *bytes.first_chunk()?;
        let (day, minutes) = (u16::from_le_bytes([day, week]), i16::from_le_bytes([low, high]));
        Some(Self { month: day & 15, week: day >> 4 & 7, weekday: day >> 7 & 7, minutes })
    }

    /// When the switch happens in a year, if clocks are `offset` from UTC until then.
    fn at(&self, year: i64, offset: i32) -> i64 {
        let month = i64::from(self.month);
        let first = days_since_1970(year, month, 1);
        // 1970-01-01 was a Thursday.
        let mut day = first + (i64::from(self.weekday) - first - 4).rem_euclid(7) + 7 * (i64::from(self.week) - 1);
        if civil(day).1 != month {
            day -= 7;
        }
        day * DAY + i64::from(self.minutes) * 60 - i64::from(offset)
    }
}

/// RFC 3339 in local time: `2013-01-01T00:00:00-05:00`, with `Z` for offset 0.
pub(crate) fn local_rfc3339(utc: i64, offset: i32) -> String {
    let local = utc + i64::from(offset);
    let (year, month, day) = civil(local.div_euclid(DAY));
    let second = local.rem_euclid(DAY);
    let year = year.clamp(0, 9999); // the years that RFC 3339 has
    let ahead = i64::from(offset.unsigned_abs());
    // Written without `format!`, because a report has thousands of times.
    let mut text = *b"0000-00-00T00:00:00+00:00";
    let numbers = [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, second / 3600),
        (14, second / 60 % 60),
        (17, second % 60),
        (20, ahead / 3600),
        (23, ahead / 60 % 60),
    ];
    for (at, number) in numbers {
        let number = number as u8; // all have two digits
        if let Some([tens, ones]) = text.get_mut(at..at + 2) {
            *tens += number / 10;
            *ones += number % 10;
        }
    }
    let text = match offset {
        0 => {
            text[19] = b'Z';
            &text[..20]
        }
        ..0 => {
            text[19] = b'-';
            &text[..]
        }
        _ => &text[..],
    };
    std::str::from_utf8(text).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i32 = 3600;
    const MINUTE: i32 = 60;

    fn seconds(rfc3339: &str) -> i64 {
        rfc3339.parse::<jiff::Timestamp>().unwrap().as_second()
    }

    fn zone(name: &str) -> Zone {
        Zone::find(name).unwrap_or_else(|| panic!("{name} is not known"))
    }

    /// The offset on 1999-11-30, and then the offset from each change on.
    fn changes(zone: &Zone) -> Vec<(i64, i32)> {
        let ends = zone.stretches.iter().map(|stretch| stretch.until);
        std::iter::once(i64::MIN).chain(ends).zip(zone.stretches.iter().map(|stretch| stretch.offset)).collect()
    }

    fn names() -> Vec<String> {
        let data = inflated().unwrap();
        let (mut names, mut name) = (Vec::new(), Vec::new());
        for byte in data {
            if byte <= END_OF_NAMES {
                names.push(String::from_utf8(name.clone()).unwrap());
                name.truncate(byte.into());
            } else {
                name.push(byte);
            }
            if byte == END_OF_NAMES {
                return names;
            }
        }
        panic!("the names have no end")
    }

    /// Compares every zone with Python's zoneinfo. zones.py took each of its offsets and put their checksum into the
    /// file's head.
    #[test]
    fn every_zone_is_as_python_knows_it() {
        let end = seconds("2100-01-01T00:00:00Z");
        let mut crc = flate2::Crc::new();
        for name in names() {
            let zone = zone(&name);
            let mut line = format!("{name} {}", zone.offset_at(BEGIN));
            for (at, offset) in changes(&zone).into_iter().filter(|(at, _)| (BEGIN..end).contains(at)) {
                line += &format!(" {at} {offset}");
                assert_eq!(zone.offset_at(at), offset, "{name}");
                assert_ne!(zone.offset_at(at - 1), offset, "{name}");
            }
            crc.update((line + "\n").as_bytes());
        }
        let head = BLOB.split(|byte| *byte == b'\n').next().unwrap();
        let head = std::str::from_utf8(head).unwrap();
        assert!(head.starts_with("tzdata 20"), "{head}");
        assert_eq!(head.rsplit(' ').next().unwrap(), format!("{:08x}", crc.sum()));
    }

    #[test]
    fn offsets_are_those_of_the_almanac() {
        for (name, time, offset) in [
            ("UTC", "2013-07-01T00:00:00Z", 0),
            ("Etc/UTC", "2013-07-01T00:00:00Z", 0),
            ("Etc/GMT+5", "2013-07-01T00:00:00Z", -5 * HOUR),
            ("America/New_York", "2000-01-01T00:00:00Z", -5 * HOUR),
            ("America/New_York", "2006-03-20T00:00:00Z", -5 * HOUR),
            ("America/New_York", "2013-03-10T06:59:59Z", -5 * HOUR),
            ("America/New_York", "2013-03-10T07:00:00Z", -4 * HOUR),
            ("America/New_York", "2013-11-03T05:59:59Z", -4 * HOUR),
            ("America/New_York", "2013-11-03T06:00:00Z", -5 * HOUR),
            ("America/New_York", "2090-07-01T00:00:00Z", -4 * HOUR),
            ("US/Eastern", "2090-01-01T00:00:00Z", -5 * HOUR),
            ("Europe/Berlin", "2099-10-25T00:59:59Z", 2 * HOUR),
            ("Europe/Berlin", "2099-10-25T01:00:00Z", HOUR),
            ("Asia/Kolkata", "2013-01-01T00:00:00Z", 5 * HOUR + 30 * MINUTE),
            ("Asia/Calcutta", "2013-01-01T00:00:00Z", 5 * HOUR + 30 * MINUTE),
            ("Asia/Kathmandu", "2013-01-01T00:00:00Z", 5 * HOUR + 45 * MINUTE),
            // Daylight saving of half an hour.
            ("Australia/Lord_Howe", "2020-01-01T00:00:00Z", 11 * HOUR),
            ("Australia/Lord_Howe", "2020-07-01T00:00:00Z", 10 * HOUR + 30 * MINUTE),
            // 2018-11-04 had no midnight.
            ("America/Sao_Paulo", "2018-11-04T02:59:59Z", -3 * HOUR),
            ("America/Sao_Paulo", "2018-11-04T03:00:00Z", -2 * HOUR),
            ("America/Sao_Paulo", "2024-01-01T00:00:00Z", -3 * HOUR),
            // There was no 2011-12-30.
            ("Pacific/Apia", "2011-12-30T09:59:59Z", -10 * HOUR),
            ("Pacific/Apia", "2011-12-30T10:00:00Z", 14 * HOUR),
            // Ramadan of 2024.
            ("Africa/Casablanca", "2024-03-09T12:00:00Z", HOUR),
            ("Africa/Casablanca", "2024-03-10T12:00:00Z", 0),
            ("Africa/Casablanca", "2024-04-14T12:00:00Z", HOUR),
            // In tzdata, Ireland's summer time is standard time, and its winter time is an hour less.
            ("Europe/Dublin", "2013-01-01T00:00:00Z", 0),
            ("Europe/Dublin", "2013-07-01T00:00:00Z", HOUR),
            ("Europe/Dublin", "2090-07-01T00:00:00Z", HOUR),
            ("Antarctica/Troll", "2030-07-01T00:00:00Z", 2 * HOUR),
            ("Pacific/Kiritimati", "2013-01-01T00:00:00Z", 14 * HOUR),
        ] {
            assert_eq!(zone(name).offset_at(seconds(time)), offset, "{name} at {time}");
        }
    }

    #[test]
    fn a_zone_has_the_name_it_was_asked_for_by() {
        assert_eq!(zone("US/Eastern").name(), "US/Eastern");
        assert_eq!(zone("UTC").name(), "UTC");
        for unknown in ["", "America", "America/", "america/new_york", "America/New_York ", "Mars/Olympus", "\u{1f}"] {
            assert!(Zone::find(unknown).is_none(), "{unknown:?}");
        }
    }

    #[test]
    fn a_local_time_is_reached_once() {
        for (name, local, utc) in [
            ("UTC", "2013-01-01T00:00:00Z", "2013-01-01T00:00:00Z"),
            ("America/New_York", "2013-01-01T00:00:00Z", "2013-01-01T05:00:00Z"),
            // The clock shows this hour twice, and the first time counts.
            ("America/New_York", "2013-11-03T01:30:00Z", "2013-11-03T05:30:00Z"),
            ("America/New_York", "2013-11-03T02:00:00Z", "2013-11-03T07:00:00Z"),
            // The clock skips this hour or day, and the time after it counts.
            ("America/New_York", "2013-03-10T02:30:00Z", "2013-03-10T07:00:00Z"),
            ("America/Sao_Paulo", "2018-11-04T00:00:00Z", "2018-11-04T03:00:00Z"),
            ("Pacific/Apia", "2011-12-30T00:00:00Z", "2011-12-30T10:00:00Z"),
            ("Pacific/Apia", "2011-12-30T18:00:00Z", "2011-12-30T10:00:00Z"),
            ("Pacific/Apia", "2011-12-31T00:00:00Z", "2011-12-30T10:00:00Z"),
        ] {
            assert_eq!(zone(name).reaches(seconds(local)), seconds(utc), "{name}: {local}");
        }
    }
}
