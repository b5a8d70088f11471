//! Turns samples into figures: quantiles, intervals, ratios to the floor, ranks.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::load::{Sample, Tally};
use crate::measure::artifact;
use crate::measure::reports::Latencies;
use crate::measure::target::Target;
use crate::results::figure::estimate;
use crate::results::scope::scopes;
use crate::results::{
    Baseline, Cold, Cpu, Distribution, Figures, Measured, Memory, Replay, Reports, Singles, Slice, Throughput, Warm,
};
use crate::stats::{Bootstrap, Estimate, Figure};
use crate::workload::{Route, Workload};

/// The compared figures of one target by name, with the replicates behind their intervals.
type Compared = BTreeMap<&'static str, Figure>;

/// Makes a platform's part of the result from its target and its floor.
pub(crate) fn measured(
    own: &Target,
    floor: &Target,
    workload: &Workload,
    bootstrap: &mut Bootstrap,
) -> Result<Measured> {
    let (figures, compared) = figures(own, workload, bootstrap).with_context(|| own.name())?;
    let (floor_figures, floor_compared) = self::figures(floor, workload, bootstrap).with_context(|| floor.name())?;
    let tally = own.client.tally();
    let mut ratio = ratios(&compared, &floor_compared);
    // A floor accepts no events, so this ratio would say nothing.
    ratio.remove("events_per_second");
    Ok(Measured {
        platform: own.platform,
        scopes: scopes(own.platform, &own.runtime.name),
        errors: tally.errors + floor.client.tally().errors,
        figures,
        reports: reports(&own.reports, &own.fresh, bootstrap).with_context(|| own.name())?,
        replay: replay(&tally, own.verified),
        meters: own.metered.clone(),
        floor: floor_figures,
        ratio,
        runs: vec![],
    })
}

/// Makes the baseline's part of the result from the baseline and from Isotherm beside it.
pub(crate) fn baseline(
    function: &Target,
    isotherm: &Target,
    workload: &Workload,
    bootstrap: &mut Bootstrap,
) -> Result<Baseline> {
    let mut singles = |target: &Target| {
        let (figures, compared) = figures(target, workload, bootstrap).with_context(|| target.name())?;
        let meters = target.metered.clone().with_context(|| format!("{} was not metered", target.name()))?;
        Ok::<_, anyhow::Error>((
            Singles { errors: target.client.tally().errors, figures, meters, cost: None },
            compared,
        ))
    };
    let ((function, compared), (isotherm, beside)) = (singles(function)?, singles(isotherm)?);
    Ok(Baseline { function, isotherm, ratio: ratios(&compared, &beside) })
}

/// Each figure as a multiple of the other target's. A figure is left out if the other's is 0.
fn ratios(of: &Compared, to: &Compared) -> BTreeMap<String, Estimate> {
    of.iter().filter_map(|(name, figure)| Some(((*name).to_owned(), figure.ratio(to.get(name)?)?))).collect()
}

