//! Takes values that a run of `isotherm compare` measured in place of assumptions.

use anyhow::Result;
use isotherm_hosts::Platform;

use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::design::Design;
use crate::model::cost::given::{Given, Load};
use crate::model::cost::metered;
use crate::model::cost::usage::{Service, Usage};
use crate::results::sample::NamedResult;
use crate::results::{Baseline, Comparison, Measured};
use crate::stats::Estimate;

/// The part of a measured figure's interval from which a cost is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    Value,
    /// The cheapest end: the least CPU time and the most throughput.
    Least,
    /// The most expensive end.
    Most,
}

impl Of {
    fn cpu(self, Estimate { value, low, high }: Estimate) -> f64 {
        match self {
            Self::Value => value,
            Self::Least => low,
            Self::Most => high,
        }
    }

    fn throughput(self, Estimate { value, low, high }: Estimate) -> f64 {
        match self {
            Self::Value => value,
            Self::Least => high,
            Self::Most => low,
        }
    }
}

/// Replaces assumptions with the measured values of a result of this name.
///
/// # Errors
/// Fails if a figure is not a valid number.
pub(crate) fn assume(result: &Comparison, name: &str, assumed: &mut Assumptions, of: Of) -> Result<()> {
    for measured in &result.platforms {
        let cpu = of.cpu(measured.figures.cpu.ms_per_request);
        let throughput = of.throughput(measured.figures.throughput.requests_per_second);
        let (assumption, value, figure) = match measured.platform {
            Platform::Lambda => ("lambda-cpu-ms", cpu, "cpu.ms_per_request"),
            Platform::Workers => ("workers-cpu-ms", cpu, "cpu.ms_per_request"),
            Platform::Spin => ("spin-requests-per-second", throughput, "throughput.requests_per_second"),
            Platform::Native => ("native-requests-per-second", throughput, "throughput.requests_per_second"),
        };
        assumed.set(assumption, value, &format!("{name}: {figure}"))?;
    }
    if let Some(Baseline { function, .. }) = &result.baseline {
        let figure = format!("{name}: baseline.function.cpu.ms_per_request");
        assumed.set("baseline-cpu-ms", of.cpu(function.figures.cpu.ms_per_request), &figure)?;
    }
    Ok(())
}

/// The monthly usage by the meters of the run, and a note on its origin. `None` without meters, and for designs that
/// pay for nodes. A month takes whole nodes, and the run says how much one handles, so these are priced as designs.
///
/// # Errors
/// Fails if the price book or the assumptions lack something.
pub(crate) fn metered(
    NamedResult { result, name }: &NamedResult,
    design: Design,
    given: &Given<'_>,
) -> Result<Option<(Usage, String)>> {
    let platform = match design {
        Design::Lambda => Platform::Lambda,
        Design::Workers => Platform::Workers,
        Design::Spin | Design::Akamai | Design::Native | Design::Baseline => return Ok(None),
    };
    let Some(measured) = result.platforms.iter().find(|measured| measured.platform == platform) else {
        return Ok(None);
    };
    let Some(events) = measured.meters.as_ref().map(|meters| meters.events).filter(|events| *events > 0) else {
        return Ok(None);
    };
    let run = Load { requests: events as f64, events_per_request: 1.0, ..given.load.clone() };
    let Some(usage) = metered::usage(measured, &Given { load: &run, ..*given })? else { return Ok(None) };
    let mut usage = usage.times(given.load.events() / events as f64);
    if design == Design::Workers {
        usage.add(Service::Plan, "workers-plan", 1.0);
    }
    let rate = measured.figures.throughput.events_per_second.value;
    let about = format!("as metered at about {rate:.0} events/s in {name}");
    Ok(Some((usage, about)))
}

/// Events per request of the closed loop, over all platforms. The workload determines it.
pub(crate) fn events_per_request(result: &Comparison) -> f64 {
    let slices = || result.platforms.iter().flat_map(|Measured { figures, .. }| &figures.throughput.slices);
    let (events, requests) =
        (slices().map(|slice| slice.events).sum::<u64>(), slices().map(|slice| slice.requests).sum::<u64>());
    events as f64 / requests.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_takes_the_place_of_what_is_assumed() {
        let result = crate::results::tests::sample();
        let mut assumed = Assumptions::read().unwrap();
        assume(&result, "r.json", &mut assumed, Of::Value).unwrap();
        let cpu = result.platforms[0].figures.cpu.ms_per_request.value;
        assert_eq!(assumed.value("lambda-cpu-ms").unwrap(), cpu);
        assert_eq!(assumed.take_used()[0].source, "r.json: cpu.ms_per_request");
        assert_eq!(events_per_request(&result), 1.5);
        let baseline = result.baseline.unwrap().function.figures.cpu.ms_per_request.value;
        assert_eq!(assumed.value("baseline-cpu-ms").unwrap(), baseline);
    }
}
