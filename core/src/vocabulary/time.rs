//! Points in time in two units, milliseconds and seconds. Each unit is a type of its own, so that they can't be mixed
//! up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Millis(pub u64);

/// Seconds since 1970-01-01T00:00:00Z, the unit of DynamoDB's TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seconds(pub u64);

/// How long an event is kept after it was received, unless the configuration says otherwise for its type: 90 days.
pub const RETENTION: Seconds = Seconds(90 * 24 * 60 * 60);

/// What the host knows and core must not find out by itself: when the request arrived, and 128 random bits.
///
/// Equal requests with equal stamps give equal bytes on every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The host's clock when the request arrived.
    pub received_at: Millis,
    /// 128 bits from the platform's source of randomness.
    pub entropy: u128,
}

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFlaw {
    /// It is not RFC 3339.
    NotRfc3339,
    /// It is a time before 1970.
    BeforeEpoch,
}

impl fmt::Display for TimeFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRfc3339 => "the time is not RFC 3339",
            Self::BeforeEpoch => "the time is before 1970",
        })
    }
}

impl Millis {
    /// The time in whole seconds, rounded down.
    pub(crate) fn to_seconds(self) -> Seconds {
        Seconds(self.0 / 1000)
    }

    /// When an event that was received at this time may be deleted, if it is kept for so long.
    pub(crate) fn expiry(self, kept: Seconds) -> Seconds {
        Seconds(self.to_seconds().0.saturating_add(kept.0))
    }

    /// RFC 3339 in UTC with milliseconds: `2013-01-01T10:15:00.000Z`.
    pub(crate) fn to_rfc3339(self) -> String {
        // Only a clock beyond the year 9999 has no such form. Then the latest time that has one stands in.
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX).min(LATEST);
        let (year, month, day) = civil(ms.div_euclid(DAY));
        let (second, ms) = (ms.rem_euclid(DAY) / 1000, ms % 1000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        // Each event has two timestamps. Writing them with `format!` would take a tenth of the event's admission.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields = [(4, year), (7, month), (10, day), (13, hour), (16, minute), (19, second), (23, ms)];
        for (end, mut number) in fields {
            for digit in text.iter_mut().take(end).rev().take_while(|byte| byte.is_ascii_digit()) {
                *digit += (number % 10) as u8;
                number /= 10;
            }
        }
        // All characters are ASCII.
        String::from_utf8(text.to_vec()).unwrap_or_default()
    }

    /// Reads RFC 3339. Digits beyond milliseconds are dropped. A leap second counts as the second before it.
    pub(crate) fn from_rfc3339(text: &str) -> Result<Self, TimeFlaw> {
        let ms = rfc3339(text).ok_or(TimeFlaw::NotRfc3339)?;
        u64::try_from(ms).map(Self).map_err(|_negative| TimeFlaw::BeforeEpoch)
    }
}

/// Milliseconds in a day.
const DAY: i64 = 24 * 60 * 60 * 1000;
/// 9999-12-31T23:59:59.999Z.
const LATEST: i64 = 2_932_897 * DAY - 1;

/// Reads RFC 3339 as milliseconds since 1970, negative before it. It is written by hand, because a library for it would
/// take an eighth of the smallest artifact.
pub(crate) fn rfc3339(text: &str) -> Option<i64> {
    let (date_time, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let digits = |from: usize, until: usize| number(date_time.get(from..until)?);
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', _, _, b':', _, _, b':', _, _] = date_time else {
        return None;
    };
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    let days = days_since_1970(year, month, day);
    let is_date = (1..=12).contains(&month) && civil(days) == (year, month, day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, offset) = match rest.strip_prefix(b".") {
        None => (0, rest),
        Some(rest) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, offset) = rest.split_at(length);
            let digit = |at: usize| fraction.get(at).map_or(0, |digit| i64::from(digit - b'0'));
            ((length > 0).then_some(digit(0) * 100 + digit(1) * 10 + digit(2))?, offset)
        }
    };
    let ahead = match offset {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*tens, *ones])?);
            let ahead = (hours * 60 + minutes) * 60;
            (hours <= 23 && minutes <= 59).then_some(if *sign == b'-' { -ahead } else { ahead })?
        }
        _ => return None,
    };
    let second = hour * 3600 + minute * 60 + second.min(59) - ahead;
    Some(days * DAY + second * 1000 + fraction)
}

fn number(digits: &[u8]) -> Option<i64> {
    let value = |value, digit: &u8| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'));
    digits.iter().try_fold(0, value)
}

/// The day of a date since 1970-01-01, with months from 1. An invalid date gives the day of another date. The algorithm
/// is Howard Hinnant's `days_from_civil`.
pub(crate) fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year }; // years start in March, so that leap days come last
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The year, month and day of a day since 1970-01-01. The algorithm is Howard Hinnant's `civil_from_days`.
pub(crate) fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468; // days since 0000-03-01, so that leap days come last
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153; // months count from March
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (era * 400 + year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares with jiff.
        #[test]
        fn times_are_written_and_read_as_by_a_peer(ms in 0..=LATEST, offset in -1439..1440_i32) {
            let time = Millis(ms as u64);
            let peer = jiff::Timestamp::from_millisecond(ms).unwrap();
            prop_assert_eq!(time.to_rfc3339(), format!("{peer:.3}"));
            prop_assert_eq!(Millis::from_rfc3339(&time.to_rfc3339()), Ok(time));
            let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(offset * 60).unwrap());
            let local = peer.to_zoned(zone).strftime("%Y-%m-%dt%H:%M:%S.%6f%:z").to_string();
            prop_assume!(local.starts_with(|first: char| first.is_ascii_digit()));
            prop_assert_eq!(Millis::from_rfc3339(&local), Ok(time));
        }
    }

    #[test]
    fn what_is_not_rfc_3339_is_rejected() {
        for (text, expected) in [
            ("2000-02-29T23:59:60.9999Z", Ok(Millis(951_868_799_999))),
            ("2013-01-01T00:00:00+00:00", Ok(Millis(1_356_998_400_000))),
            ("1969-12-31T23:59:59Z", Err(TimeFlaw::BeforeEpoch)),
            ("1970-01-01T00:59:59+01:00", Err(TimeFlaw::BeforeEpoch)),
        ] {
            assert_eq!(Millis::from_rfc3339(text), expected, "{text}");
        }
        for wrong in [
            "",
            "2013-01-01",
            "2013-01-01T00:00:00",
            "2013-01-01 00:00:00Z",
            "2013-02-29T00:00:00Z",
            "2013-13-01T00:00:00Z",
            "2013-00-01T00:00:00Z",
            "2013-01-00T00:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01T00:60:00Z",
            "2013-01-01T00:00:61Z",
            "2013-01-01T00:00:00.Z",
            "2013-01-01T00:00:00+0100",
            "2013-01-01T00:00:00+01",
            "2013-01-01T00:00:00+24:00",
            "2013-01-01T00:00:00+01:60",
            "2013-01-01T00:00:00ZZ",
            "+013-01-01T00:00:00Z",
            "2013-01-01T00:00:00,5Z",
            "2013-01-01T00:00:00Z[UTC]",
            "20é3-01-01T00:00:00Z",
        ] {
            assert_eq!(Millis::from_rfc3339(wrong), Err(TimeFlaw::NotRfc3339), "{wrong}");
        }
    }
}
