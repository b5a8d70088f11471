//! Cold starts in parts, with what others have published, and what is expected of both together.
//!
//! One machine can't show the placement of a microVM, the download of code, or a platform's own processors. So a
//! published start stands in for the floor's, and what Isotherm adds to its floor here is added to it. If the addition
//! costs there what it costs here, that is the sum. If it grows as much as the floor's own start does, it is the
//! product: the published start times the multiple of the floor. Both ends make the range.

use anyhow::{Context, Result};
use isotherm_hosts::Platform;
use serde::Deserialize;

use crate::figures::added::added;
use crate::model::simulate::published;
use crate::results::{Comparison, Measured};
use crate::stats::{Estimate, quantile};

const STATED: &str = include_str!("../../published.toml");

/// The recordings of a Rust function on the operating system that the template deploys to.
const RECORDED: &str = "rust-al2023";
const RECORDED_BY: &str = "lambda-perf, Rust on al2023, zip, 2026-08-01 to 2026-08-22";
/// The processor and memory that the template deploys.
const DEPLOYED: (&str, u32) = ("x86", 256);

/// The cold start of one platform, in parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Start {
    pub(crate) platform: Platform,
    /// Until an instance is ready, in ms.
    pub(crate) init: Estimate,
    /// The first request on top of that, in ms, by the medians.
    pub(crate) first_request: f64,
    /// What Isotherm adds to the floor's init.
    pub(crate) adds: Estimate,
    pub(crate) published: Option<Published>,
    /// What `init` is expected to be on the platform, with its range; `None` where nothing is published.
    pub(crate) expected: Option<Estimate>,
}

/// A published start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Published {
    /// What is published, in words.
    pub(crate) words: String,
    /// Who published it, and when.
    pub(crate) source: String,
    /// The median, or the stated bound, in ms.
    pub(crate) ms: f64,
    /// Whether `ms` is a bound.
    pub(crate) is_bound: bool,
}

/// The recorded starts of one processor and memory size, with what is expected there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) arch: &'static str,
    pub(crate) memory_mb: u32,
    /// Number of recorded starts.
    pub(crate) n: usize,
    /// Published quantiles in ms: p50, p90 and p99.
    pub(crate) published: [f64; 3],
    pub(crate) expected: Estimate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    /// The day on which the sources were read.
    #[expect(dead_code, reason = "for whoever edits the file")]
    checked: String,
    start: Vec<Statement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    platform: String,
    words: String,
    under_ms: f64,
    source: String,
    address: String,
}

/// The cold starts of a run's platforms. Platforms with wrong answers are left out.
pub(crate) fn starts(result: &Comparison) -> Vec<Start> {
    result.platforms.iter().filter(|measured| measured.errors == 0).filter_map(start).collect()
}

fn start(measured: &Measured) -> Option<Start> {
    let of = added(measured, "cold_init_p50")?;
    let cold = &measured.figures.cold;
    let multiple = of.multiple.unwrap_or(Estimate { value: 1.0, low: 1.0, high: 1.0 });
    let (published, expected) = match measured.platform {
        Platform::Lambda => {
            let recorded = recorded(measured).into_iter().find(|of| (of.arch, of.memory_mb) == DEPLOYED)?;
            let [p50, p90, p99] = recorded.published.map(|ms| format!("{ms:.1}"));
            let words = format!(
                "on {} with {} MB a hello function's init of {p50} ms (p90 {p90}, p99 {p99}, n = {})",
                recorded.arch, recorded.memory_mb, recorded.n
            );
            let [ms, ..] = recorded.published;
            let published = Published { words, source: RECORDED_BY.to_owned(), ms, is_bound: false };
            (Some(published), Some(recorded.expected))
        }
        // A server that is always there has no cold start that a platform could publish.
        Platform::Native => (None, None),
        Platform::Workers | Platform::Spin => match stated(measured.platform) {
            Some(published) => {
                let expected = expected(published.ms, 0.0, of.difference, multiple);
                (Some(published), Some(expected))
            }
            None => (None, None),
        },
    };
    Some(Start {
        platform: measured.platform,
        init: of.own,
        first_request: (cold.first_response.p50.value - of.own.value).max(0.0),
        adds: of.difference,
        published,
        expected,
    })
}

/// The expected start where `ms` is published. `least` is the published start's own lower end.
fn expected(ms: f64, least: f64, adds: Estimate, multiple: Estimate) -> Estimate {
    let value = ms + adds.value.max(0.0);
    Estimate {
        value,
        low: (least + adds.low.max(0.0)).min(value),
        high: (ms * multiple.high.max(1.0)).max(ms + adds.high.max(0.0)),
    }
}

