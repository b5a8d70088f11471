//! Turns samples into figures: quantiles, intervals, ratios to the floor, ranks.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use isotherm_hosts::Platform;

use crate::compare::artifact;
use crate::compare::reports::Latencies;
use crate::compare::result::{
    Baseline, Cold, Cpu, Distribution, Figures, Measured, Memory, Replay, Reports, Singles, Slice, Throughput, Warm,
};
use crate::compare::target::Target;
use crate::load::Sample;
use crate::stats::{Bootstrap, Estimate, Figure, differ};
use crate::workload::{Route, Workload};

/// The compared figures, and whether more is better.
pub(crate) const COMPARED: &[(&str, bool)] = &[
    ("artifact_raw", false),
    ("artifact_gzip", false),
    ("cold_init_p50", false),
    ("cold_init_p90", false),
    ("cold_init_p99", false),
    ("cold_first_response_p50", false),
    ("cold_first_response_p90", false),
    ("cold_first_response_p99", false),
    ("warm_p50", false),
    ("warm_p90", false),
    ("warm_p99", false),
    ("requests_per_second", true),
    ("events_per_second", true),
    ("cpu_ms_per_request", false),
    ("memory_peak_rss", false),
];

/// The compared figures of one target by name, with the replicates behind their intervals.
type Compared = BTreeMap<&'static str, Figure>;

/// Makes a platform's part of the result from its target and its floor.
pub(super) fn measured(
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
        errors: tally.errors + floor.client.tally().errors,
        figures,
        reports: reports(&own.reports, &own.fresh, bootstrap).with_context(|| own.name())?,
        replay: Replay::of(&tally, own.verified),
        meters: own.metered.clone(),
        floor: floor_figures,
        ratio,
        runs: vec![],
    })
}

/// Makes the article's part of the result from the baseline and from Isotherm beside it.
pub(super) fn baseline(
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

/// Sorts the platforms for each figure, as [`ranks`] does.
pub(super) fn ranking(platforms: &[Measured]) -> BTreeMap<String, Vec<Vec<Platform>>> {
    let platforms: Vec<&Measured> = platforms.iter().collect();
    let rank = |name: &str, more_is_better: bool| {
        let ranks = ranks(&platforms, name, more_is_better).into_iter();
        ranks.map(|group| group.into_iter().map(|(platform, _)| platform).collect()).collect()
    };
    COMPARED.iter().map(|(name, more_is_better)| ((*name).to_owned(), rank(name, *more_is_better))).collect()
}

/// The platforms from best to worst by one figure. Platforms that can't be told apart from the best of their group are
/// tied with it. `stats::differ` decides that over all ranked figures. Counted figures differ if their values differ.
pub(super) fn ranks(platforms: &[&Measured], name: &str, more_is_better: bool) -> Vec<Vec<(Platform, Estimate)>> {
    let runs = platforms.iter().map(|measured| measured.runs.len()).min().unwrap_or(1);
    let comparisons = COMPARED.len() * platforms.len().saturating_sub(1);
    let is_tie = |a: &Estimate, b: &Estimate| {
        if is_counted(name) { a.value == b.value } else { !differ(a, b, runs, comparisons) }
    };
    let mut sorted: Vec<(Platform, Estimate)> =
        platforms.iter().filter_map(|measured| Some((measured.platform, estimate(&measured.figures, name)?))).collect();
    sorted.sort_by(|(_, a), (_, b)| a.value.total_cmp(&b.value));
    if more_is_better {
        sorted.reverse();
    }
    let mut groups: Vec<Vec<(Platform, Estimate)>> = Vec::new();
    for place in sorted {
        match groups.last_mut() {
            Some(group) if group.first().is_some_and(|(_, best)| is_tie(best, &place.1)) => group.push(place),
            _ => groups.push(vec![place]),
        }
    }
    groups
}

/// The estimate of a figure that was counted or computed, not sampled.
pub(super) fn certain(value: f64) -> Estimate {
    Estimate { value, low: value, high: value }
}

/// Whether a figure is the same in every run of the same artifact.
pub(crate) fn is_counted(name: &str) -> bool {
    name.starts_with("artifact_")
}

/// A compared figure by its name.
pub(crate) fn estimate(figures: &Figures, name: &str) -> Option<Estimate> {
    let certain = |bytes: u64| certain(bytes as f64);
    let Figures { artifact, cold, warm, throughput, cpu, memory, .. } = figures;
    Some(match name {
        "artifact_raw" => certain(artifact.raw_bytes),
        "artifact_gzip" => certain(artifact.gzip_bytes),
        "cold_init_p50" => cold.init.p50,
        "cold_init_p90" => cold.init.p90,
        "cold_init_p99" => cold.init.p99,
        "cold_first_response_p50" => cold.first_response.p50,
        "cold_first_response_p90" => cold.first_response.p90,
        "cold_first_response_p99" => cold.first_response.p99,
        "warm_p50" => warm.latency.p50,
        "warm_p90" => warm.latency.p90,
        "warm_p99" => warm.latency.p99,
        "requests_per_second" => throughput.requests_per_second,
        "events_per_second" => throughput.events_per_second,
        "cpu_ms_per_request" => cpu.ms_per_request,
        "memory_peak_rss" => memory.peak_rss_over_runs.unwrap_or_else(|| certain(memory.peak_rss_bytes)),
        _ => return None,
    })
}

/// The medians of the reports by name, as `report:<name>_p50` and `freshness_p50`.
pub(crate) fn report_medians(reports: &Reports) -> impl Iterator<Item = (String, Estimate)> {
    let latency = reports.latency.iter().map(|(name, distribution)| (format!("report:{name}_p50"), distribution.p50));
    latency.chain([("freshness_p50".to_owned(), reports.freshness.p50)])
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
    let cpu = rate(&|slice| (1e3 * slice.cpu_seconds, slice.requests as f64))?;
    let cpu_event = rate(&|slice| (1e6 * slice.cpu_seconds, slice.events as f64))?;

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
        cpu: Cpu { ms_per_request: cpu.estimate(), us_per_event: cpu_event.estimate() },
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
pub(super) fn warm(samples: &[Sample], rate: f64, bootstrap: &mut Bootstrap) -> Option<(Warm, [Figure; 3])> {
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
pub(super) fn reports(latency: &Latencies, fresh: &[f64], bootstrap: &mut Bootstrap) -> Result<Reports> {
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

pub(super) fn distribution(samples: &[f64], bootstrap: &mut Bootstrap) -> Option<(Distribution, [Figure; 3])> {
    let figures = bootstrap.quantiles(samples, [0.5, 0.9, 0.99])?;
    let [p50, p90, p99] = figures.each_ref().map(Figure::estimate);
    // Digits below a microsecond mean nothing in a sample.
    let samples: Vec<f64> = samples.iter().map(|ms| (ms * 1000.0).round() / 1000.0).collect();
    Some((Distribution { n: samples.len(), p50, p90, p99, samples }, figures))
}
