//! Quantiles with bootstrap intervals, and the test for a real difference.
//!
//! Intervals are 95 % percentile-bootstrap intervals from [`RESAMPLES`] resamples of a seeded generator. The same
//! samples and seed give the same figures on every machine.

mod difference;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::difference::{
    FALSE_DISCOVERIES, FAMILY_ERROR, LEAST, POWER, Spread, detectable, differ, difference_of_runs,
    false_discovery_rates, over_runs,
};

/// Number of resamples behind an interval.
pub const RESAMPLES: usize = 2000;

/// A figure and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The figure of the samples themselves.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Estimate {
    /// Whether the two intervals overlap, so that they cannot tell the figures apart.
    pub fn ties(&self, other: &Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// A figure with the replicates behind its interval, so that ratios get intervals too.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The figure of the samples themselves.
    pub value: f64,
    replicates: Vec<f64>,
}

impl Figure {
    /// A counted figure, not a sampled one: both ends of its interval are the figure.
    pub fn certain(value: f64) -> Self {
        Self { value, replicates: vec![value; RESAMPLES] }
    }

    /// The figure with its interval.
    pub fn estimate(&self) -> Estimate {
        let mut sorted = self.replicates.clone();
        sorted.sort_by(f64::total_cmp);
        Estimate { value: self.value, low: quantile(&sorted, 0.025), high: quantile(&sorted, 0.975) }
    }

    /// This figure times a number that is known for certain.
    #[must_use]
    pub fn times(mut self, factor: f64) -> Self {
        self.value *= factor;
        self.replicates.iter_mut().for_each(|replicate| *replicate *= factor);
        self
    }

    /// This figure as a multiple of `floor`, whose samples are independent of it. `None` where the floor is 0.
    pub fn ratio(&self, floor: &Self) -> Option<Estimate> {
        if floor.value <= 0.0 || floor.replicates.iter().any(|replicate| *replicate <= 0.0) {
            return None;
        }
        let replicates = self.replicates.iter().zip(&floor.replicates).map(|(own, floor)| own / floor).collect();
        Some(Self { value: self.value / floor.value, replicates }.estimate())
    }
}

/// The `q` quantile of sorted samples, interpolated linearly between the nearest two (R's type 7, NumPy's default). NaN
/// without samples.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let share = place - below as f64;
    sorted[below] + share * (sorted[(below + 1).min(last)] - sorted[below])
}

/// Seeded resampling.
#[derive(Debug)]
pub struct Bootstrap {
    rng: Pcg64Mcg,
}

impl Bootstrap {
    /// A generator whose figures depend only on `seed` and on the order of the calls.
    pub fn new(seed: u64) -> Self {
        Self { rng: Pcg64Mcg::seed_from_u64(seed) }
    }

