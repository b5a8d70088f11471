//! Figures in words, with significant digits and fitting units.

use isotherm_hosts::Platform;

use crate::stats::Estimate;

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Milliseconds.
    Ms,
    /// Per second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// US dollars.
    Usd,
}

impl Unit {
    /// The unit's name for figures that are not scaled.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ms => "ms",
            Self::PerSecond => "1/s",
            Self::Bytes => "B",
            Self::Usd => "USD",
        }
    }

    /// The factor and the unit that make `value` easiest to read.
    fn fitting(self, value: f64) -> (f64, &'static str) {
        match self {
            Self::Ms if value < 0.9995 => (1e3, "µs"),
            Self::Ms if value >= 9_999.5 => (1e-3, "s"),
            Self::Ms => (1.0, "ms"),
            Self::PerSecond => (1.0, "/s"),
            Self::Bytes if value < 1e6 => (1e-3, "kB"),
            Self::Bytes => (1e-6, "MB"),
            Self::Usd => (1.0, "USD"),
        }
    }
}

/// A figure as it is shown. Its interval has the unit of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    /// The value's digits.
    pub(crate) value: String,
    /// The interval as `low–high`; empty for counted figures.
    pub(crate) interval: String,
    /// The unit of the value and the interval.
    pub(crate) unit: &'static str,
}

impl Quantity {
    pub(crate) fn of(estimate: &Estimate, unit: Unit) -> Self {
        let (factor, unit_name) = unit.fitting(estimate.value);
        let digits = |value: f64| digits(value * factor);
        let is_counted = estimate.low == estimate.high;
        Self {
            value: digits(estimate.value),
            interval: if is_counted {
                String::new()
            } else {
                format!("{}–{}", digits(estimate.low), digits(estimate.high))
            },
            unit: unit_name,
        }
    }

    /// The value and its unit, such as `4.00 ms`.
    pub(crate) fn plain(&self) -> String {
        let gap = if self.unit.starts_with('/') { "" } else { "\u{a0}" };
        format!("{}{gap}{}", self.value, self.unit)
    }

    /// The value with its interval, such as `4.00 ms (3.76–4.24)`.
    pub(crate) fn with_interval(&self) -> String {
        if self.interval.is_empty() { self.plain() } else { format!("{} ({})", self.plain(), self.interval) }
    }
}

/// A platform's name in headings and sentences.
pub(crate) fn title(platform: Platform) -> &'static str {
    match platform {
        Platform::Lambda => "Lambda",
        Platform::Workers => "Workers",
        Platform::Spin => "Spin",
        Platform::Native => "native",
    }
}

/// The name of a platform or a design in a sentence, in which a platform's title replaces its name.
pub(crate) fn named(name: &str) -> String {
    let found = Platform::ALL.iter().find_map(|platform| Some((platform, name.strip_prefix(platform.name())?)));
    found.map_or_else(|| name.to_owned(), |(platform, rest)| format!("{}{rest}", title(*platform)))
}

/// The text with a capital first letter.
pub(crate) fn capital(text: &str) -> String {
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    first.to_uppercase() + rest
}

/// A list in words: `A`, `A and B`, `A, B and C`.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Three significant digits; from 1,000 on, a whole number with commas.
pub(crate) fn digits(value: f64) -> String {
    match value {
        v if !v.is_finite() => "–".to_owned(),
        v if v >= 999.5 => grouped(v.round() as u64),
        0.0 => "0".to_owned(),
        v if v < 0.0995 => format!("{v:.*}", 2 + (-v.log10()).ceil().clamp(0.0, 9.0) as usize),
        v => short(v),
    }
}

