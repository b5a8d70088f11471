//! Simulated time in whole microseconds, so that sums and comparisons are exact and the same on every machine.

use std::fmt;
use std::ops::{Add, Sub};

use anyhow::{Context, Result, ensure};

/// Microseconds: an instant since the start of the trace, or a length of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Micros(pub u64);

impl Micros {
    /// No time.
    pub(crate) const ZERO: Self = Self(0);
    /// One second.
    pub(crate) const SECOND: Self = Self(1_000_000);
    /// One minute.
    pub(crate) const MINUTE: Self = Self(60_000_000);

    /// Converts milliseconds, rounded to the nearest microsecond. Negative values give 0.
    pub(crate) fn from_ms(ms: f64) -> Self {
        Self((ms * 1e3).round() as u64)
    }

    /// Converts seconds, rounded to the nearest microsecond. Negative values give 0.
    pub(crate) fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1e6).round() as u64)
    }

    /// The time in milliseconds.
    pub(crate) fn ms(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// The time in seconds.
    pub(crate) fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This time minus `other`, or zero if `other` is longer.
    #[must_use]
    pub(crate) fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Parses a number with its unit: `10ms`, `1.5s`, `5m`, `2h`, `7d`, `250us`.
    ///
    /// # Errors
    /// Fails for any other text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let micros = match unit {
            "us" | "µs" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            "m" | "min" => 60e6,
            "h" => 3600e6,
            "d" => 86_400e6,
            _ => f64::NAN,
        };
        let number: f64 = number.parse().unwrap_or(f64::NAN);
        let micros = number * micros;
        ensure!(micros.is_finite(), "{text:?} is no length of time, such as 200ms, 1.5s, 10m, 2h or 7d");
        ensure!(micros <= 3.2e15, "{text:?} is longer than a hundred years");
        Ok(Self(micros.round() as u64))
    }
}

impl Add for Micros {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Micros {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl fmt::Display for Micros {
    /// Writes the time as [`Micros::parse`] reads it, in the largest unit that keeps it short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400e6, "d"), (3600e6, "h"), (60e6, "m"), (1e6, "s"), (1e3, "ms"), (1.0, "us")];
        let micros = self.0 as f64;
        let (size, unit) = *units.iter().find(|(size, _)| micros >= *size).unwrap_or(&(1e3, "ms"));
        let text = format!("{:.2}", micros / size);
        write!(f, "{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Parses a rate such as `10/s`, `300/m`, `5/h`, `1000/d`, and returns arrivals per second.
///
/// # Errors
/// Fails for any other text, and for a rate of 0 or below.
pub(crate) fn parse_rate(text: &str) -> Result<f64> {
    let wrong = || format!("{text:?} is no rate, such as 10/s, 300/m, 5/h or 1000/d");
    let (number, unit) = text.split_once('/').with_context(wrong)?;
    let seconds = match unit {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(anyhow::anyhow!(wrong())),
    };
    let rate = number.parse::<f64>().ok().with_context(wrong)? / seconds;
    ensure!(rate > 0.0 && rate <= 1e6, "the rate {text:?} is not between 0 and 1000000/s");
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written() {
        for (text, micros, shown) in [
            ("250us", 250, "250us"),
            ("10ms", 10_000, "10ms"),
            ("1.5s", 1_500_000, "1.5s"),
            ("300s", 300_000_000, "5m"),
            ("2h", 7_200_000_000, "2h"),
            ("7d", 604_800_000_000, "7d"),
            ("0s", 0, "0ms"),
        ] {
            let read = Micros::parse(text).unwrap();
            assert_eq!((read, read.to_string().as_str()), (Micros(micros), shown), "{text}");
        }
        for wrong in ["", "5", "m", "-1s", "1.2.3s", "5 m", "1e3s", "1000000d"] {
            let error = Micros::parse(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn rates_are_per_second() {
        assert_eq!([parse_rate("10/s").unwrap(), parse_rate("90/m").unwrap()], [10.0, 1.5]);
        for wrong in ["10", "0/s", "-1/s", "x/s", "10/y", "NaN/s"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
