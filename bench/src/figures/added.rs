//! What Isotherm adds to a platform's floor, which has the same scope by construction.

use crate::results::Measured;
use crate::results::figure::estimate;
use crate::stats::{Estimate, difference_of_runs};

/// A figure beside its floor's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Added {
    pub(crate) own: Estimate,
    pub(crate) floor: Estimate,
    /// `own − floor`.
    pub(crate) difference: Estimate,
    /// `own ÷ floor`; `None` where the floor's figure is 0.
    pub(crate) multiple: Option<Estimate>,
}

/// What the platform adds to its floor in this figure.
///
/// With several runs, the interval of the difference is that over the runs, since a platform and its floor share the
/// conditions of a run. Otherwise it follows from both intervals (Zou and Donner, "Construction of confidence limits
/// about effect measures", 2008).
pub(crate) fn added(measured: &Measured, name: &str) -> Option<Added> {
    let (own, floor) = (estimate(&measured.figures, name)?, estimate(&measured.floor, name)?);
    let of_runs: Option<Vec<f64>> =
        measured.runs.iter().map(|run| Some(run.figures.get(name)? - run.floor.get(name)?)).collect();
    let value = own.value - floor.value;
    let difference = match of_runs {
        Some(runs) if runs.len() > 1 => difference_of_runs(value, &runs),
        _ => {
            let reach = |own: f64, floor: f64| own.hypot(floor);
            Estimate {
                value,
                low: value - reach(own.value - own.low, floor.high - floor.value),
                high: value + reach(own.high - own.value, floor.value - floor.low),
            }
        }
    };
    Some(Added { own, floor, difference, multiple: measured.ratio.get(name).copied() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::results::OneRun;
    use crate::results::tests::sample;

    #[test]
    fn the_difference_is_that_of_the_figures_and_its_interval_holds_both_errors() {
        let mut measured = sample().platforms.remove(1);
        let added = added(&measured, "warm_p50").unwrap();
        let Estimate { value, low, high } = added.difference;
        assert!((value - (added.own.value - added.floor.value)).abs() < 1e-12);
        assert!(low < value - (added.own.value - added.own.low) && high > value + (added.own.high - added.own.value));
        let run = |own: f64| OneRun {
            figures: BTreeMap::from([("warm_p50".to_owned(), own)]),
            floor: BTreeMap::from([("warm_p50".to_owned(), own - 3.0)]),
        };
        measured.runs = [10.0, 20.0, 30.0].map(run).into();
        let Estimate { low, high, .. } = super::added(&measured, "warm_p50").unwrap().difference;
        assert!((high - low).abs() < 1e-9, "what both share is in no interval: {low}–{high}");
    }
}
