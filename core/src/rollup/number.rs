//! Numbers of properties, and their sums, exactly: whatever the order of addition, no bit is lost before the end.

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

use crate::rollup::codec::{Reader, Writer};

/// A finite number. Integral ones below 2^64 are always `Integer`, so that 2 and 2.0 are the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// Within ±2^64, or a sum of such.
    Integer(i128),
    /// Not integral, or beyond ±2^64.
    Float(f64),
}

impl Default for Number {
    fn default() -> Self {
        Self::Integer(0)
    }
}

const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;
/// Up to here every integer has a double of its own.
const TWO_TO_53: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// `None` for what is not finite.
    pub(crate) fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            None
        } else if value.abs() < TWO_TO_64 && value.trunc() == value {
            Some(Self::Integer(value as i128))
        } else {
            Some(Self::Float(value))
        }
    }

    pub(crate) fn to_f64(self) -> f64 {
        match self {
            // From 64 bits it is an instruction.
            Self::Integer(value) => i64::try_from(value).map_or_else(|_| value as f64, |value| value as f64),
            Self::Float(value) => value,
        }
    }

    #[inline]
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(one), Self::Integer(two)) => one.cmp(&two),
            (Self::Float(one), Self::Float(two)) => one.total_cmp(&two),
            (Self::Integer(one), Self::Float(two)) => compare_mixed(one, two),
            (Self::Float(one), Self::Integer(two)) => compare_mixed(two, one).reverse(),
        }
    }

    pub(crate) fn smaller(self, other: Self) -> Self {
        if other.compare(self).is_lt() { other } else { self }
    }

    pub(crate) fn larger(self, other: Self) -> Self {
        if other.compare(self).is_gt() { other } else { self }
    }

    #[inline]
    pub(crate) fn write(self, writer: &mut Writer) {
        match self {
            Self::Integer(value) => match i64::try_from(value) {
                Ok(value) => Self::write_small(value, writer),
                Err(_) => {
                    writer.byte(0);
                    writer.signed_wide(value);
                }
            },
            Self::Float(value) => {
                writer.byte(1);
                writer.0.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// Writes an integer, as most are.
    #[inline]
    pub(crate) fn write_small(value: i64, writer: &mut Writer) {
        writer.byte(0);
        writer.signed(value);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.byte()? {
            0 => reader.signed_wide().map(Self::Integer),
            1 => Some(Self::Float(f64::from_le_bytes(reader.take(8)?.try_into().ok()?))),
            _ => None,
        }
    }
}

/// A float that is not an integer below 2^64 never equals one.
fn compare_mixed(integer: i128, float: f64) -> Ordering {
    if float.abs() >= TWO_TO_64 {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    if integer <= float.floor() as i128 { Ordering::Less } else { Ordering::Greater }
}

impl Serialize for Number {
    /// Integers without a fraction, whatever they were computed from.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Integer(value) => match i64::try_from(value) {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => serializer.serialize_i128(value),
            },
            Self::Float(value) if value.trunc() == value && value.abs() <= TWO_TO_53 => {
                serializer.serialize_i64(value as i64)
            }
            Self::Float(value) => serializer.serialize_f64(value),
        }
    }
}

/// An exact sum of numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    /// Of all `Number::Integer`: 2^63 of the largest fit.
    integers: i128,
    /// Of all `Number::Float`, where there are any.
    floats: Option<Box<Wide>>,
}

impl Sum {
    pub(crate) fn add(&mut self, number: Number) {
        match number {
            Number::Integer(value) => self.integers = self.integers.saturating_add(value),
            Number::Float(value) => self.floats.get_or_insert_default().add_f64(value),
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.integers = self.integers.saturating_add(other.integers);
        if let Some(floats) = &other.floats {
            self.floats.get_or_insert_default().merge(floats);
        }
    }

    /// The sum: exact where it is an integer of integers, else the double nearest to the exact sum. `None` beyond the largest
    /// double.
    pub(crate) fn total(&self) -> Option<Number> {
        let Some(floats) = &self.floats else { return Some(Number::Integer(self.integers)) };
        let mut all = floats.clone();
        all.add_integer(self.integers);
        Number::from_f64(all.nearest())
    }

    #[inline]
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.signed_wide(self.integers);
        match &self.floats {
            None => writer.byte(0),
            Some(floats) => floats.write(writer),
        }
    }

    /// Writes a sum of integers.
    #[inline]
    pub(crate) fn write_small(integers: i64, writer: &mut Writer) {
        writer.signed(integers);
        writer.byte(0);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { integers: reader.signed_wide()?, floats: Wide::read(reader)? })
    }
}

/// Bits of a digit of [`Wide`].
const DIGIT: usize = 32;
/// Digits that every double fits into, with 64 bits to spare for carries of sums.
const DIGITS: usize = (1074 + 1024) / DIGIT + 3;
/// Where the bit of 1 stands, in units of the smallest double.
const ONE: usize = 1074;

