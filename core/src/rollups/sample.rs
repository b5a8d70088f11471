//! A number of an event, as a fold keeps it until rollups count it.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

use crate::rollups::log_histogram::bucket_of;
use crate::rollups::number::Number;

/// A number of an event in a quarter of the memory. It counts in as many rollups as the event has dimensions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The number itself if it is small, else its index among the large numbers.
    value: i32,
    /// The number's bucket of quantiles, later replaced by its code. The lowest bit says whether the number is small.
    bucket: i32,
}

impl Sample {
    /// The sample of a number. A number that is not a small integer is added to `large`.
    pub(crate) fn of(number: Number, large: &mut Vec<Number>) -> Self {
        let bucket = bucket_of(number) << 1;
        if let Number::Integer(value) = number
            && let Ok(value) = i32::try_from(value)
        {
            return Self { value, bucket: bucket | 1 };
        }
        large.push(number);
        Self { value: large.len() as i32 - 1, bucket }
    }

    /// The same sample, shifted by the `large` large numbers that precede those of its event.
    #[inline]
    pub(crate) fn after(self, large: usize) -> Self {
        let is_small = self.small().is_some();
        Self { value: if is_small { self.value } else { self.value + large as i32 }, ..self }
    }

    /// The number, looked up in `large` if it is not small.
    pub(crate) fn number(self, large: &[Number]) -> Number {
        match self.small() {
            Some(value) => Number::Integer(value.into()),
            None => large[self.value as u32 as usize],
        }
    }

    /// The number, if it is a small integer. Most are.
    #[inline]
    pub(crate) fn small(self) -> Option<i32> {
        (self.bucket & 1 == 1).then_some(self.value)
    }

    pub(crate) fn bucket(self) -> i32 {
        self.bucket >> 1
    }

    /// The place of its bucket among the buckets of its group and name; see [`Codes`](crate::rollups::counting::Codes).
    #[inline]
    pub(crate) fn code(self) -> usize {
        (self.bucket >> 1) as usize
    }
    /// Replaces the bucket by its code.
    pub(crate) fn set_code(&mut self, code: usize) {
        self.bucket = (code as i32) << 1 | self.bucket & 1;
    }
}
