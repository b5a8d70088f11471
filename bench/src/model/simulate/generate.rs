//! Generated arrivals: independent ones, repeated bursts, and one burst.
//!
//! None of them keeps more than the requests of the current bursts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::model::simulate::time::Micros;

/// An exponential gap with this mean, in seconds.
fn gap(rng: &mut impl Rng, mean: f64) -> f64 {
    // 1 - random is in (0, 1], so the logarithm is finite.
    -libm::log(1.0 - rng.random::<f64>()) * mean
}

/// Independent arrivals at `rate` per second, without end.
pub(crate) fn poisson(rate: f64, seed: u64) -> impl Iterator<Item = Micros> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut at = 0.0;
    std::iter::from_fn(move || {
        at += gap(&mut rng, 1.0 / rate);
        Some(Micros::from_seconds(at))
    })
}

/// Independent bursts, without end. The number of requests in a burst is geometric with mean `size`, and at least one.
/// The first request comes at once; the others are spread evenly over `within`. `rate` counts requests per second.
pub(crate) fn bursty(rate: f64, size: f64, within: Micros, seed: u64) -> impl Iterator<Item = Micros> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut pending: BinaryHeap<Reverse<Micros>> = BinaryHeap::new();
    let mut next = gap(&mut rng, size / rate);
    std::iter::from_fn(move || {
        while pending.peek().is_none_or(|Reverse(at)| *at >= Micros::from_seconds(next)) {
            let start = Micros::from_seconds(next);
            pending.push(Reverse(start));
            while rng.random::<f64>() >= 1.0 / size {
                pending.push(Reverse(start + Micros(rng.random_range(0..=within.0))));
            }
            next += gap(&mut rng, size / rate);
        }
        pending.pop().map(|Reverse(at)| at)
    })
}

/// The distribution of one burst's requests over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Evenly over this time.
    Within(Micros),
    /// Most at first: the rate falls to 1/e within this time.
    Decay(Micros),
}

/// One burst of `count` requests, beginning at time 0.
///
/// The k-th of n sorted exponential times follows the one before it by an exponential gap with mean 1/(n − k) (Rényi
/// 1953). So nothing needs to be sorted. A uniform time is 1 − exp(−x) of an exponential time x.
pub(crate) fn burst(count: u64, spread: Spread, seed: u64) -> impl Iterator<Item = Micros> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut at = 0.0;
    (0..count).map(move |nth| {
        at += gap(&mut rng, 1.0 / (count - nth) as f64);
        match spread {
            Spread::Decay(time) => Micros((at * time.0 as f64).round() as u64),
            Spread::Within(time) => Micros(((1.0 - libm::exp(-at)) * time.0 as f64) as u64),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(arrivals: impl Iterator<Item = Micros>, until: f64) -> Vec<f64> {
        let times: Vec<f64> = arrivals.map(Micros::seconds).take_while(|at| *at < until).collect();
        assert!(times.is_sorted());
        times
    }

    /// The variance of counts per one-second window, as a multiple of their mean. It is 1 for independent arrivals.
    fn dispersion(times: &[f64], windows: usize) -> f64 {
        let mut counts = vec![0.0_f64; windows];
        times.iter().for_each(|at| counts[*at as usize] += 1.0);
        let mean = times.len() as f64 / windows as f64;
        counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / windows as f64 / mean
    }

    #[test]
    fn poisson_arrivals_have_their_rate_and_no_memory() {
        let times = seconds(poisson(20.0, 1), 5000.0);
        // 100,000 arrivals are expected, with a standard deviation of 316.
        assert!((times.len() as f64 - 100_000.0).abs() < 5.0 * 316.0, "{}", times.len());
        assert!((dispersion(&times, 5000) - 1.0).abs() < 0.1, "{}", dispersion(&times, 5000));
        assert_eq!(times, seconds(poisson(20.0, 1), 5000.0));
        assert_ne!(times, seconds(poisson(20.0, 2), 5000.0));
    }

    #[test]
    fn bursty_arrivals_have_their_rate_and_come_together() {
        let times = seconds(bursty(20.0, 10.0, Micros::from_ms(50.0), 1), 5000.0);
        // A geometric number with mean 10 has the variance 90. So 100,000 arrivals are expected, with a standard
        // deviation of √(10,000 · 190) = 1,378.
        assert!((times.len() as f64 - 100_000.0).abs() < 5.0 * 1378.0, "{}", times.len());
        // In windows longer than bursts, the dispersion is E[B²] / E[B] = 190 / 10.
        assert!((dispersion(&times, 5000) - 19.0).abs() < 3.0, "{}", dispersion(&times, 5000));
    }

    #[test]
    fn a_burst_has_its_number_and_its_shape() {
        let even = seconds(burst(20_000, Spread::Within(Micros::MINUTE), 1), 60.0);
        assert_eq!(even.len(), 20_000);
        // The shares have a standard deviation of at most 0.5 / √20,000 = 0.0035.
        for (share, at) in [(0.25, 15.0), (0.5, 30.0), (0.9, 54.0)] {
            let got = even.iter().filter(|time| **time < at).count() as f64 / 20_000.0;
            assert!((got - share).abs() < 0.0175, "{got} by {at} s");
        }
        let decaying = seconds(burst(20_000, Spread::Decay(Micros(4_000_000)), 1), 1e9);
        assert_eq!(decaying.len(), 20_000);
        for at in [1.0, 4.0, 12.0] {
            let (got, share) =
                (decaying.iter().filter(|time| **time < at).count() as f64 / 20_000.0, 1.0 - (-at / 4.0_f64).exp());
            assert!((got - share).abs() < 0.0175, "{got} by {at} s, not {share}");
        }
    }
}
