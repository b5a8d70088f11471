//! The rule for a real difference, which the verdict and `isotherm diff` share.
//!
//! Figures are compared by the logarithm of their ratio, so that twice and half as much are equally far apart. The
//! standard error of a figure's logarithm follows from its 95 % interval. The interval reaches as many errors to either
//! side as Student's t says for the number of runs. A figure that was resampled within one run takes the normal
//! distribution instead. Two figures differ if they are further apart than [`LEAST`] and Welch's t test on the excess
//! stays below a bound. Ranks keep the chance that any of them is wrong below [`FAMILY_ERROR`] (Bonferroni). Changes
//! between two results keep the share of wrong ones among them below [`FALSE_DISCOVERIES`] (Benjamini and Hochberg,
//! "Controlling the false discovery rate", 1995), since there a change that is missed costs as much as a wrong one.
//!
//! This holds if runs are draws from the same distribution. The resamples of one run know nothing of the differences
//! between runs, so only several runs (`--repeat`) make it hold.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::stats::Estimate;

/// The family-wise error rate: the probability that chance alone makes any of the figures compared at once count as
/// different.
pub const FAMILY_ERROR: f64 = 0.001;

/// The false-discovery rate of `isotherm diff`: of the figures that are called changed, at most this share is expected
/// not to be.
pub const FALSE_DISCOVERIES: f64 = 0.05;

/// The chance with which a difference that is called detectable is seen.
pub const POWER: f64 = 0.8;

/// Two runs on one machine differ by this share without a reason.
pub const LEAST: f64 = 0.05;

/// How many standard errors a 95 % interval reaches to either side at `freedom` degrees of freedom; infinite ones mean
/// the normal distribution.
fn reach(freedom: f64) -> f64 {
    if freedom.is_infinite() {
        return Normal::standard().inverse_cdf(0.975);
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |student| student.inverse_cdf(0.975))
}

/// The probability of a deviation of at least `errors` standard errors, up or down.
fn two_sided(errors: f64, freedom: f64) -> f64 {
    if freedom.is_infinite() {
        return 2.0 * Normal::standard().sf(errors);
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(1.0, |student| 2.0 * student.sf(errors))
}

/// The degrees of freedom of an interval from `runs` runs. The interval of one run was resampled, so it has infinitely
/// many.
fn freedom(runs: usize) -> f64 {
    if runs > 1 { (runs - 1) as f64 } else { f64::INFINITY }
}

/// `value` with the 95 % interval of Student's t over the values of single runs.
///
/// The interval is one of logarithms around `value`, the figure of all runs' samples together. If a run has a figure of
/// 0, the interval is one of the values themselves, cut off at 0. Fewer than two runs give `value` alone.
pub fn over_runs(value: f64, runs: &[f64]) -> Estimate {
    if runs.len() < 2 {
        return Estimate { value, low: value, high: value };
    }
    let reach = reach(freedom(runs.len()));
    if value > 0.0 && runs.iter().all(|run| *run > 0.0) {
        let logs: Vec<f64> = runs.iter().map(|run| run.ln()).collect();
        let factor = (reach * standard_error(&logs)).exp();
        return Estimate { value, low: value / factor, high: value * factor };
    }
    let half = reach * standard_error(runs);
    Estimate { value, low: (value - half).max(0.0), high: value + half }
}

/// `value`, a difference, with the 95 % interval of Student's t over the differences of single runs.
pub fn difference_of_runs(value: f64, runs: &[f64]) -> Estimate {
    let half = if runs.len() < 2 { 0.0 } else { reach(freedom(runs.len())) * standard_error(runs) };
    Estimate { value, low: value - half, high: value + half }
}

/// The standard error of the mean of at least two values.
fn standard_error(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (n - 1.0) / n).sqrt()
}

/// A figure's logarithm and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    log: f64,
    error: f64,
    freedom: f64,
}

impl Spread {
    /// The spread of a figure from `runs` runs. `None` for 0, which has no logarithm.
    pub fn of(Estimate { value, low, high }: &Estimate, runs: usize) -> Option<Self> {
        let freedom = freedom(runs);
        let error = 0.5 * (high.ln() - low.ln()) / reach(freedom);
        (*value > 0.0 && *high > 0.0).then(|| Self { log: value.ln(), error, freedom })
    }

