//! Exact sums of doubles, and their quotients.

use crate::codec::{Reader, Writer};
use crate::rollups::number::Number;

/// Bits in a digit of [`Superaccumulator`].
const DIGIT: usize = 32;
/// The number of digits that hold every double, with 64 bits to spare for the carries of sums.
const DIGITS: usize = (1074 + 1024) / DIGIT + 3;
/// The place of the bit of 1, in units of the smallest double.
const ONE: usize = 1074;

/// A fixed-point number in units of 2^-1074, the smallest double, so any sum of doubles is exact. This is a
/// superaccumulator (R. M. Neal, "Fast exact summation using small and large superaccumulators", 2015).
#[derive(Clone, Debug, Default)]
pub(crate) struct Superaccumulator {
    /// The number of the digit in `digits[0]`. Most sums need only three or four of all [`DIGITS`].
    low: usize,
    /// Signed digits, which may be wider than [`DIGIT`] between carries.
    digits: Vec<i64>,
    /// Additions since the last carry. They stay below 2^30, so that no digit overflows.
    pending: u32,
}

impl Superaccumulator {
    pub(crate) fn add_f64(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let mantissa = bits & ((1 << 52) - 1);
        let (mantissa, place) = if exponent == 0 { (mantissa, 0) } else { (mantissa | 1 << 52, exponent - 1) };
        self.add_at(place, mantissa, value.is_sign_negative());
    }

    pub(crate) fn add_integer(&mut self, value: i128) {
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

    pub(crate) fn merge(&mut self, other: &Self) {
        self.carry();
        self.cover(other.low, other.low + other.digits.len());
        for (digit, more) in self.digits.iter_mut().skip(other.low - self.low).zip(&other.digits) {
            *digit += more;
        }
        self.pending += other.pending;
        if self.pending >= 1 << 30 {
            self.carry();
        }
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
            // The sign stays in the highest digit if it fits there.
            Some(last) if carried == -1 || carried == 0 => *last += carried << DIGIT,
            Some(_) => self.digits.push(carried),
            None => {}
        }
        self.pending = 1;
    }

    /// Bytes of memory that the digits take.
    pub(crate) fn memory(&self) -> usize {
        self.digits.len() * 16
    }