    /// The quantiles `qs` of `samples`, all from the same resamples. `None` without samples.
    pub fn quantiles<const N: usize>(&mut self, samples: &[f64], qs: [f64; N]) -> Option<[Figure; N]> {
        if samples.is_empty() {
            return None;
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut figures = qs.map(|q| Figure { value: quantile(&sorted, q), replicates: Vec::with_capacity(RESAMPLES) });
        // Keeps a resample as the number of draws of each sorted sample, which needs no sorting again.
        let mut drawn = vec![0_u32; sorted.len()];
        for _ in 0..RESAMPLES {
            drawn.fill(0);
            for _ in 0..sorted.len() {
                drawn[self.rng.random_range(0..sorted.len())] += 1;
            }
            for (figure, q) in figures.iter_mut().zip(qs) {
                figure.replicates.push(drawn_quantile(&sorted, &drawn, q));
            }
        }
        Some(figures)
    }

    /// A rate: the sum of numerators over the sum of denominators of `slices`, which are resampled whole. `None` if the
    /// denominators sum to 0.
    pub fn rate(&mut self, slices: &[(f64, f64)]) -> Option<Figure> {
        let rate = |sums: (f64, f64)| (sums.1 > 0.0).then(|| sums.0 / sums.1);
        let add = |sums: (f64, f64), slice: &(f64, f64)| (sums.0 + slice.0, sums.1 + slice.1);
        let value = rate(slices.iter().fold((0.0, 0.0), add))?;
        let replicates = (0..RESAMPLES)
            .filter_map(|_| {
                let draw = |_| &slices[self.rng.random_range(0..slices.len())];
                rate((0..slices.len()).map(draw).fold((0.0, 0.0), add))
            })
            .collect();
        Some(Figure { value, replicates })
    }
}

/// [`quantile`] of the samples that contain `sorted[i]` `drawn[i]` times.
fn drawn_quantile(sorted: &[f64], drawn: &[u32], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let below = place.floor() as u64;
    let share = place - place.floor();
    let mut passed = 0_u64;
    let mut lower = None;
    for (value, times) in sorted.iter().zip(drawn).filter(|(_, times)| **times > 0) {
        passed += u64::from(*times);
        if lower.is_none() && passed > below {
            lower = Some(*value);
        }
        if let Some(lower) = lower
            && (passed > below + 1 || share == 0.0)
        {
            return lower + share * (value - lower);
        }
    }
    lower.unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_quantile(samples: &[f64], q: f64, expect: f64) {
        let got = quantile(samples, q);
        assert!((got - expect).abs() < 1e-12, "quantile {q} of {samples:?}: {got}, not {expect}");
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        check_quantile(&[7.0], 0.99, 7.0);
        check_quantile(&[1.0, 2.0, 3.0, 4.0], 0.5, 2.5);
        check_quantile(&[1.0, 2.0, 3.0, 4.0], 0.9, 3.7);
        check_quantile(&[15.0, 20.0, 35.0, 40.0, 50.0], 0.4, 29.0);
        check_quantile(&[15.0, 20.0, 35.0, 40.0, 50.0], 1.0, 50.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_resample_has_the_quantiles_of_its_own_samples() {
        let sorted = [1.0, 2.0, 5.0, 9.0, 11.0];
        for drawn in [[1, 1, 1, 1, 1], [5, 0, 0, 0, 0], [0, 2, 0, 3, 0], [2, 0, 0, 0, 3], [0, 0, 4, 0, 1]] {
            let samples: Vec<f64> =
                sorted.iter().zip(drawn).flat_map(|(value, times)| vec![*value; times as usize]).collect();
            for q in [0.0, 0.25, 0.5, 0.6, 0.9, 0.99, 1.0] {
                let got = drawn_quantile(&sorted, &drawn, q);
                assert!((got - quantile(&samples, q)).abs() < 1e-12, "{drawn:?} at {q}: {got}");
            }
        }
    }

    #[test]
    fn the_interval_of_a_median_is_the_textbook_one() {
        // For n = 100 the exact 95 % order-statistic interval of the median runs from the 40th to the 61st sample.
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        let [median] = Bootstrap::new(1).quantiles(&samples, [0.5]).unwrap();
        let estimate = median.estimate();
        assert_eq!(estimate.value, 50.5);
        assert!((39.0..=43.0).contains(&estimate.low), "{estimate:?}");
        assert!((58.0..=62.0).contains(&estimate.high), "{estimate:?}");
    }

    #[test]
    fn intervals_cover_the_truth_about_as_often_as_they_say() {
        // Medians of 60 uniform samples, 200 times over: 95 % intervals must hold 0.5 in most of them.
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        let covered = (0..200)
            .filter(|seed| {
                let samples: Vec<f64> = (0..60).map(|_| rng.random::<f64>()).collect();
                let [median] = Bootstrap::new(*seed).quantiles(&samples, [0.5]).unwrap();
                let estimate = median.estimate();
                (estimate.low..=estimate.high).contains(&0.5)
            })
            .count();
        assert!((178..=198).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn the_same_seed_gives_the_same_figures() {
        let samples: Vec<f64> = (0..50).map(|n| f64::from(n * n % 37)).collect();
        let figures = |seed| Bootstrap::new(seed).quantiles(&samples, [0.5, 0.9, 0.99]).unwrap().map(|f| f.estimate());
        assert_eq!(figures(3), figures(3));
        assert_ne!(figures(3), figures(4));
    }

    #[test]
    fn a_rate_is_the_ratio_of_sums() {
        let rate = Bootstrap::new(1).rate(&[(100.0, 1.0), (300.0, 2.0)]).unwrap();
        assert!((rate.value - 400.0 / 3.0).abs() < 1e-12);
        let estimate = rate.estimate();
        assert_eq!((estimate.low, estimate.high), (100.0, 150.0));
        assert!(Bootstrap::new(1).rate(&[]).is_none());
        assert!(Bootstrap::new(1).rate(&[(1.0, 0.0)]).is_none());
    }

    #[test]
    fn a_ratio_has_an_interval_and_no_floor_of_zero() {
        let samples = |scale: f64| (1..=40).map(|n| scale * f64::from(n)).collect::<Vec<_>>();
        let mut bootstrap = Bootstrap::new(1);
        let [own] = bootstrap.quantiles(&samples(3.0), [0.5]).unwrap();
        let [floor] = bootstrap.quantiles(&samples(1.0), [0.5]).unwrap();
        let ratio = own.ratio(&floor).unwrap();
        assert!((ratio.value - 3.0).abs() < 1e-12 && ratio.low < 3.0 && ratio.high > 3.0, "{ratio:?}");
        let [nothing] = bootstrap.quantiles(&[0.0], [0.5]).unwrap();
        assert!(own.ratio(&nothing).is_none());
    }

    #[test]
    fn overlapping_intervals_tie() {
        let estimate = |low, high| Estimate { value: (low + high) / 2.0, low, high };
        assert!(estimate(1.0, 2.0).ties(&estimate(2.0, 3.0)));
        assert!(estimate(1.0, 4.0).ties(&estimate(2.0, 3.0)));
        assert!(!estimate(1.0, 1.9).ties(&estimate(2.0, 3.0)));
    }
}