    /// This figure as a multiple of another, independent one.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        let (error, freedom) = combined([self, other]);
        Self { log: self.log - other.log, error, freedom }
    }

    /// The figure with its 95 % interval.
    pub fn estimate(&self) -> Estimate {
        // Without an error the degrees of freedom do not matter.
        let half = if self.error > 0.0 { self.error * reach(self.freedom) } else { 0.0 };
        Estimate { value: self.log.exp(), low: (self.log - half).exp(), high: (self.log + half).exp() }
    }

    /// How far this ratio is from 1, up or down: 0.1 means ten per cent.
    pub fn moved(&self) -> f64 {
        self.log.abs().exp() - 1.0
    }

    /// The probability of a ratio at least this far from 1 if nothing differs by more than `margin`. `margin` is a
    /// share, and `yardstick` says how well it is known.
    pub fn p_value(&self, margin: f64, yardstick: Option<&Self>) -> f64 {
        let beyond = self.log.abs() - margin.ln_1p();
        if beyond <= 0.0 {
            return 1.0;
        }
        let chance = |(error, freedom): (f64, f64)| match error {
            0.0 => 0.0,
            // An interval that reaches down to 0 has an infinite error and says nothing.
            _ if !error.is_finite() => 1.0,
            _ => two_sided(beyond / error, freedom),
        };
        // A yardstick from many runs adds degrees of freedom, but must not make the result surer.
        let alone = chance((self.error, self.freedom));
        yardstick.map_or(alone, |yardstick| alone.max(chance(combined([self, yardstick]))))
    }

    /// The smallest ratio with this error, as a share beyond 1, that counts as a difference with a chance of [`POWER`].
    pub fn detectable(&self, bound: f64, margin: f64) -> Option<f64> {
        if self.error == 0.0 || !self.error.is_finite() {
            return None;
        }
        let chance = Normal::standard().inverse_cdf(POWER);
        // Where variances are estimated, Welch's degrees of freedom are about a fifth below those of equal variances, and
        // the statistic spreads by the estimate's own error (Johnson and Kotz's approximation of the non-central t).
        let distance = if self.freedom.is_infinite() {
            Normal::standard().inverse_cdf(1.0 - bound / 2.0) + chance
        } else {
            let freedom = 0.8 * self.freedom;
            let critical = StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |of| of.inverse_cdf(1.0 - bound / 2.0));
            critical * (1.0 - 0.25 / freedom) + chance * (1.0 + critical * critical / (2.0 * freedom)).sqrt()
        };
        let beyond = distance * self.error;
        Some((margin.ln_1p() + beyond).exp() - 1.0).filter(|share| share.is_finite())
    }
}

/// The standard error of a sum or difference, and its degrees of freedom by Welch and Satterthwaite.
fn combined(parts: [&Spread; 2]) -> (f64, f64) {
    let variance: f64 = parts.iter().map(|part| part.error.powi(2)).sum();
    let spent: f64 = parts.iter().map(|part| part.error.powi(4) / part.freedom).sum();
    (variance.sqrt(), if spent > 0.0 { variance.powi(2) / spent } else { f64::INFINITY })
}

/// Benjamini and Hochberg's correction: each p-value as the least false-discovery rate at which it counts. One at or
/// below [`FALSE_DISCOVERIES`] is a difference.
pub fn false_discovery_rates(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*b].total_cmp(&p_values[*a]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut most: f64 = 1.0;
    for (place, index) in order.into_iter().enumerate() {
        let rank = (p_values.len() - place) as f64;
        most = most.min(p_values[index] * p_values.len() as f64 / rank);
        corrected[index] = most;
    }
    corrected
}

/// The smallest ratio of two such figures, as a share beyond 1, that a comparison sees with a chance of [`POWER`].
///
/// `bound` is the largest p-value that counts as a difference, and `margin` the share that counts as none. `None` for a
/// figure of 0 or without an error.
pub fn detectable(figure: &Estimate, runs: usize, bound: f64, margin: f64) -> Option<f64> {
    let spread = Spread::of(figure, runs)?;
    spread.over(&spread).detectable(bound, margin)
}

