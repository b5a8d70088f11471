//! Distributions of times, from which service times, init times and keep-alives are drawn.
//!
//! Each is drawn by inverting its distribution function at a uniform number. So all policies of a run see the same
//! request take the same share of its distribution. Differences between policies then come from the policies and not
//! from luck.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rand::{Rng, RngExt};

use crate::model::simulate::published;
use crate::model::simulate::time::Micros;

/// A distribution of times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Draw {
    /// Always the same time.
    Fixed(Micros),
    /// Any time between the two, all equally likely.
    Uniform(Micros, Micros),
    /// Exponential with this mean.
    Exponential(Micros),
    /// Log-normal: the logarithm of microseconds has this mean and standard deviation.
    LogNormal {
        /// Mean of the logarithm of microseconds.
        mu: f64,
        /// Standard deviation of the logarithm of microseconds.
        sigma: f64,
    },
    /// Sorted samples, interpolated linearly between the nearest two. Never empty.
    Samples(Arc<[Micros]>),
}

/// A distribution and its source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sourced {
    /// The distribution.
    pub draw: Draw,
    /// The source in words, beginning with `given`, `measured`, `published`, `trace` or `assumed`.
    pub source: String,
}

/// The 99 % quantile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_841;

impl Draw {
    /// Samples in milliseconds. `None` without samples, or if one is not a valid time.
    pub(crate) fn samples(ms: &[f64]) -> Option<Self> {
        if ms.is_empty() || ms.iter().any(|ms| !(0.0..=1e12).contains(ms)) {
            return None;
        }
        let mut samples: Vec<Micros> = ms.iter().map(|ms| Micros::from_ms(*ms)).collect();
        samples.sort_unstable();
        Some(Self::Samples(samples.into()))
    }

    /// The times of samples, each so much later. Other distributions stay as they are.
    pub(crate) fn after(&self, wait: Micros) -> Self {
        match self {
            Self::Samples(samples) => Self::Samples(samples.iter().map(|sample| *sample + wait).collect()),
            other => other.clone(),
        }
    }

    /// The quantile for `u` in [0, 1): a share `u` of the times is below it.
    pub(crate) fn at(&self, u: f64) -> Micros {
        match self {
            Self::Fixed(time) => *time,
            Self::Uniform(low, high) => *low + Micros(((high.0 - low.0) as f64 * u).round() as u64),
            Self::Exponential(mean) => Micros((-libm::log1p(-u) * mean.0 as f64).round() as u64),
            Self::LogNormal { mu, sigma } => Micros(libm::exp(mu + sigma * normal_quantile(u)).round() as u64),
            Self::Samples(sorted) => {
                let place = u * (sorted.len() - 1) as f64;
                let below = place as usize;
                let (low, high) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
                low + Micros(((high.0 - low.0) as f64 * (place - below as f64)).round() as u64)
            }
        }
    }

    /// A random time.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> Micros {
        match self {
            Self::Fixed(time) => *time,
            other => other.at(rng.random()),
        }
    }

    /// The mean in microseconds.
    #[cfg(test)]
    fn mean(&self) -> f64 {
        match self {
            Self::Fixed(time) | Self::Exponential(time) => time.0 as f64,
            Self::Uniform(low, high) => f64::midpoint(low.0 as f64, high.0 as f64),
            Self::LogNormal { mu, sigma } => libm::exp(mu + sigma * sigma / 2.0),
            Self::Samples(sorted) => sorted.iter().map(|sample| sample.0 as f64).sum::<f64>() / sorted.len() as f64,
        }
    }
}

impl Sourced {
    /// Parses a user's text: `10ms`, `uniform:5m..7m`, `exp:10ms`, `lognormal:p50=10ms/p99=50ms`,
    /// `lognormal:mean=3s/sd=7s`, or `published:NAME`.
    ///
    /// # Errors
    /// Fails for any other text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if let Some(name) = text.strip_prefix("published:") {
            return Self::published(name);
        }
        let draw = match text.split_once(':') {
            None => Draw::Fixed(Micros::parse(text)?),
            Some(("fixed", time)) => Draw::Fixed(Micros::parse(time)?),
            Some(("exp", mean)) => Draw::Exponential(Micros::parse(mean)?),
            Some(("uniform", range)) => {
                let (low, high) =
                    range.split_once("..").with_context(|| format!("{text:?}: uniform is such as uniform:5m..7m"))?;
                let (low, high) = (Micros::parse(low)?, Micros::parse(high)?);
                ensure!(low <= high, "{text:?} ends before it begins");
                Draw::Uniform(low, high)
            }
            Some(("lognormal", parameters)) => log_normal(parameters)?,
            Some(_) => bail!(
                "{text:?} is no distribution of times: give 10ms, uniform:5m..7m, exp:10ms, lognormal:p50=10ms/p99=50ms, \
                 lognormal:mean=3s/sd=7s or published:NAME"
            ),
        };
        Ok(Self { draw, source: format!("given: {text}") })
    }

    /// The recorded init durations of a name such as `rust-al2023-x86-128`.
    ///
    /// # Errors
    /// Fails if there is no recording of that name.
    pub(crate) fn published(name: &str) -> Result<Self> {
        let samples = published::init(name)?;
        let source = format!("published: lambda-perf, {name}, n = {}", samples.len());
        Ok(Self { draw: Draw::Samples(samples.into()), source })
    }

    /// The default if nothing is given.
    pub(crate) fn assumed(draw: Draw, words: &str) -> Self {
        Self { draw, source: format!("assumed: {words}") }
    }
}

