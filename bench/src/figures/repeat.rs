//! Merges several runs into one: `--repeat`.
//!
//! A run's figures are right for that run. Another run with new processes differs by more than the samples of either
//! run tell. The layout of memory, the content of the disk and other work on the machine all differ. So each figure is
//! taken over the samples of all runs, and its interval over the values of the single runs (`stats::over_runs`). Ratios
//! to the floor are taken run by run, since a platform and its floor share the conditions of a run.

use std::collections::{BTreeMap, BTreeSet};

use isotherm_hosts::Meters;

use crate::results::deployed::Deployed;
use crate::results::figure::{COMPARED, estimate, report_medians};
use crate::results::{
    Baseline, Cold, Cpu, Distribution, Figures, Measured, Memory, Metered, OneRun, Replay, Reports, Singles, Slice,
    Throughput, Warm,
};
use crate::stats::{Estimate, over_runs, quantile};

/// The distance between the seeds of two runs, so that no turn of one run has the arrivals of a turn of another.
const SEEDS_APART: u64 = 1_000_003;

/// The seed of run `nth`, from 0.
pub(crate) fn seed(seed: u64, nth: usize) -> u64 {
    seed.wrapping_add(SEEDS_APART.wrapping_mul(nth as u64))
}

/// A platform's runs as one; `None` without runs. A single run is returned unchanged.
pub(crate) fn pooled(mut runs: Vec<Measured>) -> Option<Measured> {
    if runs.len() < 2 {
        return runs.pop();
    }
    let first = runs.first()?;
    let figures = self::figures(&runs.iter().map(|run| &run.figures).collect::<Vec<_>>());
    let floor = self::figures(&runs.iter().map(|run| &run.floor).collect::<Vec<_>>());
    let ratio = ratios(&runs.iter().map(|run| &run.ratio).collect::<Vec<_>>(), &figures, &floor);
    Some(Measured {
        platform: first.platform,
        scopes: first.scopes.clone(),
        errors: runs.iter().map(|run| run.errors).sum(),
        reports: reports(&runs.iter().map(|run| &run.reports).collect::<Vec<_>>()),
        replay: replay(runs.iter().map(|run| &run.replay)),
        meters: runs.iter().map(|run| run.meters.as_ref()).collect::<Option<Vec<_>>>().map(|runs| metered(&runs)),
        ratio,
        runs: runs.iter().map(one).collect(),
        figures,
        floor,
    })
}

/// Several runs of the baseline and of Isotherm beside it, as one.
pub(crate) fn baseline(mut runs: Vec<Baseline>) -> Option<Baseline> {
    if runs.len() < 2 {
        return runs.pop();
    }
    let singles = |of: fn(&Baseline) -> &Singles| Singles {
        errors: runs.iter().map(|run| of(run).errors).sum(),
        figures: figures(&runs.iter().map(|run| &of(run).figures).collect::<Vec<_>>()),
        meters: metered(&runs.iter().map(|run| &of(run).meters).collect::<Vec<_>>()),
        cost: None,
    };
    let (function, isotherm) = (singles(|run| &run.function), singles(|run| &run.isotherm));
    let each: Vec<_> = runs.iter().map(|run| &run.ratio).collect();
    Some(Baseline { ratio: ratios(&each, &function.figures, &isotherm.figures), function, isotherm })
}

/// Each figure as a multiple of the other's, with an interval over the multiples of the single runs.
fn ratios(runs: &[&BTreeMap<String, Estimate>], own: &Figures, other: &Figures) -> BTreeMap<String, Estimate> {
    let ratio = |(name, of_first): (&String, &Estimate)| {
        let values: Option<Vec<f64>> = runs.iter().map(|run| Some(run.get(name)?.value)).collect();
        let value = estimate(own, name).zip(estimate(other, name)).map(|(own, other)| own.value / other.value);
        let value = value.filter(|value| value.is_finite()).unwrap_or(of_first.value);
        Some((name.clone(), over_runs(value, &values?)))
    };
    runs.iter().take(1).flat_map(|first| first.iter()).filter_map(ratio).collect()
}

