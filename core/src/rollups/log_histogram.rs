//! LogHistogram: quantiles of a number within a relative bound, from counts of values that share their leading bits.
//!
//! A bucket holds the values with the same sign, exponent and first 7 bits of the mantissa, so it is at most 2^-7 =
//! 0.78 % wide. Finding it takes a shift and no logarithm, so it is the same on every machine. (This is the layout of
//! HdrHistogram, over all doubles.) Integers up to 256 have a bucket each. If the values are so diverse that there
//! would be more than [`LogHistogram::MOST`] buckets, all buckets become twice as wide. Whether they do depends only on
//! the set of values, not on their order.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

use crate::codec::{Reader, Writer};
use crate::rollups::number::Number;

/// Bits of the mantissa that tell buckets apart, before any widening.
const BITS: u8 = 7;

/// The bucket of the largest double. The bucket of the least double is as far on the other side of 0.
const FARTHEST: u32 = (0x7ff << BITS) + 1;

/// A histogram of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogHistogram {
    bits: u8,
    /// Buckets with their counts, sorted by bucket and so by value. No count is 0.
    buckets: Vec<(i32, u64)>,
}

impl Default for LogHistogram {
    fn default() -> Self {
        Self { bits: BITS, buckets: Vec::new() }
    }
}

/// The bucket of a number before any widening. 0 has a bucket of its own.
pub(crate) fn bucket_of(number: Number) -> i32 {
    let value = number.to_f64();
    let leading = (value.abs().to_bits() >> (52 - BITS)) as i32;
    match value {
        0.0 => 0,
        _ if value > 0.0 => leading + 1,
        _ => -leading - 1,
    }
}

/// The wider bucket that holds `bucket`, with `lost` fewer bits.
fn wider(bucket: i32, lost: u8) -> i32 {
    match bucket {
        0 => 0,
        _ if bucket > 0 => ((bucket - 1) >> lost) + 1,
        _ => -((-bucket - 1) >> lost) - 1,
    }
}

impl LogHistogram {
    /// The most buckets of a histogram: some 6 kB of bytes.
    pub(crate) const MOST: usize = 2048;

    /// A histogram from sorted buckets, as [`bucket_of`] gives them, with their counts.
    pub(crate) fn of(buckets: impl Iterator<Item = (i32, u64)>) -> Self {
        let mut quantiles = Self { bits: BITS, buckets: buckets.collect() };
        quantiles.bound();
        quantiles
    }

    /// Writes the histogram of at most `at_most` sorted buckets with their counts. There must be no more than
    /// [`LogHistogram::MOST`].
    #[inline]
    pub(crate) fn write_new(at_most: usize, buckets: impl Iterator<Item = (i32, u64)>, writer: &mut Writer) {
        write(BITS, at_most, buckets, writer);
    }

    /// Counts a number in this bucket, as [`bucket_of`] gives it.
    pub(crate) fn add(&mut self, bucket: i32) {
        self.add_many(wider(bucket, BITS - self.bits), 1);
        self.bound();
    }

    fn add_many(&mut self, bucket: i32, count: u64) {
        // Buckets come in order, and mostly to a new histogram.
        match self.buckets.last_mut() {
            Some((last, known)) if *last == bucket => *known = known.saturating_add(count),
            Some((last, _)) if *last > bucket => self.insert(bucket, count),
            _ => self.buckets.push((bucket, count)),
        }
    }

    fn insert(&mut self, bucket: i32, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if other.bits < self.bits {
            self.widen_to(other.bits);
        }
        let lost = other.bits - self.bits;
        if self.buckets.is_empty() && lost == 0 {
            self.buckets.clone_from(&other.buckets);
        } else {
            for (bucket, count) in &other.buckets {
                self.add_many(wider(*bucket, lost), *count);
            }
        }
        self.bound();
    }

    fn bound(&mut self) {
        while self.buckets.len() > Self::MOST && self.bits > 0 {
            self.widen_to(self.bits - 1);
        }
    }

    fn widen_to(&mut self, bits: u8) {
        let lost = self.bits - bits;
        let narrow = std::mem::take(&mut self.buckets);
        for (bucket, count) in narrow {
            let bucket = wider(bucket, lost);
            match self.buckets.last_mut() {
                Some((last, known)) if *last == bucket => *known = known.saturating_add(count),
                _ => self.buckets.push((bucket, count)),
            }
        }
        self.bits = bits;
    }