fn figures(target: &Target, workload: &Workload, bootstrap: &mut Bootstrap) -> Result<(Figures, Compared)> {
    let mut compared = Compared::new();
    let (init, first): (Vec<f64>, Vec<f64>) = target.cold.iter().copied().unzip();
    let init = distribution(&init, bootstrap).context("no cold start was measured")?;
    let first = distribution(&first, bootstrap).context("no cold start was measured")?;
    let (warm, warm_quantiles) =
        warm(&target.warm, workload.warm.rate, bootstrap).context("no warm request was answered")?;
    let mut rate = |of: &dyn Fn(&Slice) -> (f64, f64)| {
        let slices: Vec<(f64, f64)> = slices(target).map(|slice| of(&slice)).collect();
        bootstrap.rate(&slices).context("no request of the closed loop was answered")
    };
    let requests = rate(&|slice| (slice.requests as f64, slice.seconds))?;
    let events = rate(&|slice| (slice.events as f64, slice.seconds))?;
    // Deferred CPU time counts like immediate CPU time.
    let used: f64 = target.slices.iter().map(|(_, cpu_seconds)| cpu_seconds).sum();
    let deferred = target.deferred.map_or(0.0, |used_until_quiet| (used_until_quiet - used).max(0.0));
    let factor = if used > 0.0 { (used + deferred) / used } else { 1.0 };
    let cpu = rate(&|slice| (1e3 * slice.cpu_seconds, slice.requests as f64))?.times(factor);
    let cpu_event = rate(&|slice| (1e6 * slice.cpu_seconds, slice.events as f64))?.times(factor);

    let figures = Figures {
        runtime: target.runtime.clone(),
        first_errors: target.client.tally().first_errors,
        artifact: artifact::measure(target.platform, target.role, &target.folder)?,
        cold: Cold { init: init.0, first_response: first.0 },
        warm,
        throughput: Throughput {
            connections: workload.throughput.connections,
            requests_per_second: requests.estimate(),
            events_per_second: events.estimate(),
            slices: slices(target).collect(),
        },
        cpu: Cpu { ms_per_request: cpu.estimate(), us_per_event: cpu_event.estimate(), deferred_seconds: deferred },
        memory: Memory { peak_rss_bytes: target.usage.peak_rss_bytes, peak_rss_over_runs: None },
    };
    for (names, quantiles) in [
        (["cold_init_p50", "cold_init_p90", "cold_init_p99"], init.1),
        (["cold_first_response_p50", "cold_first_response_p90", "cold_first_response_p99"], first.1),
        (["warm_p50", "warm_p90", "warm_p99"], warm_quantiles),
    ] {
        compared.extend(names.into_iter().zip(quantiles));
    }
    compared.extend([("requests_per_second", requests), ("events_per_second", events), ("cpu_ms_per_request", cpu)]);
    for name in ["artifact_raw", "artifact_gzip", "memory_peak_rss"] {
        compared.extend(estimate(&figures, name).map(|estimate| (name, Figure::certain(estimate.value))));
    }
    Ok((figures, compared))
}

/// Warm latency, with the figures of its quantiles. `None` without samples.
pub(crate) fn warm(samples: &[Sample], rate: f64, bootstrap: &mut Bootstrap) -> Option<(Warm, [Figure; 3])> {
    let mut of = |seconds: fn(&Sample) -> f64, route: Option<Route>| {
        let of_route = samples.iter().filter(|sample| route.is_none_or(|route| sample.route == route));
        distribution(&of_route.map(|sample| 1000.0 * seconds(sample)).collect::<Vec<_>>(), bootstrap)
    };
    let (latency, quantiles) = of(|sample| sample.latency, None)?;
    let (client_lag, _) = of(|sample| sample.lag, None)?;
    let routes = [Route::Single, Route::Batch, Route::Get].into_iter();
    let routes = routes.filter_map(|route| Some((route, of(|sample| sample.latency, Some(route))?.0))).collect();
    Some((Warm { rate, latency, routes, client_lag }, quantiles))
}

/// The latencies of reports and the freshness, from samples in milliseconds.
pub(crate) fn reports(latency: &Latencies, fresh: &[f64], bootstrap: &mut Bootstrap) -> Result<Reports> {
    let mut measure = |samples: &[f64]| Some(distribution(samples, bootstrap)?.0);
    let latency = latency.iter().filter_map(|(name, samples)| Some((name.clone(), measure(samples)?))).collect();
    Ok(Reports { latency, freshness: measure(fresh).context("no report ever counted a new event")? })
}

fn slices(target: &Target) -> impl Iterator<Item = Slice> {
    target.slices.iter().map(|(slice, cpu_seconds)| Slice {
        seconds: slice.seconds,
        requests: slice.requests,
        events: slice.events,
        cpu_seconds: *cpu_seconds,
    })
}

pub(crate) fn distribution(samples: &[f64], bootstrap: &mut Bootstrap) -> Option<(Distribution, [Figure; 3])> {
    let figures = bootstrap.quantiles(samples, [0.5, 0.9, 0.99])?;
    let [p50, p90, p99] = figures.each_ref().map(Figure::estimate);
    // Digits below a microsecond mean nothing in a sample.
    let samples: Vec<f64> = samples.iter().map(|ms| (ms * 1000.0).round() / 1000.0).collect();
    Some((Distribution { n: samples.len(), p50, p90, p99, samples }, figures))
}

/// The fate of the events of a tally, of which `verified` were looked up.
pub(crate) fn replay(tally: &Tally, verified: u64) -> Replay {
    let &Tally { requests, sent, accepted, duplicates, found, .. } = tally;
    Replay { requests, sent, accepted, duplicates, found, verified }
}