fn log_normal(parameters: &str) -> Result<Draw> {
    let wrong = || format!("{parameters:?}: lognormal is such as p50=10ms/p99=50ms or mean=3s/sd=7s");
    let (one, two) = parameters.split_once('/').with_context(wrong)?;
    let time = |text: &str| -> Result<f64> {
        let time = Micros::parse(text)?;
        ensure!(time > Micros::ZERO, "{parameters:?}: lognormal has no time of 0");
        Ok(time.0 as f64)
    };
    if let (Some(p50), Some(p99)) = (one.strip_prefix("p50="), two.strip_prefix("p99=")) {
        let (p50, p99) = (time(p50)?, time(p99)?);
        ensure!(p50 <= p99, "{parameters:?}: p99 is below p50");
        return Ok(Draw::LogNormal { mu: libm::log(p50), sigma: libm::log(p99 / p50) / Z99 });
    }
    if let (Some(mean), Some(sd)) = (one.strip_prefix("mean="), two.strip_prefix("sd=")) {
        let (mean, sd) = (time(mean)?, time(sd)?);
        let variance = libm::log1p((sd / mean) * (sd / mean));
        return Ok(Draw::LogNormal { mu: libm::log(mean) - variance / 2.0, sigma: libm::sqrt(variance) });
    }
    bail!(wrong())
}

/// The quantile of the standard normal distribution, by Peter Acklam's rational approximation (2003). Its relative
/// error is below 1.2e-9.
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    // A uniform draw gives 0 for numbers below 2⁻⁵³. Half of the smallest step stands for them.
    let p = p.clamp(f64::EPSILON / 4.0, 1.0 - f64::EPSILON / 2.0);
    let tail = |p: f64| {
        let q = libm::sqrt(-2.0 * libm::log(p));
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_quantiles(text: &str, quantiles: &[(f64, f64)]) {
        let draw = Sourced::parse(text).unwrap().draw;
        for (u, ms) in quantiles {
            let got = draw.at(*u).ms();
            assert!((got - ms).abs() <= 0.002 + 1e-6 * ms, "{text} at {u}: {got} ms, not {ms}");
        }
    }

    #[test]
    fn each_distribution_has_its_quantiles() {
        check_quantiles("10ms", &[(0.0, 10.0), (0.9, 10.0)]);
        check_quantiles("uniform:10ms..20ms", &[(0.0, 10.0), (0.25, 12.5), (0.999, 19.99)]);
        check_quantiles("exp:10ms", &[(0.0, 0.0), (0.5, 6.931), (0.99, 46.052)]);
        check_quantiles("lognormal:p50=10ms/p99=50ms", &[(0.5, 10.0), (0.99, 50.0), (0.01, 2.0)]);
    }

    #[test]
    fn means_are_those_of_many_draws() {
        let mut rng: rand_pcg::Pcg64Mcg = rand::SeedableRng::seed_from_u64(3);
        let texts = ["uniform:1s..3s", "exp:2s", "lognormal:mean=3s/sd=2s", "published:rust-al2023-x86-128"];
        for text in texts {
            let draw = Sourced::parse(text).unwrap().draw;
            let mean = (0..200_000).map(|_| draw.draw(&mut rng).0 as f64).sum::<f64>() / 200_000.0;
            // The log-normal's standard error is 2 s / √200,000 = 4.5 ms, 0.15 % of its mean. The others' are smaller.
            assert!((mean / draw.mean() - 1.0).abs() < 0.01, "{text}: {mean}, not {}", draw.mean());
        }
        assert!((Sourced::parse("lognormal:mean=3s/sd=7s").unwrap().draw.mean() / 3e6 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn samples_are_interpolated() {
        let draw = Draw::samples(&[30.0, 10.0, 20.0]).unwrap();
        assert_eq!([0.0, 0.25, 0.5, 0.75].map(|u| draw.at(u).ms()), [10.0, 15.0, 20.0, 25.0]);
        assert_eq!(Draw::samples(&[7.0]).unwrap().at(0.99).ms(), 7.0);
        assert_eq!([Draw::samples(&[]), Draw::samples(&[f64::NAN]), Draw::samples(&[-1.0])], [None, None, None]);
    }

    #[test]
    fn what_is_no_distribution_is_named() {
        for (text, expect) in [
            ("gamma:1s", "is no distribution of times"),
            ("10", "is no length of time"),
            ("uniform:5m", "uniform is such as"),
            ("uniform:5m..1m", "ends before it begins"),
            ("lognormal:p50=10ms", "lognormal is such as"),
            ("lognormal:p50=10ms/p99=1ms", "p99 is below p50"),
            ("lognormal:p50=0ms/p99=1ms", "no time of 0"),
            ("published:cobol", "no recording"),
        ] {
            let error = format!("{:#}", Sourced::parse(text).unwrap_err());
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
