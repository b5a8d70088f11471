//! What changed between two runs, and what is noise.
//!
//! Of each figure the later run's is divided by the earlier one's, with a 95 % interval resampled from the samples of both. Two
//! runs also differ in ways that no sample of one of them shows: another neighbour on the machine, another layout in memory. The
//! floors, which are the same hello function in both, show how much: a figure has changed when its whole interval lies
//! beyond what the same figure of its platform's floor moved by, and beyond [`LEAST_NOISE`]. Sizes are counted, not sampled:
//! any change of them is one.

use std::collections::BTreeMap;

use isotherm_hosts::Platform;
use serde::Serialize;

use crate::compare::result::{Comparison, Distribution, Figures, Measured};
use crate::stats::{Bootstrap, Estimate, Figure};

/// Two runs on one machine differ by so much without a reason.
const LEAST_NOISE: f64 = 0.05;

/// A figure in both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    pub(super) platform: Platform,
    /// As in a result's `ratio`, or `report.<name>.p50`, `freshness.p50`.
    pub(super) figure: String,
    pub(super) before: f64,
    pub(super) after: f64,
    /// After as a multiple of before.
    pub(super) ratio: Estimate,
    /// Ratios up to 1 + noise, and from 1 / (1 + noise) on, are no change.
    pub(super) noise: f64,
    pub(super) verdict: Verdict,
}

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Better,
    Worse,
    /// The two can't be told apart.
    Tie,
}

/// Where a figure's interval comes from.
enum Source<'r> {
    Quantile(&'r Distribution, f64),
    /// Numerators and denominators of slices.
    Rate(Vec<(f64, f64)>),
    Counted(f64),
    /// Observed once a run: its interval says nothing of noise.
    Observed(f64),
}

impl Source<'_> {
    fn figure(&self, bootstrap: &mut Bootstrap) -> Option<Figure> {
        match self {
            Self::Quantile(distribution, q) => bootstrap.quantiles(&distribution.samples, [*q]).map(|[figure]| figure),
            Self::Rate(slices) => bootstrap.rate(slices),
            Self::Counted(value) | Self::Observed(value) => Some(Figure::certain(*value)),
        }
    }
}

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// The figures by name; less is better but for rates.
fn sources(figures: &Figures) -> BTreeMap<String, Source<'_>> {
    let Figures { artifact, cold, warm, throughput, memory, .. } = figures;
    let mut sources = BTreeMap::new();
    for (name, distribution) in
        [("cold_init", &cold.init), ("cold_first_response", &cold.first_response), ("warm", &warm.latency)]
    {
        let quantiles =
            QUANTILES.iter().map(|(label, q)| (format!("{name}_{label}"), Source::Quantile(distribution, *q)));
        sources.extend(quantiles);
    }
    let slices = &throughput.slices;
    let requests = slices.iter().map(|slice| (slice.requests as f64, slice.seconds)).collect();
    let cpu = slices.iter().map(|slice| (1e3 * slice.cpu_seconds, slice.requests as f64)).collect();
    sources.insert(REQUESTS_PER_SECOND.to_owned(), Source::Rate(requests));
    sources.insert("cpu_ms_per_request".to_owned(), Source::Rate(cpu));
    sources.insert("memory_peak_rss".to_owned(), Source::Observed(memory.peak_rss_bytes as f64));
    sources.insert("artifact_raw".to_owned(), Source::Counted(artifact.raw_bytes as f64));
    sources.insert("artifact_gzip".to_owned(), Source::Counted(artifact.gzip_bytes as f64));
    sources
}

/// The one of which more is better.
const REQUESTS_PER_SECOND: &str = "requests_per_second";

/// What a floor has no counterpart of.
fn reports(measured: &Measured) -> impl Iterator<Item = (String, Source<'_>)> {
    let latency = measured.reports.latency.iter();
    let latency =
        latency.map(|(name, distribution)| (format!("report.{name}.p50"), Source::Quantile(distribution, 0.5)));
    latency.chain([("freshness.p50".to_owned(), Source::Quantile(&measured.reports.freshness, 0.5))])
}

/// Every figure that both runs have.
pub(super) fn changes(before: &Comparison, after: &Comparison) -> Vec<Change> {
    let mut bootstrap = Bootstrap::new(before.workload.workload.seed);
    let mut changes = Vec::new();
    for later in &after.platforms {
        let Some(earlier) = before.platforms.iter().find(|earlier| earlier.platform == later.platform) else {
            continue;
        };
        let floors = [sources(&earlier.floor), sources(&later.floor)];
        let was: BTreeMap<_, _> = sources(&earlier.figures).into_iter().chain(reports(earlier)).collect();
        for (figure, is) in sources(&later.figures).into_iter().chain(reports(later)) {
            let Some(was) = was.get(&figure) else { continue };
            let change = change(later.platform, &figure, [was, &is], &floors, &mut bootstrap);
            changes.extend(change);
        }
    }
    changes
}

fn change(
    platform: Platform,
    name: &str,
    [was, is]: [&Source<'_>; 2],
    floors: &[BTreeMap<String, Source<'_>>; 2],
    bootstrap: &mut Bootstrap,
) -> Option<Change> {
    let (before, after) = (was.figure(bootstrap)?, is.figure(bootstrap)?);
    let ratio = after.ratio(&before)?;
    let noise = match is {
        Source::Counted(_) => 0.0,
        _ => noise(name, floors, bootstrap),
    };
    let verdict = verdict(&ratio, noise, name == REQUESTS_PER_SECOND);
    let (before, after) = (before.value, after.value);
    Some(Change { platform, figure: name.to_owned(), before, after, ratio, noise, verdict })
}

/// How far the floor moved, either way.
fn noise(name: &str, floors: &[BTreeMap<String, Source<'_>>; 2], bootstrap: &mut Bootstrap) -> f64 {
    // A report is a request like the others.
    let name = if floors[0].contains_key(name) { name } else { "warm_p50" };
    let [was, is] = floors.each_ref().map(|floor| floor.get(name).and_then(|source| source.figure(bootstrap)));
    let ratio = was.zip(is).and_then(|(was, is)| is.ratio(&was));
    ratio.map_or(0.0, |ratio| ratio.value.max(ratio.value.recip()) - 1.0).max(LEAST_NOISE)
}

fn verdict(ratio: &Estimate, noise: f64, more_is_better: bool) -> Verdict {
    let (is_more, is_less) = (ratio.low > 1.0 + noise, ratio.high < 1.0 / (1.0 + noise));
    match (is_more, is_less) {
        (false, false) => Verdict::Tie,
        (is_more, _) if is_more == more_is_better => Verdict::Better,
        _ => Verdict::Worse,
    }
}

impl Change {
    /// By how much it is worse, as a share: 0.1 is 10 %; below 0 it is better.
    pub(super) fn worse_by(&self) -> f64 {
        if self.figure == REQUESTS_PER_SECOND { self.ratio.value.recip() - 1.0 } else { self.ratio.value - 1.0 }
    }
}