/// The values of one run, by figure.
fn one(run: &Measured) -> OneRun {
    let values = |figures: &Figures| -> BTreeMap<String, f64> {
        let value = |(name, _): &(&str, bool)| Some(((*name).to_owned(), estimate(figures, name)?.value));
        COMPARED.iter().filter_map(value).collect()
    };
    let reports = report_medians(&run.reports).map(|(name, estimate)| (name, estimate.value));
    OneRun { figures: values(&run.figures).into_iter().chain(reports).collect(), floor: values(&run.floor) }
}

/// The value that one turn of the closed loop adds to a sum.
type Part = fn(&Slice) -> f64;

fn figures(runs: &[&Figures]) -> Figures {
    let first = runs[0];
    let slices: Vec<Slice> = runs.iter().flat_map(|run| &run.throughput.slices).copied().collect();
    let rate = |above: Part, below: Part, of: fn(&Figures) -> Estimate| {
        let sum = |part: Part| slices.iter().map(part).sum::<f64>();
        over_runs(sum(above) / sum(below), &runs.iter().map(|run| of(run).value).collect::<Vec<_>>())
    };
    let [seconds, requests, events]: [Part; 3] =
        [|slice| slice.seconds, |slice| slice.requests as f64, |slice| slice.events as f64];
    let deferred: f64 = runs.iter().map(|run| run.cpu.deferred_seconds).sum();
    let used = |slices: &[Slice]| deferred + slices.iter().map(|slice| slice.cpu_seconds).sum::<f64>();
    let cpu = |scale: f64, per: Part, of: fn(&Figures) -> Estimate| {
        let value = scale * used(&slices) / slices.iter().map(per).sum::<f64>();
        over_runs(value, &runs.iter().map(|run| of(run).value).collect::<Vec<_>>())
    };
    let all = |of: fn(&Figures) -> &Distribution| distribution(runs.iter().map(|run| Some(of(run))));
    let peaks: Vec<f64> = runs.iter().map(|run| run.memory.peak_rss_bytes as f64).collect();
    Figures {
        runtime: first.runtime.clone(),
        first_errors: runs.iter().find(|run| !run.first_errors.is_empty()).unwrap_or(&first).first_errors.clone(),
        artifact: first.artifact.clone(),
        cold: Cold { init: all(|run| &run.cold.init), first_response: all(|run| &run.cold.first_response) },
        warm: warm(&runs.iter().map(|run| &run.warm).collect::<Vec<_>>()),
        throughput: Throughput {
            connections: first.throughput.connections,
            requests_per_second: rate(requests, seconds, |run| run.throughput.requests_per_second),
            events_per_second: rate(events, seconds, |run| run.throughput.events_per_second),
            slices: slices.clone(),
        },
        cpu: Cpu {
            ms_per_request: cpu(1e3, requests, |run| run.cpu.ms_per_request),
            us_per_event: cpu(1e6, events, |run| run.cpu.us_per_event),
            deferred_seconds: deferred,
        },
        memory: Memory {
            peak_rss_bytes: runs.iter().map(|run| run.memory.peak_rss_bytes).max().unwrap_or_default(),
            peak_rss_over_runs: Some(over_runs(peaks.iter().sum::<f64>() / peaks.len() as f64, &peaks)),
        },
    }
}

pub(crate) fn warm(runs: &[&Warm]) -> Warm {
    let routes: BTreeSet<_> = runs.iter().flat_map(|run| run.routes.keys().copied()).collect();
    let route = |route| (route, distribution(runs.iter().map(|run| run.routes.get(&route))));
    Warm {
        rate: runs[0].rate,
        latency: distribution(runs.iter().map(|run| Some(&run.latency))),
        routes: routes.into_iter().map(route).collect(),
        client_lag: distribution(runs.iter().map(|run| Some(&run.client_lag))),
    }
}

