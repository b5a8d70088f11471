//! Computes the share of cold requests at each load from a run's measurements, for its verdict and its page.

use anyhow::{Result, bail};

use crate::model::simulate::from::Measurements;
use crate::model::simulate::policy::{Defaults, Spec};
use crate::model::simulate::replay;
use crate::model::simulate::time::Micros;
use crate::model::simulate::trace;
use crate::results::Comparison;
use crate::results::cost::{ColdShare, Kind};

/// Policies of the platforms that start instances on demand. A container is always there.
const POLICIES: [&str; 3] = ["lambda", "lambda,ping=5m", "workers"];
/// The loads go from 10 to the first of these powers to 10 to the second, in requests per second, with this many points
/// per decade.
const DECADES: [i32; 2] = [-4, 2];
const POINTS_A_DECADE: i32 = 3;
/// With this many requests, a share of 1 % is known to within a fifteenth of it.
const REQUESTS: f64 = 20_000.0;
/// The longest simulated time, in seconds: pings cost time too.
const LONGEST: f64 = 90.0 * 24.0 * 3600.0;

/// Replays Poisson arrivals at each load through a model of each platform of the run.
///
/// # Errors
/// Fails if the run has no samples of a platform.
pub(crate) fn of_run(result: &Comparison) -> Result<Vec<ColdShare>> {
    let measured = Measurements::in_result(result, "this run")?;
    let defaults = Defaults { service: None, init: None, keep_alive: None, measured, trace_has_service: false };
    let ran = |name: &str| result.platforms.iter().any(|measured| name.starts_with(measured.platform.name()));
    let names: Vec<&str> = POLICIES.into_iter().filter(|name| ran(name)).collect();
    let mut shares: Vec<ColdShare> = names
        .iter()
        .map(|name| ColdShare { name: (*name).to_owned(), kind: Kind::Modelled, points: Vec::new() })
        .collect();
    for step in DECADES[0] * POINTS_A_DECADE..=DECADES[1] * POINTS_A_DECADE {
        let rate = 10_f64.powf(f64::from(step) / f64::from(POINTS_A_DECADE));
        let policies = names.iter().map(|name| name.parse::<Spec>()?.resolve(&defaults)).collect::<Result<_>>()?;
        let trace: trace::Spec = format!("poisson:{rate:.9}/s").parse()?;
        let duration = Micros::from_seconds((REQUESTS / rate).min(LONGEST));
        let seed = result.workload.workload.seed;
        let outcome = replay::replay(
            trace.open(1.0, Some(duration), seed, &|_| bail!("arrivals at random need no file"))?,
            policies,
            seed,
            &mut |_, _| (),
        )?;
        for (share, replayed) in shares.iter_mut().zip(&outcome.policies) {
            share.points.push([rate, replayed.record.cold_share()]);
        }
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_traffic_the_fewer_are_cold() {
        let mut result = crate::results::tests::sample();
        let shares = of_run(&result).unwrap();
        assert_eq!(shares.iter().map(|share| share.name.as_str()).collect::<Vec<_>>(), POLICIES);
        let ends = |share: &ColdShare| [share.points.first(), share.points.last()].map(|point| point.unwrap()[1]);
        assert!(shares.iter().all(|share| share.points.len() == 19 && ends(share)[1] < 0.01), "{shares:?}");
        // After ten idle minutes no instance is warm, unless it is pinged.
        assert!(ends(&shares[0])[0] > 0.9 && ends(&shares[1])[0] < 0.01 && ends(&shares[2])[0] > 0.5, "{shares:?}");
        result.platforms.retain(|measured| measured.platform.name() == "native");
        assert_eq!(of_run(&result).unwrap(), []);
    }
}
