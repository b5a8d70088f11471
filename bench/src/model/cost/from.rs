//! Takes values that a run of `isotherm compare` measured in place of assumptions.

use anyhow::Result;
use isotherm_hosts::Platform;

use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::design::Design;
use crate::model::cost::given::{Given, Load};
use crate::model::cost::metered;
use crate::model::cost::usage::{Service, Usage};
use crate::results::sample::NamedResult;
use crate::results::{Baseline, Comparison, Measured, Metered};
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
    assumed.set("measured-events", events_per_request(result), &format!("{name}: events and requests of its load"))?;
    if let Some(work) = event_work(result) {
        assumed.set("event-work", work, &format!("{name}: lambda's `ingest`, with single events and with its load"))?;
    }
    Ok(())
}

/// The work of each further event of a request, relative to a request of one event. `None` unless the run metered
/// Lambda's `ingest` with single events and with more.
fn event_work(result: &Comparison) -> Option<f64> {
    let of = |metered: &Metered| {
        let ingest = metered.readings.functions.get("ingest").filter(|ingest| ingest.count > 0)?;
        let requests = ingest.count as f64;
        Some((metered.events as f64 / requests, ingest.cpu.as_secs_f64() / requests))
    };
    let lambda = result.platforms.iter().find(|measured| measured.platform == Platform::Lambda)?;
    let (many, cpu_of_many) = of(lambda.meters.as_ref()?)?;
    let (few, cpu_of_few) = of(&result.baseline.as_ref()?.isotherm.meters)?;
    // Shapes that are almost the same say nothing of an event.
    if many < 2.0 * few || cpu_of_many < cpu_of_few {
        return None;
    }
    let of_event = (cpu_of_many - cpu_of_few) / (many - few);
    let of_one = cpu_of_few - (few - 1.0) * of_event;
    (of_one > 0.0).then(|| of_event / of_one)
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
        _ => return Ok(None),
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
        assert_eq!(assumed.value("measured-events").unwrap(), 1.5);
        let baseline = result.baseline.unwrap().function.figures.cpu.ms_per_request.value;
        assert_eq!(assumed.value("baseline-cpu-ms").unwrap(), baseline);
    }

    #[test]
    fn work_of_an_event_follows_from_two_shapes_of_requests() {
        let ingest = |result: &mut Comparison, [[many, cpu_of_many], [one, cpu_of_one]]: [[u64; 2]; 2]| {
            let meters = |metered: &mut Metered, events, micros| {
                let ingest = metered.readings.functions.entry("ingest".to_owned()).or_default();
                (metered.events, ingest.count, ingest.cpu) = (events, 100, std::time::Duration::from_micros(micros));
            };
            meters(result.platforms[0].meters.as_mut().unwrap(), many, cpu_of_many);
            meters(&mut result.baseline.as_mut().unwrap().isotherm.meters, one, cpu_of_one);
        };
        let mut result = crate::results::tests::sample();
        // 200 µs for a request of one event, and 60 µs for each of the 5 more.
        ingest(&mut result, [[600, 50_000], [100, 20_000]]);
        assert!((event_work(&result).unwrap() - 0.3).abs() < 1e-9);
        ingest(&mut result, [[150, 50_000], [100, 20_000]]);
        assert_eq!(event_work(&result), None);
        ingest(&mut result, [[600, 10_000], [100, 20_000]]);
        assert_eq!(event_work(&result), None);
    }
}