/// The samples of all runs, in the order of the runs. A run without samples is skipped.
pub(crate) fn distribution<'r>(runs: impl Iterator<Item = Option<&'r Distribution>>) -> Distribution {
    let runs: Vec<&Distribution> = runs.flatten().collect();
    let samples: Vec<f64> = runs.iter().flat_map(|run| &run.samples).copied().collect();
    let mut sorted = samples.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |q, of: fn(&Distribution) -> Estimate| {
        over_runs(quantile(&sorted, q), &runs.iter().map(|run| of(run).value).collect::<Vec<_>>())
    };
    let [p50, p90, p99] = [at(0.5, |run| run.p50), at(0.9, |run| run.p90), at(0.99, |run| run.p99)];
    Distribution { n: samples.len(), p50, p90, p99, samples }
}

pub(crate) fn reports(runs: &[&Reports]) -> Reports {
    let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.latency.keys()).collect();
    let latency = |name: &String| (name.clone(), distribution(runs.iter().map(|run| run.latency.get(name))));
    Reports {
        latency: names.into_iter().map(latency).collect(),
        freshness: distribution(runs.iter().map(|run| Some(&run.freshness))),
    }
}

/// The sum over the runs, except for verified events. Each run verifies the same events, so the smallest number counts.
pub(crate) fn replay<'r>(runs: impl Iterator<Item = &'r Replay>) -> Replay {
    let sum = |sum: Replay, run: &Replay| Replay {
        requests: sum.requests + run.requests,
        sent: sum.sent + run.sent,
        accepted: sum.accepted + run.accepted,
        duplicates: sum.duplicates + run.duplicates,
        found: sum.found + run.found,
        verified: sum.verified.min(run.verified),
    };
    let none = Replay { requests: 0, sent: 0, accepted: 0, duplicates: 0, found: 0, verified: u64::MAX };
    runs.fold(none, sum)
}

fn metered(runs: &[&Metered]) -> Metered {
    let sum = |of: fn(&Metered) -> u64| runs.iter().map(|run| of(run)).sum();
    Metered {
        requests: sum(|run| run.requests),
        batches: sum(|run| run.batches),
        events: sum(|run| run.events),
        response_bytes: sum(|run| run.response_bytes),
        cpu_seconds: runs.iter().map(|run| run.cpu_seconds).sum(),
        readings: runs.iter().fold(Meters::default(), |sum, run| sum.plus(&run.readings)),
    }
}

