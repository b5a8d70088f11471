//! The intervals of a report: hours, days, weeks and months of local clocks and calendars.
//!
//! Rollups are by whole hours of UTC, and an hour belongs to the interval in which it starts. If clocks are not whole
//! hours from UTC, intervals therefore start somewhat late: [`Intervals::shift_minutes`] says by how much.

use crate::reports::zone::{Zone, local_rfc3339};
use crate::rollups::key::Hour;
use crate::vocabulary::time::civil;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// The interval that a row of a time series covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interval {
    /// An hour of UTC.
    Hour,
    /// From local midnight to local midnight: 23 to 25 hours when clocks change.
    Day,
    /// From Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
}

/// The intervals of a range, in order. Together they hold each hour of the range once.
#[derive(Debug)]
pub(crate) struct Intervals {
    list: Vec<IntervalEdge>,
    shift_minutes: u32,
}

#[derive(Debug)]
struct IntervalEdge {
    /// The hour after the interval's last. The interval starts where the one before it ends, or where the range begins.
    until: Hour,
    /// When the interval starts, in seconds since 1970. If the range begins within the interval, this is before the
    /// range.
    start: i64,
    /// Seconds east of UTC at the interval's start.
    offset: i32,
}

impl Interval {
    /// The first day of the interval in which a day lies, both in days since 1970.
    fn first_day(self, day: i64) -> i64 {
        match self {
            Self::Hour | Self::Day => day,
            // 1970-01-01 was a Thursday.
            Self::Week => day - (day + 3).rem_euclid(7),
            Self::Month => day + 1 - civil(day).2,
        }
    }

    /// The first day of the interval after the one that starts on `first_day`.
    fn next(self, first_day: i64) -> i64 {
        match self {
            Self::Hour | Self::Day => first_day + 1,
            Self::Week => first_day + 7,
            Self::Month => self.first_day(first_day + 31),
        }
    }
}

impl Intervals {
    /// The intervals from `from` to `until`, which is not included.
    pub(crate) fn new(zone: &Zone, interval: Interval, from: Hour, until: Hour) -> Self {
        let mut intervals = Self { list: Vec::new(), shift_minutes: 0 };
        let mut hour = from;
        while hour < until {
            let utc = i64::from(hour.0) * HOUR;
            let (start, end) = match interval {
                Interval::Hour => (utc, hour.next()),
                Interval::Day | Interval::Week | Interval::Month => {
                    let first_day = interval.first_day(zone.local(utc).div_euclid(DAY));
                    let start = zone.reaches(first_day * DAY);
                    let late = (first_hour(zone, first_day) * HOUR - start) / 60;
                    intervals.shift_minutes = intervals.shift_minutes.max(u32::try_from(late).unwrap_or_default());
                    let end = first_hour(zone, interval.next(first_day));
                    // A day may seem over and then come back (see `first_hour`). It must not hold up the next day.
                    (start, Hour(u32::try_from(end).unwrap_or(u32::MAX)).max(hour.next()))
                }
            };
            hour = end.min(until);
            intervals.list.push(IntervalEdge { until: hour, start, offset: zone.offset_at(start) });
        }
        intervals
    }

    /// The whole range as one interval.
    pub(crate) fn whole(zone: &Zone, from: Hour, until: Hour) -> Self {
        let start = i64::from(from.0) * HOUR;
        Self { list: vec![IntervalEdge { until, start, offset: zone.offset_at(start) }], shift_minutes: 0 }
    }

    /// The number of intervals.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The index of the interval that an hour of the range belongs to.
    pub(crate) fn place(&self, hour: Hour) -> usize {
        self.list.partition_point(|interval| interval.until <= hour)
    }

    /// The index of the first interval that starts at `start` or later.
    pub(crate) fn from(&self, start: i64) -> usize {
        self.list.partition_point(|interval| interval.start < start)
    }

    /// When the interval at an index starts, in seconds since 1970.
    pub(crate) fn start(&self, place: usize) -> Option<i64> {
        self.list.get(place).map(|interval| interval.start)
    }

