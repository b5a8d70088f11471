//! Numbers of properties and their exact sums. No bit is lost before the end, whatever the order of addition.

mod wide;

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

use crate::codec::{Reader, Writer};
use crate::rollups::superaccumulator::Wide;

/// A finite number. An integral number below 2^64 is always an `Integer`, so that 2 and 2.0 are the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// Within ±2^64, or a sum of such integers.
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
/// No integer of a sum reaches this.
const TWO_TO_127: f64 = TWO_TO_64 * 9_223_372_036_854_775_808.0;
/// Doubles represent every integer up to this one exactly.
const TWO_TO_53: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// The number; `None` if it is not finite.
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
            // The conversion from 64 bits is a single instruction.
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

    /// Writes an integer of 64 bits. Most numbers are.
    #[inline]
    pub(crate) fn write_small(value: i64, writer: &mut Writer) {
        writer.byte(0);
        writer.signed(value);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.byte()? {
            0 => reader.signed_wide().map(Self::Integer),
            // A stored value that is not finite is damage. Sums with it could not be read again.
            1 => Some(f64::from_le_bytes(reader.take(8)?.try_into().ok()?))
                .filter(|value| value.is_finite())
                .map(Self::Float),
            _ => None,
        }
    }
}

/// Compares exactly. The float is not an integer below 2^64, but the integer may be a sum beyond that.
fn compare_mixed(integer: i128, float: f64) -> Ordering {
    if float.abs() >= TWO_TO_127 {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    integer.cmp(&(float.floor() as i128)).then(if float.fract() > 0.0 || float.fract() < 0.0 {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}

impl Serialize for Number {
    /// Writes integers without a fraction, whatever they were computed from.
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
    /// The sum of all `Number::Integer`: 2^63 of the largest fit.
    integers: i128,
    /// The sum of all `Number::Float`, if there are any.
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

    /// The sum. It is exact if all numbers are integers, and otherwise the double nearest to the exact sum. `None` if
    /// that is beyond the largest double.
    pub(crate) fn total(&self) -> Option<Number> {
        let Some(floats) = &self.floats else { return Some(Number::Integer(self.integers)) };
        let mut all = floats.clone();
        all.add_integer(self.integers);
        Number::from_f64(all.nearest())
    }

    /// The sum divided by a count: exact if the quotient is an integer below 2^64, otherwise the nearest double.
    pub(crate) fn mean(&self, count: u64) -> Number {
        let mut all = self.floats.as_deref().cloned().unwrap_or_default();
        all.add_integer(self.integers);
        all.divided_by(count)
    }

    /// Bytes of memory that the sum takes, besides the value itself.
    pub(crate) fn memory(&self) -> usize {
        self.floats.as_ref().map_or(0, |floats| floats.memory())
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

    #[test]
    fn what_is_no_number_is_not_read() {
        let read = |value: f64| Number::read(&mut Reader(&[&[1][..], &value.to_le_bytes()].concat()));
        assert!(read(1.5).is_some());
        assert!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().all(|value| read(value).is_none()));
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
        let beyond = |steps: i128| Number::Integer((1 << 64) + (steps << 12));
        assert!(
            beyond(1).compare(Number::Float(TWO_TO_64)).is_gt() && beyond(0).compare(Number::Float(TWO_TO_64)).is_eq()
        );
        assert!(Number::Float(-TWO_TO_64).compare(Number::Integer(-(1 << 64) - 1)).is_gt());
        assert!(Number::Integer(i128::MAX).compare(Number::Float(TWO_TO_127)).is_lt());
        assert!(Number::Integer(i128::MIN + 1).compare(Number::Float(-TWO_TO_127)).is_gt());
        assert_eq!(Number::from_f64(-0.0), Some(Number::Integer(0)));
        assert_eq!(Number::from_f64(f64::NAN), None);
    }

    #[test]
    fn means_are_the_double_nearest_to_the_quotient() {
        let mean = |numbers: &[Number]| {
            let mut sum = Sum::default();
            numbers.iter().for_each(|number| sum.add(*number));
            sum.mean(numbers.len() as u64)
        };
        let float = |value| Number::from_f64(value).unwrap();
        let large = Number::Integer(9_007_199_254_740_993);
        assert_eq!(mean(&[large]), large);
        assert_eq!(mean(&[large; 3]), large);
        assert_eq!(mean(&[float(0.5), float(0.5), Number::Integer(2)]), Number::Integer(1));
        assert_eq!(mean(&[Number::Integer(-1), Number::Integer(-2)]), float(-1.5));
        assert_eq!(mean(&[Number::Integer(1), Number::Integer(0), Number::Integer(0)]), float(1.0 / 3.0));
        assert_eq!(mean(&[float(f64::MAX); 2]), float(f64::MAX));
        assert_eq!(mean(&[float(1.797_693_134_862_315_7e308); 2]), float(1.797_693_134_862_315_7e308));
        assert_eq!(mean(&[float(5e-324), float(5e-324), float(0.0)]), float(5e-324));
        assert_eq!(mean(&[float(5e-324), float(0.0), float(0.0)]), float(0.0));
        // Half of the smallest double is as near to 0, which is even and so wins.
        assert_eq!(mean(&[float(5e-324), float(0.0)]), float(0.0));
        assert_eq!(mean(&[float(1.5e-323), float(0.0)]), float(1e-323));
        assert_eq!(mean(&[Number::Integer(u64::MAX.into()); 5]), Number::Integer(u64::MAX.into()));
        assert_eq!(Sum::default().mean(0), Number::Integer(0));
    }

    proptest! {
        /// Compares with the quotient of integers that doubles hold exactly; IEEE 754 rounds that quotient correctly.
        #[test]
        fn means_are_rounded_as_division_is(sum in -(1_i128 << 53)..1 << 53, count in 1..1_u64 << 53) {
            let mean = Sum { integers: sum, floats: None }.mean(count);
            prop_assert_eq!(mean, Number::from_f64(sum as f64 / count as f64).unwrap());
        }

        /// The mean of equal doubles is that double.
        #[test]
        fn means_of_one_value_are_that_value(bits in any::<u64>(), count in 1..200_usize) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let (mean, number) = (sum(&vec![value; count]).mean(count as u64), Number::from_f64(value).unwrap());
            prop_assert_eq!(mean, number);
        }

        /// Covers every double, subnormal or huge, by its bits.
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

        /// Uses steps of 2^-20, so that 128 bits sum them exactly.
        #[test]
        fn sums_are_right(steps in prop::collection::vec(-(1_i64 << 52)..1 << 52, 1..60)) {
            let step = f64::from_bits((1023 - 20) << 52);
            let numbers: Vec<f64> = steps.iter().map(|count| *count as f64 * step).collect();
            let exact: i128 = steps.iter().map(|count| i128::from(*count)).sum();
            prop_assert_eq!(sum(&numbers).total().unwrap().to_f64(), exact as f64 * step);
        }
    }
}
