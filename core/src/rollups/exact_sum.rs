//! Exact sums of numbers. No bit is lost before the end, whatever the order of addition.

use crate::codec::{Reader, Writer};
use crate::rollups::number::Number;
use crate::rollups::superaccumulator::Superaccumulator;

/// An exact sum of numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactSum {
    /// The sum of all `Number::Integer`: 2^63 of the largest fit.
    integers: i128,
    /// The sum of all `Number::Float`, if there are any.
    floats: Option<Box<Superaccumulator>>,
}

impl ExactSum {
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
        Some(Self { integers: reader.signed_wide()?, floats: Superaccumulator::read(reader)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(numbers: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        for number in numbers {
            sum.add(Number::from_f64(*number).unwrap());
        }
        sum
    }

    fn bytes(sum: &ExactSum) -> Vec<u8> {
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
    fn integers_are_summed_exactly() {
        let mut sum = ExactSum::default();
        for value in [u64::MAX.into(), i64::MAX.into(), i64::MIN.into(), 3] {
            sum.add(Number::Integer(value));
        }
        assert_eq!(serde_json::to_string(&sum.total()).unwrap(), "18446744073709551617");
    }

    #[test]
    fn means_are_the_double_nearest_to_the_quotient() {
        let mean = |numbers: &[Number]| {
            let mut sum = ExactSum::default();
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
        assert_eq!(ExactSum::default().mean(0), Number::Integer(0));
    }

    proptest! {
        /// Compares with the quotient of integers that doubles hold exactly; IEEE 754 rounds that quotient correctly.
        #[test]
        fn means_are_rounded_as_division_is(sum in -(1_i128 << 53)..1 << 53, count in 1..1_u64 << 53) {
            let mean = ExactSum { integers: sum, floats: None }.mean(count);
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
            let read = ExactSum::read(&mut Reader(&bytes(&whole))).unwrap();
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