/// A fixed-point number in units of 2^-1074, the smallest double, so that any sum of doubles is exact (a superaccumulator:
/// R. M. Neal, "Fast exact summation using small and large superaccumulators", 2015).
#[derive(Clone, Debug, Default)]
struct Wide {
    /// Which digit `digits[0]` is: most sums need three or four of all [`DIGITS`].
    low: usize,
    /// Signed, and wider than a digit between carries.
    digits: Vec<i64>,
    /// Additions since digits were last carried; below 2^30, so that none overflows.
    pending: u32,
}

impl Wide {
    fn add_f64(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let mantissa = bits & ((1 << 52) - 1);
        let (mantissa, place) = if exponent == 0 { (mantissa, 0) } else { (mantissa | 1 << 52, exponent - 1) };
        self.add_at(place, mantissa, value.is_sign_negative());
    }

    fn add_integer(&mut self, value: i128) {
        let magnitude = value.unsigned_abs();
        self.add_at(ONE, magnitude as u64, value < 0);
        self.add_at(ONE + 64, (magnitude >> 64) as u64, value < 0);
    }

    /// Adds `value` × 2^`place` units.
    fn add_at(&mut self, place: usize, value: u64, is_negative: bool) {
        let first = place / DIGIT;
        self.cover(first, first + 3);
        let mut shifted = u128::from(value) << (place % DIGIT);
        for digit in self.digits.iter_mut().skip(first - self.low).take(3) {
            let part = (shifted & 0xffff_ffff) as i64;
            *digit += if is_negative { -part } else { part };
            shifted >>= DIGIT;
        }
        self.pending += 1;
        if self.pending >= 1 << 30 {
            self.carry();
        }
    }

    /// Makes room for the digits `from..until`.
    fn cover(&mut self, from: usize, until: usize) {
        if self.digits.is_empty() {
            self.low = from;
        }
        if from < self.low {
            self.digits.splice(0..0, std::iter::repeat_n(0, self.low - from));
            self.low = from;
        }
        let wanted = until.saturating_sub(self.low);
        if self.digits.len() < wanted {
            self.digits.resize(wanted, 0);
        }
    }

    fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        other.carry();
        self.carry();
        self.cover(other.low, other.low + other.digits.len());
        for (digit, more) in self.digits.iter_mut().skip(other.low - self.low).zip(&other.digits) {
            *digit += more;
        }
        self.pending = 2;
    }

    /// Brings every digit but the highest into 0..2^32.
    fn carry(&mut self) {
        let mut carried = 0;
        for digit in &mut self.digits {
            let sum = *digit + carried;
            *digit = sum & 0xffff_ffff;
            carried = sum >> DIGIT;
        }
        match self.digits.last_mut() {
            // The sign stays in the highest digit, as far as it fits there.
            Some(last) if carried == -1 || carried == 0 => *last += carried << DIGIT,
            Some(_) => self.digits.push(carried),
            None => {}
        }
        self.pending = 1;
    }

    /// Sign and magnitude: digits below 2^32, none of them zero at either end. The same for the same number, always.
    fn magnitude(&self) -> (bool, usize, Vec<u32>) {
        let mut wide = self.clone();
        wide.carry();
        let is_negative = wide.digits.last().is_some_and(|last| *last < 0);
        if is_negative {
            for digit in &mut wide.digits {
                *digit = -*digit;
            }
            wide.carry();
        }
        let mut digits: Vec<u32> = wide.digits.iter().map(|digit| *digit as u32).collect();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        let low = if digits.is_empty() { 0 } else { wide.low + zeros };
        (is_negative && !digits.is_empty(), low, digits)
    }

    /// The nearest double, halves to even; infinite beyond the largest.
    fn nearest(&self) -> f64 {
        let (is_negative, low, digits) = self.magnitude();
        let Some(last) = digits.last() else { return 0.0 };
        let highest = DIGIT * (low + digits.len() - 1) + 31 - last.leading_zeros() as usize;
        // Bits of the number, counted from the unit; what is below the first digit is zero.
        let bit_at = |place: usize| {
            place / DIGIT >= low
                && digits.get(place / DIGIT - low).is_some_and(|digit| digit >> (place % DIGIT) & 1 == 1)
        };
        let dropped = highest.saturating_sub(52);
        let mut mantissa = 0_u64;
        for place in (dropped..=highest).rev() {
            mantissa = mantissa << 1 | u64::from(bit_at(place));
        }
        let is_half = dropped > 0 && bit_at(dropped - 1);
        let is_more = dropped > 1 && (low * DIGIT..dropped - 1).any(bit_at);
        if is_half && (is_more || mantissa & 1 == 1) {
            mantissa += 1;
        }
        // The mantissa's bit 52 adds 1 to the exponent, and so does the carry of one that was rounded up to 2^53.
        let bits = ((dropped as u64) << 52) + mantissa;
        let value = if bits >= 0x7ff << 52 { f64::INFINITY } else { f64::from_bits(bits) };
        if is_negative { -value } else { value }
    }

    fn write(&self, writer: &mut Writer) {
        let (is_negative, low, digits) = self.magnitude();
        writer.byte(if is_negative { 2 } else { 1 });
        writer.length(low);
        writer.length(digits.len());
        for digit in digits {
            writer.0.extend_from_slice(&digit.to_le_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Option<Box<Self>>> {
        let sign = match reader.byte()? {
            0 => return Some(None),
            1 => 1,
            2 => -1,
            _ => return None,
        };
        let (low, length): (usize, usize) = (reader.small()?, reader.small()?);
        if low + length > DIGITS {
            return None;
        }
        let bytes = reader.take(length * 4)?;
        let digits = bytes.as_chunks::<4>().0.iter().map(|digit| sign * i64::from(u32::from_le_bytes(*digit)));
        Some(Some(Box::new(Self { low, digits: digits.collect(), pending: 1 })))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(numbers: &[f64]) -> Sum {
        let mut sum = Sum::default();
        for number in numbers {
            sum.add(Number::from_f64(*number).unwrap());
        }
        sum
    }

    fn bytes(sum: &Sum) -> Vec<u8> {
        let mut writer = Writer::default();
        sum.write(&mut writer);
        writer.0
    }

    #[test]
    fn sums_are_the_nearest_double_of_the_exact_sum() {
        for (numbers, expected) in [
            (&[0.1; 10][..], 1.0),
            (&[1e100, 1.0, -1e100], 1.0),
            (&[1e308, 1e308, -1e308, 0.5], 1e308),
            (&[0.1, 0.2, -0.3], 2.775_557_561_562_891_4e-17),
            (&[5e-324, 5e-324], 1e-323),
            (&[2.2e-308, -2.2e-308], 0.0),
            (&[-0.5, -0.25], -0.75),
            (&[9_007_199_254_740_992.0, 0.5, 0.5], 9_007_199_254_740_993.0),
            (&[0.5, 9_007_199_254_740_993.0], 9_007_199_254_740_992.0),
        ] {
            assert_eq!(sum(numbers).total().unwrap().to_f64().to_bits(), (expected + 0.0_f64).to_bits(), "{numbers:?}");
        }
        assert_eq!(sum(&[f64::MAX, f64::MAX]).total(), None);
        assert_eq!(sum(&[0.5, 0.5]).total(), Some(Number::Integer(1)));
    }

    #[test]
    fn integers_are_summed_and_compared_exactly() {
        let mut sum = Sum::default();
        for value in [u64::MAX.into(), i64::MAX.into(), i64::MIN.into(), 3] {
            sum.add(Number::Integer(value));
        }
        assert_eq!(serde_json::to_string(&sum.total()).unwrap(), "18446744073709551617");
        let float = Number::from_f64(9_007_199_254_740_992.5).unwrap();
        assert!(Number::Integer(3).compare(Number::Float(2.5)).is_gt());
        assert!(Number::Float(-2.5).compare(Number::Integer(-2)).is_lt());
        assert!(Number::Float(1e300).compare(Number::Integer(i128::from(u64::MAX))).is_gt());
        assert_eq!(float, Number::Integer(9_007_199_254_740_992));
        assert_eq!(Number::from_f64(-0.0), Some(Number::Integer(0)));
        assert_eq!(Number::from_f64(f64::NAN), None);
    }

    proptest! {
        /// Every double, subnormal or huge, by its bits.
        #[test]
        fn order_and_grouping_change_no_byte(bits in prop::collection::vec(any::<u64>(), 1..60), cut in 0_usize..60) {
            let numbers: Vec<f64> = bits.into_iter().map(f64::from_bits).filter(|number| number.is_finite()).collect();
            let whole = sum(&numbers);
            let reversed: Vec<f64> = numbers.iter().rev().copied().collect();
            prop_assert_eq!(bytes(&whole), bytes(&sum(&reversed)));
            let (one, two) = numbers.split_at(cut.min(numbers.len()));
            let (mut left, right) = (sum(one), sum(two));
            let mut other = right.clone();
            left.merge(&right);
            other.merge(&sum(one));
            prop_assert_eq!(bytes(&left), bytes(&whole));
            prop_assert_eq!(bytes(&other), bytes(&whole));
            let read = Sum::read(&mut Reader(&bytes(&whole))).unwrap();
            prop_assert_eq!(bytes(&read), bytes(&whole));
            prop_assert_eq!(read.total(), whole.total());
        }

        /// 2^-20 steps: 128 bits sum them exactly.
        #[test]
        fn sums_are_right(steps in prop::collection::vec(-(1_i64 << 52)..1 << 52, 1..60)) {
            let step = f64::from_bits((1023 - 20) << 52);
            let numbers: Vec<f64> = steps.iter().map(|count| *count as f64 * step).collect();
            let exact: i128 = steps.iter().map(|count| i128::from(*count)).sum();
            prop_assert_eq!(sum(&numbers).total().unwrap().to_f64(), exact as f64 * step);
        }
    }
}