/// Three significant digits, with thousands as `k`. Below 10 billion it is never wider than five characters.
pub(crate) fn short(value: f64) -> String {
    match value {
        v if !v.is_finite() => "–".to_owned(),
        v if v >= 9_999_500.0 => format!("{}M", short(v / 1e6)),
        v if v >= 9_999.5 => format!("{}k", short(v / 1e3)),
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v if v >= 0.9995 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

/// A ratio, with two decimals below 10.
pub(crate) fn multiple(value: f64) -> String {
    if value < 9.995 { format!("{value:.2}") } else { short(value) }
}

/// All digits of a price, with at least two decimals.
pub(crate) fn usd(usd: f64) -> String {
    let text = format!("{usd}");
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if digits < 2 { format!("{usd:.2}") } else { text }
}

/// A whole number with commas between thousands.
pub(crate) fn amount(number: f64) -> String {
    let digits = format!("{number:.0}");
    let start = digits.len() % 3;
    let groups =
        std::iter::once(&digits[..start]).chain((start..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    groups.filter(|group| !group.is_empty()).collect::<Vec<_>>().join(",")
}

/// A value to a thousandth, with digit groups if it is large.
pub(crate) fn decimal(value: f64) -> String {
    if value >= 1000.0 { amount(value) } else { format!("{}", (value * 1000.0).round() / 1000.0) }
}

/// A time in words, such as `4 s` or `1 min 04 s`.
pub(crate) fn time(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {:02} s", seconds / 60, seconds % 60) }
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    amount(number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_fit() {
        let shown = [0.0, 0.01234, 0.9996, 1.0, 9.996, 99.96, 1234.4, 9999.6, 123_456.0, 12_345_678.0].map(short);
        assert_eq!(shown, ["0.000", "0.012", "1.00", "1.00", "10.0", "100", "1234", "10.0k", "123k", "12.3M"]);
        assert!(shown.iter().all(|text| text.len() <= 5));
        assert_eq!([f64::NAN, f64::INFINITY].map(short), ["–", "–"]);
    }

    #[test]
    fn times_are_short() {
        assert_eq!([0.2, 59.4, 64.0, 600.0].map(time), ["0 s", "59 s", "1 min 04 s", "10 min 00 s"]);
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 27_004, 1_234_567].map(grouped), ["0", "999", "1,000", "27,004", "1,234,567"]);
    }

    #[test]
    fn quantities_choose_a_unit_and_keep_it_in_the_interval() {
        let quantity = |value, low, high, unit| Quantity::of(&Estimate { value, low, high }, unit).with_interval();
        assert_eq!(quantity(0.0972, 0.0953, 0.104, Unit::Ms), "97.2\u{a0}µs (95.3–104)");
        assert_eq!(quantity(0.98, 0.9, 1.2, Unit::Ms), "980\u{a0}µs (900–1,200)");
        assert_eq!(quantity(4.004, 3.76, 4.243, Unit::Ms), "4.00\u{a0}ms (3.76–4.24)");
        assert_eq!(quantity(12_345.0, 9_000.0, 13_000.0, Unit::Ms), "12.3\u{a0}s (9.00–13.0)");
        assert_eq!(quantity(3006.4, 2763.0, 3250.1, Unit::PerSecond), "3,006/s (2,763–3,250)");
        assert_eq!(quantity(5_438_668.0, 5_438_668.0, 5_438_668.0, Unit::Bytes), "5.44\u{a0}MB");
        assert_eq!(quantity(0.012_34, 0.01, 0.02, Unit::Usd), "0.0123\u{a0}USD (0.0100–0.0200)");
    }

    #[test]
    fn small_figures_keep_three_digits() {
        let shown = [0.0, 0.5, 0.0994, 0.01, 0.000_398, 1e-12].map(digits);
        assert_eq!(shown, ["0", "0.500", "0.0994", "0.0100", "0.000398", "0.00000000000"]);
    }

    #[test]
    fn names_are_listed() {
        assert_eq!(["native", "lambda, kept", "baseline"].map(named), ["native", "Lambda, kept", "baseline"]);
        assert_eq!(["", "étude", "a b"].map(capital), ["", "Étude", "A b"]);
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
    }
}