    /// When the interval at an index starts, in local time; empty if there is no such interval.
    pub(crate) fn time(&self, place: usize) -> String {
        self.list.get(place).map(|interval| local_rfc3339(interval.start, interval.offset)).unwrap_or_default()
    }

    /// The most minutes by which an interval's first hour comes after the interval's start. 0 if clocks are whole hours
    /// from UTC.
    pub(crate) fn shift_minutes(&self) -> u32 {
        self.shift_minutes
    }
}

/// The first hour that starts on a local day or later, in hours since 1970.
fn first_hour(zone: &Zone, day: i64) -> i64 {
    let midnight = day * DAY;
    let mut hour = (zone.reaches(midnight) + HOUR - 1).div_euclid(HOUR);
    // Clocks that are put back a minute after midnight show the evening again. Newfoundland's clocks did until 2011.
    while zone.local(hour * HOUR) < midnight {
        hour += 1;
    }
    hour
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITH_DAYS: [Interval; 3] = [Interval::Day, Interval::Week, Interval::Month];

    fn zone(name: &str) -> Zone {
        Zone::find(name).unwrap_or_else(|| panic!("{name} is not known"))
    }

    fn seconds(rfc3339: &str) -> i64 {
        rfc3339.parse::<jiff::Timestamp>().unwrap().as_second()
    }

    fn hour(rfc3339: &str) -> Hour {
        Hour((seconds(rfc3339) / HOUR) as u32)
    }

    /// Each interval's label and number of hours.
    fn listed(intervals: &Intervals, from: Hour) -> Vec<(String, u32)> {
        let starts = std::iter::once(from).chain(intervals.list.iter().map(|interval| interval.until));
        let hours = starts.zip(&intervals.list).map(|(from, interval)| interval.until.0 - from.0);
        (0..intervals.len()).map(|place| intervals.time(place)).zip(hours).collect()
    }

    #[track_caller]
    fn check(name: &str, interval: Interval, from: &str, until: &str, shift_minutes: u32, expected: &[(&str, u32)]) {
        let (from, until) = (hour(from), hour(until));
        let intervals = Intervals::new(&zone(name), interval, from, until);
        let found = listed(&intervals, from);
        let found: Vec<(&str, u32)> = found.iter().map(|(time, hours)| (time.as_str(), *hours)).collect();
        assert_eq!(found, expected);
        assert_eq!(intervals.shift_minutes(), shift_minutes);
    }

    #[test]
    fn hours_have_local_labels() {
        let expected = [
            ("2013-11-03T00:00:00-04:00", 1),
            ("2013-11-03T01:00:00-04:00", 1),
            ("2013-11-03T01:00:00-05:00", 1),
            ("2013-11-03T02:00:00-05:00", 1),
        ];
        check("America/New_York", Interval::Hour, "2013-11-03T04:00:00Z", "2013-11-03T08:00:00Z", 0, &expected);
        let expected = [("2013-01-01T05:30:00+05:30", 1), ("2013-01-01T06:30:00+05:30", 1)];
        check("Asia/Kolkata", Interval::Hour, "2013-01-01T00:00:00Z", "2013-01-01T02:00:00Z", 0, &expected);
        check("UTC", Interval::Hour, "2013-01-01T23:00:00Z", "2013-01-02T00:00:00Z", 0, &[("2013-01-01T23:00:00Z", 1)]);
    }

    #[test]
    fn days_are_as_long_as_local_days() {
        let expected =
            [("2013-03-09T00:00:00-05:00", 24), ("2013-03-10T00:00:00-05:00", 23), ("2013-03-11T00:00:00-04:00", 24)];
        check("America/New_York", Interval::Day, "2013-03-09T05:00:00Z", "2013-03-12T04:00:00Z", 0, &expected);
        let expected = [("2013-11-03T00:00:00-04:00", 25), ("2013-11-04T00:00:00-05:00", 1)];
        check("America/New_York", Interval::Day, "2013-11-03T04:00:00Z", "2013-11-04T06:00:00Z", 0, &expected);
    }

    #[test]
    fn a_day_without_midnight_starts_when_it_starts() {
        let expected =
            [("2018-11-03T00:00:00-03:00", 24), ("2018-11-04T01:00:00-02:00", 23), ("2018-11-05T00:00:00-02:00", 24)];
        check("America/Sao_Paulo", Interval::Day, "2018-11-03T03:00:00Z", "2018-11-06T02:00:00Z", 0, &expected);
        let expected = [("2019-03-30T00:00:00+02:00", 24), ("2019-03-31T01:00:00+03:00", 23)];
        check("Asia/Beirut", Interval::Day, "2019-03-29T22:00:00Z", "2019-03-31T21:00:00Z", 0, &expected);
    }

    #[test]
    fn a_day_with_two_midnights_starts_at_the_first() {
        let expected = [("2013-11-02T00:00:00-04:00", 24), ("2013-11-03T00:00:00-04:00", 25)];
        check("America/Havana", Interval::Day, "2013-11-02T04:00:00Z", "2013-11-04T05:00:00Z", 0, &expected);
    }

    #[test]
    fn a_day_that_was_left_out_has_no_bucket() {
        let expected = [("2011-12-29T00:00:00-10:00", 24), ("2011-12-31T00:00:00+14:00", 24)];
        check("Pacific/Apia", Interval::Day, "2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z", 0, &expected);
    }

    #[test]
    fn a_day_whose_evening_comes_again_keeps_its_hours() {
        // At 00:01 clocks went back to 23:01. The hour that starts at the second 23:30 belongs to the evening.
        let expected = [("2006-10-28T00:00:00-02:30", 25), ("2006-10-29T00:00:00-02:30", 24)];
        check("America/St_Johns", Interval::Day, "2006-10-28T03:00:00Z", "2006-10-30T04:00:00Z", 90, &expected);
        // Here an hour starts exactly at the first midnight.
        let expected = [("2006-10-28T00:00:00-03:00", 24), ("2006-10-29T00:00:00-03:00", 25)];
        check("America/Goose_Bay", Interval::Day, "2006-10-28T03:00:00Z", "2006-10-30T04:00:00Z", 0, &expected);
        // At 02:00 clocks went back to 23:00. The repeated hours count for the day that had begun.
        let expected = [("2010-03-04T00:00:00+11:00", 24), ("2010-03-05T00:00:00+11:00", 27)];
        check("Antarctica/Casey", Interval::Day, "2010-03-03T13:00:00Z", "2010-03-05T16:00:00Z", 0, &expected);
        let expected = [("2010-03-04T00:00:00+11:00", 1), ("2010-03-05T00:00:00+11:00", 24)];
        check("Antarctica/Casey", Interval::Day, "2010-03-04T15:00:00Z", "2010-03-05T16:00:00Z", 0, &expected);
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        let expected = [
            ("2012-12-31T00:00:00-05:00", 5 * 24),
            ("2013-01-07T00:00:00-05:00", 7 * 24),
            ("2013-01-14T00:00:00-05:00", 1),
        ];
        check("America/New_York", Interval::Week, "2013-01-02T05:00:00Z", "2013-01-14T06:00:00Z", 0, &expected);
        let expected = [
            ("2013-02-01T00:00:00-05:00", 1),
            ("2013-03-01T00:00:00-05:00", 31 * 24 - 1),
            ("2013-04-01T00:00:00-04:00", 2),
        ];
        check("America/New_York", Interval::Month, "2013-03-01T04:00:00Z", "2013-04-01T06:00:00Z", 0, &expected);
        // The first hour that an event can have belongs to the month before it.
        let expected = [("1999-12-01T00:00:00-05:00", 1)];
        check("America/New_York", Interval::Month, "2000-01-01T00:00:00Z", "2000-01-01T01:00:00Z", 0, &expected);
    }

    #[test]
    fn where_clocks_are_not_whole_hours_from_utc_days_begin_late() {
        let expected = [("2013-01-01T00:00:00+05:30", 24), ("2013-01-02T00:00:00+05:30", 24)];
        check("Asia/Kolkata", Interval::Day, "2012-12-31T19:00:00Z", "2013-01-02T19:00:00Z", 30, &expected);
        let expected = [("2013-01-01T00:00:00+05:45", 1), ("2013-01-02T00:00:00+05:45", 1)];
        check("Asia/Kathmandu", Interval::Day, "2013-01-01T18:00:00Z", "2013-01-01T20:00:00Z", 45, &expected);
        // Half an hour from whole hours, only in winter.
        let expected = [("2020-04-01T00:00:00+11:00", 30 * 24 + 1), ("2020-05-01T00:00:00+10:30", 24)];
        check("Australia/Lord_Howe", Interval::Month, "2020-03-31T13:00:00Z", "2020-05-01T14:00:00Z", 30, &expected);
        let expected = [("2020-01-01T00:00:00+11:00", 31 * 24)];
        check("Australia/Lord_Howe", Interval::Month, "2019-12-31T13:00:00Z", "2020-01-31T13:00:00Z", 0, &expected);
    }

    #[test]
    fn the_far_future_repeats_the_last_rule() {
        let expected = [("2090-03-12T00:00:00-05:00", 23), ("2090-03-13T00:00:00-04:00", 24)];
        check("America/New_York", Interval::Day, "2090-03-12T05:00:00Z", "2090-03-14T04:00:00Z", 0, &expected);
    }

    #[test]
    fn intervals_tile_the_range_and_hold_what_belongs_together() {
        let names =
            ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia"];
        for name in names.into_iter().chain(["Africa/Casablanca", "Europe/Dublin", "Asia/Beirut", "America/St_Johns"]) {
            let zone = zone(name);
            for from in ["2006-06-15T07:00:00Z", "2011-03-01T00:00:00Z", "2018-01-31T23:00:00Z", "2089-12-30T11:00:00Z"]
            {
                let (from, until) = (hour(from), Hour(hour(from).0 + 400 * 24));
                for interval in WITH_DAYS {
                    let intervals = Intervals::new(&zone, interval, from, until);
                    let group = |hour: u32| interval.first_day(zone.local(i64::from(hour) * HOUR).div_euclid(DAY));
                    assert_eq!(intervals.list.last().unwrap().until, until);
                    for hour in from.0 + 1..until.0 {
                        let starts = intervals.place(Hour(hour)) - intervals.place(Hour(hour - 1));
                        assert_eq!(starts, usize::from(group(hour) != group(hour - 1)), "{name}, hour {hour}");
                    }
                    let mut begin = from;
                    for (place, interval) in intervals.list.iter().enumerate() {
                        assert!(begin < interval.until, "an empty interval");
                        assert!(interval.start <= i64::from(begin.0) * HOUR);
                        assert_eq!(seconds(&intervals.time(place)), interval.start);
                        assert_eq!(zone.local(interval.start).div_euclid(DAY), {
                            // The days differ only if the first day was left out.
                            let day = group(begin.0);
                            if name == "Pacific/Apia" {
                                zone.local(zone.reaches(day * DAY)).div_euclid(DAY)
                            } else {
                                day
                            }
                        });
                        begin = interval.until;
                    }
                }
            }
        }
    }

    #[test]
    fn a_range_can_be_one_interval() {
        let (from, until) = (hour("2013-01-01T05:00:00Z"), hour("2013-02-01T05:00:00Z"));
        let intervals = Intervals::whole(&zone("America/New_York"), from, until);
        assert_eq!(listed(&intervals, from), [("2013-01-01T00:00:00-05:00".to_owned(), 31 * 24)]);
        assert_eq!((intervals.place(from), intervals.shift_minutes()), (0, 0));
    }

    #[test]
    fn labels_are_rfc_3339_on_any_day() {
        for day in (-200_000..200_000).step_by(37) {
            let (year, ..) = civil(day);
            let utc = day * DAY + day.rem_euclid(DAY);
            for offset in [0, -34_200, 20_700, 50_400, -43_200] {
                let label = local_rfc3339(utc, offset);
                assert!((1422..2518).contains(&year));
                assert_eq!(seconds(&label), utc, "{label}");
                assert_eq!(label.len(), if offset == 0 { 20 } else { 25 });
            }
        }
    }
}