/// Whether two figures from `runs` runs differ, as one of `comparisons` comparisons made at once (Bonferroni).
pub fn differ(a: &Estimate, b: &Estimate, runs: usize, comparisons: usize) -> bool {
    let (Some(a), Some(b)) = (Spread::of(a, runs), Spread::of(b, runs)) else { return !a.ties(b) };
    a.over(&b).p_value(LEAST, None) * (comparisons.max(1) as f64) < FAMILY_ERROR
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    fn around(value: f64, factor: f64) -> Estimate {
        Estimate { value, low: value / factor, high: value * factor }
    }

    #[track_caller]
    fn near(got: f64, expect: f64) {
        assert!((got - expect).abs() < 1e-3 * expect.abs(), "{got}, not {expect}");
    }

    #[test]
    fn student_s_t_is_that_of_the_tables() {
        // NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
        for (freedom, expect) in [(1.0, 12.706), (2.0, 4.303), (4.0, 2.776), (30.0, 2.042), (f64::INFINITY, 1.960)] {
            near(reach(freedom), expect);
        }
    }

    #[test]
    fn the_interval_over_runs_is_the_textbook_one() {
        // The mean of the logarithms 0, 1, 2 has the standard error 1/√3.
        let runs = [1.0, 1_f64.exp(), 2_f64.exp()];
        let Estimate { value, low, high } = over_runs(runs[1], &runs);
        near(value, 1_f64.exp());
        near(high.ln(), 1.0 + 4.303 / 3_f64.sqrt());
        near(low.ln(), 1.0 - 4.303 / 3_f64.sqrt());
        // With a 0 among the values there are no logarithms.
        let Estimate { low, high, .. } = over_runs(1.0, &[0.0, 1.0, 2.0]);
        assert_eq!(low, 0.0);
        near(high, 1.0 + 4.303 / 3_f64.sqrt());
        assert_eq!(over_runs(3.0, &[3.0]), Estimate { value: 3.0, low: 3.0, high: 3.0 });
    }

    #[test]
    fn an_interval_tells_its_error_and_a_ratio_has_that_of_both() {
        let spread = Spread::of(&around(4.0, 1.2), 5).unwrap();
        let again = spread.estimate();
        near(again.low, 4.0 / 1.2);
        near(again.high, 4.8);
        let ratio = spread.over(&Spread::of(&around(2.0, 1.2), 5).unwrap());
        near(ratio.estimate().value, 2.0);
        near(ratio.error, 2_f64.sqrt() * spread.error);
        // Two equal spreads add up their degrees of freedom.
        near(ratio.freedom, 8.0);
        let known = Spread::of(&around(2.0, 1.0), 5).unwrap();
        near(spread.over(&known).freedom, 4.0);
        assert_eq!(known.over(&known).estimate(), around(1.0, 1.0));
        assert_eq!(Spread::of(&Estimate { value: 0.0, low: 0.0, high: 0.0 }, 1), None);
    }

    #[test]
    fn p_values_are_those_of_welch() {
        // Two groups of three have the logarithms 0, 1, 2 and 9, 10, 11. So t = 9 / √(2/3) = 11.023 with four degrees
        // of freedom. That distribution is 1/2 + 3/8·t/√(1 + t²/4)·(1 − t²/(12 + 3t²)), and p = 0.00038507.
        let of = |add: f64| {
            let runs = [0.0, 1.0, 2.0].map(|log: f64| (log + add).exp());
            Spread::of(&over_runs(runs[1], &runs), 3).unwrap()
        };
        near(of(9.0).over(&of(0.0)).p_value(0.0, None), 0.000_385_07);
        near(of(0.0).over(&of(9.0)).p_value(0.0, None), 0.000_385_07);
        // A difference within the margin does not count, and the margin's own error does.
        assert_eq!(of(9.0).over(&of(0.0)).p_value(9_f64.exp(), None), 1.0);
        let ratio = of(9.0).over(&of(0.0));
        let sure = ratio.p_value(1.0, None);
        assert_eq!(ratio.p_value(1.0, Some(&of(0.0))), sure);
        let vague = Spread::of(&over_runs(1.0, &[0.001, 1.0, 1000.0]), 3).unwrap();
        assert!(ratio.p_value(1.0, Some(&vague)) > 10.0 * sure);
        // Counted figures have no error.
        let counted = |value| Spread::of(&around(value, 1.0), 1).unwrap();
        assert_eq!(counted(101.0).over(&counted(100.0)).p_value(0.0, None), 0.0);
        assert_eq!(counted(100.0).over(&counted(100.0)).p_value(0.0, None), 1.0);
        // An interval down to 0 says nothing.
        let unsure = Spread::of(&Estimate { value: 5.0, low: 0.0, high: 9.0 }, 3).unwrap();
        assert_eq!(unsure.over(&counted(1.0)).p_value(0.0, None), 1.0);
    }

    #[test]
    fn false_discovery_rates_are_those_of_r() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "BH") is 0.02 0.04 0.04 0.02.
        for (got, expect) in false_discovery_rates(&[0.01, 0.04, 0.03, 0.005]).into_iter().zip([0.02, 0.04, 0.04, 0.02])
        {
            near(got, expect);
        }
        assert_eq!(false_discovery_rates(&[0.9, 0.8]), [0.9, 0.9]);
        assert!(false_discovery_rates(&[]).is_empty());
    }

    /// A figure of five runs around `mean` with normal logarithms. The sum of twelve uniform numbers is close to normal.
    fn five_runs(mean: f64, rng: &mut Pcg64Mcg) -> Spread {
        let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let runs: Vec<f64> = (0..5).map(|_| mean * (0.1 * normal()).exp()).collect();
        let log = runs.iter().map(|run| run.ln()).sum::<f64>() / 5.0;
        Spread::of(&over_runs(log.exp(), &runs), 5).unwrap()
    }

    #[test]
    fn a_program_compared_with_itself_is_called_changed_about_as_seldom_as_promised() {
        // 30 figures, 2,000 times, without a margin: 5 % of the comparisons may call anything changed. More than 130 of
        // 2,000 come once in 1,000 tries.
        let mut rng = Pcg64Mcg::seed_from_u64(11);
        let mut called = 0;
        for _ in 0..2000 {
            let p_values: Vec<f64> =
                (0..30).map(|_| five_runs(1.0, &mut rng).over(&five_runs(1.0, &mut rng)).p_value(0.0, None)).collect();
            called += usize::from(false_discovery_rates(&p_values).iter().any(|rate| *rate <= FALSE_DISCOVERIES));
        }
        assert!((20..=130).contains(&called), "{called} of 2,000");
    }

    #[test]
    fn a_detectable_difference_is_seen_as_often_as_promised() {
        let mut rng = Pcg64Mcg::seed_from_u64(12);
        let (bound, margin, runs) = (0.001, 0.05, 5);
        // The typical error of five such runs.
        let runs_of = |factor: f64| over_runs(1.0, &[-2.0, -1.0, 0.0, 1.0, 2.0].map(|at: f64| (at * factor).exp()));
        let share = detectable(&runs_of(0.1 / 2.5_f64.sqrt()), runs, bound, margin).unwrap();
        let seen = (0..2000)
            .filter(|_| {
                let ratio = five_runs(1.0 + share, &mut rng).over(&five_runs(1.0, &mut rng));
                ratio.p_value(margin, None) < bound
            })
            .count();
        assert!((1500..=1800).contains(&seen), "{seen} of 2,000 at {share}");
        assert!(detectable(&around(1.0, 1.0), 5, bound, margin).is_none());
        assert!(detectable(&around(1.0, 1.01), 1, bound, margin) < detectable(&around(1.0, 1.1), 1, bound, margin));
    }

    #[test]
    fn figures_differ_beyond_error_and_margin() {
        assert!(differ(&around(4.0, 1.05), &around(8.0, 1.05), 1, 15));
        assert!(!differ(&around(4.0, 1.05), &around(4.3, 1.05), 1, 15));
        assert!(!differ(&around(4.0, 1.0001), &around(4.1, 1.0001), 1, 15), "within the margin");
        // The same intervals say less if they come from three runs.
        assert!(differ(&around(4.0, 1.1), &around(6.0, 1.1), 1, 15));
        assert!(!differ(&around(4.0, 1.1), &around(6.0, 1.1), 3, 15));
        let zero = Estimate { value: 0.0, low: 0.0, high: 0.0 };
        assert!(differ(&zero, &around(1.0, 1.1), 1, 1) && !differ(&zero, &zero, 1, 1));
    }
}
