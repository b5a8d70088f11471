//! Numbers of properties.

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

use crate::codec::{Reader, Writer};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_not_read() {
        let read = |value: f64| Number::read(&mut Reader(&[&[1][..], &value.to_le_bytes()].concat()));
        assert!(read(1.5).is_some());
        assert!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().all(|value| read(value).is_none()));
    }

    #[test]
    fn numbers_are_compared_exactly() {
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
}