/// What is expected of Lambda for each recorded processor and memory size.
pub(crate) fn recorded(measured: &Measured) -> Vec<Recorded> {
    let Some(of) = added(measured, "cold_init_p50").filter(|_| measured.platform == Platform::Lambda) else {
        return Vec::new();
    };
    let multiple = of.multiple.unwrap_or(Estimate { value: 1.0, low: 1.0, high: 1.0 });
    let one = |arch: &'static str, memory_mb: u32| {
        let samples = published::init(&format!("{RECORDED}-{arch}-{memory_mb}")).ok()?;
        let ms: Vec<f64> = samples.iter().map(|sample| sample.ms()).collect();
        let published = [0.5, 0.9, 0.99].map(|q| quantile(&ms, q));
        let expected = expected(published[0], published[0], of.difference, multiple);
        Some(Recorded { arch, memory_mb, n: ms.len(), published, expected })
    };
    ["x86", "arm"]
        .into_iter()
        .flat_map(|arch| [128, 256, 512, 1024].map(|memory| one(arch, memory)))
        .flatten()
        .collect()
}

fn stated(platform: Platform) -> Option<Published> {
    let statement = statements().ok()?.into_iter().find(|statement| statement.platform == platform.name())?;
    let Statement { words, under_ms, source, address, .. } = statement;
    Some(Published { words, source: format!("{source}, {address}"), ms: under_ms, is_bound: true })
}

fn statements() -> Result<Vec<Statement>> {
    Ok(toml::from_str::<Stated>(STATED).context("the program's own list of published starts")?.start)
}

/// Why the recordings say ten times what a run here measures.
pub(crate) fn why_more(measured: &Measured) -> Option<String> {
    let recorded = recorded(measured);
    let at = |memory: u32| recorded.iter().find(|of| (of.arch, of.memory_mb) == (DEPLOYED.0, memory));
    let (least, most) = (at(128)?, at(1024)?);
    let own = measured.floor.cold.init.p50.value;
    Some(format!(
        "A hello function in Rust starts here in {own:.1} ms, and in {:.1} ms by the recordings. Less memory, and with it \
         a smaller share of a processor, is not why: with 128 MB it is {:.1} ms, with 1,024 MB {:.1} ms. What is recorded \
         and not here is the platform's: a microVM that has just been placed, with cold caches and nothing of the program \
         in memory, and AWS's clock around all of it. Here the program's pages are in memory, and the clock runs from the \
         start of the process to its first request for work.",
        least.published[0], least.published[0], most.published[0]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn what_is_expected_lies_between_the_sum_and_the_product() {
        let result = sample();
        let starts = starts(&result);
        let lambda = &starts[0];
        let (published, expected) = (lambda.published.as_ref().unwrap(), lambda.expected.unwrap());
        assert_eq!((published.ms * 10.0).round() / 10.0, 15.6);
        assert!((expected.value - published.ms - lambda.adds.value.max(0.0)).abs() < 1e-9);
        assert!(expected.low <= expected.value && expected.value < expected.high, "{expected:?}");
        assert!(published.words.contains("256 MB") && published.source.contains("2026-08"), "{published:?}");
        let workers = &starts[1];
        assert!(workers.published.as_ref().unwrap().is_bound);
        assert!(workers.expected.unwrap().high >= 5.0 + workers.adds.value);
        assert_eq!((starts[3].platform, &starts[3].published, starts[3].expected), (Platform::Native, &None, None));
    }

    #[test]
    fn lambda_is_expected_by_processor_and_memory() {
        let result = sample();
        let recorded = recorded(&result.platforms[0]);
        let of: Vec<_> = recorded.iter().map(|of| (of.arch, of.memory_mb)).collect();
        assert_eq!((of.len(), of[0], of[7]), (8, ("x86", 128), ("arm", 1024)));
        assert!(recorded.iter().all(|of| of.n > 200 && of.published[0] < of.published[1]));
        assert!(super::recorded(&result.platforms[1]).is_empty());
        let why = why_more(&result.platforms[0]).unwrap();
        assert!(why.contains("15.9 ms") && why.contains("15.7 ms"), "{why}");
    }

    #[test]
    fn every_statement_has_a_platform_and_a_source() {
        for statement in statements().unwrap() {
            assert!(Platform::named(&statement.platform).is_some(), "{}", statement.platform);
            assert!(statement.source.contains("20") && statement.address.starts_with("https://"));
        }
    }
}