    /// Sign, lowest digit and magnitude. Digits are below 2^32, with no zero at either end. Equal numbers always give
    /// equal results.
    fn magnitude(&self) -> (bool, usize, Vec<u32>) {
        let mut digits = self.carried(1);
        let is_negative = digits.last().is_some_and(|last| *last > u32::MAX / 2);
        if is_negative {
            digits = self.carried(-1);
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        let low = if digits.is_empty() { 0 } else { self.low + zeros };
        (is_negative, low, digits)
    }

    /// The digits of this number times `sign`, as two's complement.
    fn carried(&self, sign: i64) -> Vec<u32> {
        let mut carried = 0;
        let above = [0; 2];
        let digits = self.digits.iter().chain(&above).map(|digit| {
            let sum = sign * *digit + carried;
            carried = sum >> DIGIT;
            sum as u32
        });
        digits.collect()
    }

    /// The nearest double, halves to even; infinite beyond the largest double.
    pub(crate) fn nearest(&self) -> f64 {
        let (is_negative, low, digits) = self.magnitude();
        with_sign(is_negative, nearest(&digits, low + BELOW, false))
    }

    /// This number divided by a count: exact if the quotient is an integer below 2^64, otherwise the nearest double.
    pub(crate) fn divided_by(&self, count: u64) -> Number {
        let (is_negative, low, digits) = self.magnitude();
        let divisor = u128::from(count.max(1));
        // Long division from the highest digit on, continued over BELOW more digits, which leave at least 64 bits for
        // rounding.
        let mut remainder = 0_u128;
        let below = std::iter::repeat_n(0, BELOW);
        let mut quotient: Vec<u32> = digits
            .iter()
            .rev()
            .copied()
            .chain(below)
            .map(|digit| {
                let part = remainder << DIGIT | u128::from(digit);
                remainder = part % divisor;
                (part / divisor) as u32 // the remainder is below the divisor, so this fits
            })
            .collect();
        quotient.reverse();
        while quotient.last() == Some(&0) {
            quotient.pop();
        }
        let exact = (remainder == 0).then(|| integer(&quotient, low)).flatten();
        match exact {
            Some(magnitude) => Number::Integer(if is_negative { -magnitude } else { magnitude }),
            None => {
                let nearest = with_sign(is_negative, nearest(&quotient, low, remainder > 0));
                Number::from_f64(nearest).unwrap_or(Number::Float(nearest))
            }
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let (is_negative, low, digits) = self.magnitude();
        writer.byte(if is_negative { 2 } else { 1 });
        writer.length(low);
        writer.length(digits.len());
        for digit in digits {
            writer.0.extend_from_slice(&digit.to_le_bytes());
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Option<Box<Self>>> {
        let sign = match reader.byte()? {
            0 => return Some(None),
            1 => 1,
            2 => -1,
            _ => return None,
        };
        let (low, length): (usize, usize) = (reader.small()?, reader.small()?);
        if low.saturating_add(length) > DIGITS {
            return None;
        }
        let bytes = reader.take(length * 4)?;
        let digits = bytes.as_chunks::<4>().0.iter().map(|digit| sign * i64::from(u32::from_le_bytes(*digit)));
        Some(Some(Box::new(Self { low, digits: digits.collect(), pending: 1 })))
    }
}

/// Digits below the smallest double. [`nearest`] and [`integer`] count places from there, because a quotient has such
/// digits.
const BELOW: usize = 4;

/// Whether the bit at a place is 1. `digits[0]` is digit number `low`; digits outside `digits` are zero.
fn bit_at(digits: &[u32], low: usize, place: usize) -> bool {
    let digit = (place / DIGIT).checked_sub(low).and_then(|at| digits.get(at));
    digit.is_some_and(|digit| digit >> (place % DIGIT) & 1 == 1)
}

/// The double nearest to a magnitude, halves to even; infinite beyond the largest double. Places count from [`BELOW`]
/// digits below the smallest double. `is_more` says that the number is a little greater than its digits.
fn nearest(digits: &[u32], low: usize, is_more: bool) -> f64 {
    const UNIT: usize = BELOW * DIGIT;
    let Some(last) = digits.last() else { return 0.0 };
    let highest = DIGIT * (low + digits.len() - 1) + 31_usize.saturating_sub(last.leading_zeros() as usize);
    let bit_at = |place| bit_at(digits, low, place);
    let dropped = highest.saturating_sub(52).max(UNIT);
    let mut mantissa = 0_u64;
    for place in (dropped..=highest).rev() {
        mantissa = mantissa << 1 | u64::from(bit_at(place));
    }
    let is_half = bit_at(dropped - 1);
    if is_half && (is_more || mantissa & 1 == 1 || (low * DIGIT..dropped - 1).any(bit_at)) {
        mantissa += 1;
    }
    // The mantissa's bit 52 adds 1 to the exponent. So does the carry of a mantissa that was rounded up to 2^53.
    let bits = (((dropped - UNIT) as u64) << 52) + mantissa;
    if bits >= 0x7ff << 52 { f64::INFINITY } else { f64::from_bits(bits) }
}

/// The magnitude, if it is an integer below 2^64. Places count as in [`nearest`].
fn integer(digits: &[u32], low: usize) -> Option<i128> {
    const FIRST: usize = ONE + BELOW * DIGIT;
    let highest = DIGIT * (low + digits.len());
    if (low * DIGIT..FIRST).any(|place| bit_at(digits, low, place))
        || (FIRST + 64..highest).any(|place| bit_at(digits, low, place))
    {
        return None;
    }
    let bits = (FIRST..FIRST + 64).rev();
    Some(bits.fold(0, |value, place| value << 1 | i128::from(bit_at(digits, low, place))))
}

fn with_sign(is_negative: bool, magnitude: f64) -> f64 {
    if is_negative { -magnitude } else { magnitude }
}