/// Several runs as one, as for a platform; `None` without runs.
pub(crate) fn deployments(mut runs: Vec<Deployed>) -> Option<Deployed> {
    let mut all = runs.pop()?;
    if runs.is_empty() {
        return Some(all);
    }
    runs.push(all.clone());
    let distribution = |of: fn(&Deployed) -> Option<&Distribution>| distribution(runs.iter().map(of));
    let rate = |of: fn(&Deployed) -> Estimate| {
        let values: Vec<f64> = runs.iter().map(|run| of(run).value).collect();
        // Turns are equally long, so the mean rate is the mean of the runs.
        over_runs(values.iter().sum::<f64>() / values.len() as f64, &values)
    };
    all.errors = runs.iter().map(|run| run.errors).sum();
    all.first_errors =
        runs.iter().map(|run| &run.first_errors).find(|errors| !errors.is_empty()).cloned().unwrap_or_default();
    all.network.connect = distribution(|run| Some(&run.network.connect));
    all.network.tls = all.network.tls.map(|_| distribution(|run| run.network.tls.as_ref()));
    all.cold = all.cold.map(|_| distribution(|run| run.cold.as_ref()));
    all.warm = warm(&runs.iter().map(|run| &run.warm).collect::<Vec<_>>());
    all.requests_per_second = rate(|run| run.requests_per_second);
    all.events_per_second = rate(|run| run.events_per_second);
    all.turns = runs.iter().map(|run| run.turns).sum();
    all.reports = reports(&runs.iter().map(|run| &run.reports).collect::<Vec<_>>());
    all.replay = replay(runs.iter().map(|run| &run.replay));
    all.runs = runs.iter().map(Deployed::values).collect();
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    /// Native, measured three times. In the second run everything takes `scale` times as long.
    fn runs(scale: f64) -> Vec<Measured> {
        let native = || sample().platforms.pop().unwrap();
        let mut slow = native();
        for figures in [&mut slow.figures, &mut slow.floor] {
            let latency = &mut figures.warm.latency;
            latency.samples.iter_mut().for_each(|ms| *ms *= scale);
            latency.p50.value *= scale;
            figures.throughput.slices.iter_mut().for_each(|slice| slice.seconds *= scale);
            figures.throughput.requests_per_second.value /= scale;
        }
        vec![native(), slow, native()]
    }

    #[test]
    fn one_run_stays_what_it_is() {
        let one = sample().platforms.pop().unwrap();
        assert_eq!(pooled(vec![one.clone()]), Some(one));
        assert_eq!(pooled(vec![]), None);
    }

    #[test]
    fn samples_are_pooled_and_intervals_are_those_over_runs() {
        let runs = runs(3.0);
        let [first, second, _] = &*runs else { panic!("three runs") };
        let all = pooled(runs.clone()).unwrap();
        let (latency, one) = (&all.figures.warm.latency, &first.figures.warm.latency);
        assert_eq!((latency.n, latency.samples.len()), (6, 6));
        assert_eq!(latency.samples[2..4], second.figures.warm.latency.samples);
        // Four of the six samples come from the fast runs.
        assert!(latency.p50.value < 1.2 * one.p50.value, "{:?}", latency.p50);
        let values: Vec<f64> = runs.iter().map(|run| run.figures.warm.latency.p50.value).collect();
        assert_eq!(latency.p50, over_runs(latency.p50.value, &values));
        assert!(latency.p50.high > 3.0 * one.p50.value, "{:?}", latency.p50);
        // A figure that is the same in all runs is certain.
        assert_eq!(all.figures.cold.init.p50.low, all.figures.cold.init.p50.high);
        // The turns had two requests in 1 s, in 3 s, and in 1 s again.
        let rate = all.figures.throughput.requests_per_second;
        assert!((rate.value - 6.0 / 5.0).abs() < 1e-12 && rate.low < rate.value / 2.0, "{rate:?}");
        assert_eq!(all.figures.memory.peak_rss_bytes, first.figures.memory.peak_rss_bytes);
    }

    #[test]
    fn each_run_is_kept_and_what_happened_is_summed() {
        let runs = runs(2.0);
        let all = pooled(runs.clone()).unwrap();
        let values: Vec<f64> = all.runs.iter().map(|run| run.figures["warm_p50"]).collect();
        let expect: Vec<f64> = runs.iter().map(|run| run.figures.warm.latency.p50.value).collect();
        assert_eq!(values, expect);
        assert!(all.runs[0].figures.contains_key("report:by day_p50") && all.runs[0].floor.contains_key("warm_p99"));
        let (one, sum) = (&runs[0], &all);
        assert_eq!((sum.replay.sent, sum.replay.verified), (3 * one.replay.sent, one.replay.verified));
        let (one, sum) = (one.meters.as_ref().unwrap(), sum.meters.as_ref().unwrap());
        assert_eq!(sum.events, 3 * one.events);
        assert_eq!(sum.readings.functions["ingest"].wall, 3 * one.readings.functions["ingest"].wall);
        assert_eq!(sum.readings.operations("events/put"), 3 * one.readings.operations("events/put"));
        assert_eq!(sum.readings.rows["events"].written, 3 * one.readings.rows["events"].written);
    }

    #[test]
    fn a_ratio_of_what_slows_down_together_stays_sure() {
        let mut runs = runs(3.0);
        for run in &mut runs {
            run.ratio.insert("warm_p50".to_owned(), Estimate { value: 2.0, low: 1.0, high: 3.0 });
        }
        let ratio = pooled(runs).unwrap().ratio["warm_p50"];
        assert_eq!((ratio.low, ratio.high), (ratio.value, ratio.value));
    }

    #[test]
    fn every_run_has_a_seed_of_its_own() {
        assert_eq!(seed(7, 0), 7);
        assert!(seed(7, 1).abs_diff(seed(7, 0)) > 10_000 && seed(u64::MAX, 2) != seed(u64::MAX, 1));
    }
}