    /// The number with this rank, counted from 1, or a number that is at most [`LogHistogram::relative_error`] nearer
    /// to 0.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<f64> {
        let mut seen = 0_u64;
        let (bucket, _) = self.buckets.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        })?;
        let edge = |leading: i32| f64::from_bits((leading as u64) << (52 - self.bits));
        Some(match *bucket {
            0 => 0.0,
            bucket if bucket > 0 => edge(bucket - 1),
            bucket => -edge(-bucket - 1),
        })
    }

    /// Bytes of memory that the histogram takes, besides the value itself.
    pub(crate) fn memory(&self) -> usize {
        // Lists grow by doubling.
        self.buckets.len() * 32
    }

    /// 2^-7, or more if buckets had to become wider, or if there are numbers so close to 0 that doubles keep fewer bits
    /// of them: up to 1.
    pub(crate) fn relative_error(&self) -> f64 {
        let first = self.buckets.partition_point(|(bucket, _)| *bucket < 0);
        // The nearest negative numbers, 0, and the nearest positive ones.
        let around = self.buckets.iter().skip(first.saturating_sub(1)).take(3);
        let nearest = around.map(|(bucket, _)| bucket.unsigned_abs()).filter(|bucket| *bucket > 0).min();
        let leading = nearest.map_or(u32::MAX, |bucket| bucket - 1);
        1.0 / f64::from(leading.clamp(1, 1 << self.bits))
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        write(self.bits, self.buckets.len(), self.buckets.iter().copied(), writer);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let bits = reader.byte().filter(|bits| *bits <= BITS)?;
        let length = reader.small::<usize>().filter(|length| *length <= Self::MOST)?;
        let mut buckets = Vec::with_capacity(length);
        let mut before = 0_i32;
        for _ in 0..length {
            let zigzag: u32 = reader.small()?;
            let gap = (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32);
            before = before.checked_add(gap).filter(|bucket| bucket.unsigned_abs() <= FARTHEST)?;
            buckets.push((before, reader.small()?));
        }
        let is_sorted = buckets.is_sorted_by(|(one, _), (two, _)| one < two);
        is_sorted.then_some(Self { bits, buckets })
    }
}

#[inline]
fn write(bits: u8, at_most: usize, buckets: impl Iterator<Item = (i32, u64)>, writer: &mut Writer) {
    writer.byte(bits);
    let mut before = 0;
    writer.pairs(at_most, buckets.map(|(bucket, count)| (bucket - std::mem::replace(&mut before, bucket), count)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = f64>) -> LogHistogram {
        let mut buckets: Vec<_> =
            numbers.into_iter().map(|number| bucket_of(Number::from_f64(number).unwrap())).collect();
        // Builds the histogram one by one, so that the bound is also met in between, and then all at once.
        let mut quantiles = LogHistogram::default();
        buckets.iter().for_each(|bucket| quantiles.add(*bucket));
        buckets.sort_unstable();
        let whole = LogHistogram::of(buckets.chunk_by(|one, two| one == two).map(|same| (same[0], same.len() as u64)));
        assert_eq!(whole, quantiles);
        quantiles
    }

    #[test]
    fn small_integers_are_exact() {
        let quantiles = of((-256..=256).map(f64::from));
        for rank in 1..=513 {
            assert_eq!(quantiles.at_rank(rank), Some(rank as f64 - 257.0));
        }
        assert_eq!(quantiles.at_rank(514), None);
    }

    #[test]
    fn numbers_close_to_0_are_told_apart_less_well() {
        assert_eq!(of([f64::MIN_POSITIVE, 0.0, -1.0]).relative_error(), 1.0 / 128.0);
        assert_eq!(of([2e-308, 1e300]).relative_error(), 1.0 / 115.0);
        assert_eq!(of([-1.0, -4e-323, 0.0, 2e-308]).relative_error(), 1.0);
        assert_eq!(of([-2.0, -1e-310, 5.0]).relative_error(), 1.0);
    }

    #[test]
    fn too_many_buckets_become_wider_ones() {
        let numbers = || (0..4000).map(|at| 1.02_f64.powi(at));
        let quantiles = of(numbers());
        assert!(quantiles.buckets.len() <= LogHistogram::MOST && quantiles.bits < BITS);
        assert_eq!(quantiles, of(numbers().collect::<Vec<_>>().into_iter().rev()));
    }

    proptest! {
        #[test]
        fn quantiles_are_within_their_bound(bits in prop::collection::vec(any::<u64>(), 1..300), rank in 0_usize..300) {
            let mut numbers: Vec<f64> = bits.into_iter().map(f64::from_bits).filter(|n| n.is_finite()).collect();
            prop_assume!(!numbers.is_empty());
            let quantiles = of(numbers.iter().copied());
            numbers.sort_by(f64::total_cmp);
            let rank = rank % numbers.len();
            let (exact, found) = (numbers[rank], quantiles.at_rank(rank as u64 + 1).unwrap());
            prop_assert!(found.abs() <= exact.abs());
            prop_assert!((exact - found).abs() <= exact.abs() * quantiles.relative_error());
        }

        /// Steps of 1 % over many octaves reach the bound on buckets.
        #[test]
        fn order_and_grouping_change_nothing(
            steps in prop::collection::vec(-9000_i32..9000, 0..5000), cut in 0_usize..5000,
        ) {
            let number = |step: &i32| f64::from(step.signum()) * 1.01_f64.powi(step.abs());
            let whole = of(steps.iter().map(number));
            prop_assert_eq!(&whole, &of(steps.iter().rev().map(number)));
            let (one, two) = steps.split_at(cut.min(steps.len()));
            let (mut left, mut right) = (of(one.iter().map(number)), of(two.iter().map(number)));
            let first = left.clone();
            left.merge(&right);
            right.merge(&first);
            prop_assert_eq!(&left, &whole);
            prop_assert_eq!(&right, &whole);
            let mut writer = Writer::default();
            whole.write(&mut writer);
            prop_assert_eq!(LogHistogram::read(&mut Reader(&writer.0)), Some(whole));
        }
    }
}
