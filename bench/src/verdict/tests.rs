//! Tests the verdict on results that are made up for it.

use isotherm_hosts::Platform;

use super::*;
use crate::results::NotStarted;
use crate::results::tests::{priced, sample};

/// A result with the given medians, intervals of 5 % to either side, floors of half of it, and enough samples for the
/// 99th percentile.
fn result(of: &[(Platform, f64, f64)]) -> Comparison {
    let mut result = sample();
    result.not_started.clear();
    result.platforms.retain(|measured| of.iter().any(|(platform, ..)| *platform == measured.platform));
    for (measured, (_, cold, warm)) in result.platforms.iter_mut().zip(of) {
        for (figures, part) in [(&mut measured.figures, 1.0), (&mut measured.floor, 0.5)] {
            let cold = part * cold;
            for (distribution, p50) in [
                (&mut figures.cold.init, cold),
                (&mut figures.cold.first_response, cold),
                (&mut figures.warm.latency, part * warm),
            ] {
                distribution.n = 100;
                distribution.p50 = around(p50);
                distribution.p99 = around(2.0 * p50);
            }
        }
        for name in ["cold_init_p50", "cold_first_response_p50", "warm_p50"] {
            measured.ratio.insert(name.to_owned(), around(2.0));
        }
    }
    result
}

fn around(value: f64) -> Estimate {
    Estimate { value, low: 0.95 * value, high: 1.05 * value }
}

#[track_caller]
fn check(result: &Comparison, expect: &[&str], not: &[&str]) {
    let text = Verdict::of(result).lines().join("\n").replace('\u{a0}', " ");
    for part in expect {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    for part in not {
        assert!(!text.contains(part), "`{part}` in\n{text}");
    }
}

#[test]
fn what_is_added_to_the_floor_leads_and_unlike_scopes_have_no_winner() {
    check(
        &result(&[(Platform::Lambda, 4.0, 2.0), (Platform::Native, 8.0, 1.0)]),
        &[
            "Cold start, until ready: Isotherm adds 2.00 ms (1.78–2.22) to Lambda's floor (2.00 ms, 2.00×) and \
             4.00 ms (3.55–4.45) to native's floor (4.00 ms, 2.00×) (median of 100). No winner, since scopes differ: process \
             start in Lambda; process start, HTTP, store in native.",
            "Warm latency: Isotherm adds 1.00 ms (0.888–1.11) to Lambda's floor",
            "No winner, since scopes differ: HTTP (emulated), store (emulated) in Lambda; HTTP, store, flush in native.",
            "Throughput: Isotherm answers 12,345 requests/s on Lambda (its floor: 12,345 requests/s, 0.01×) and ",
        ],
        &["tie", "ahead", "99th", "Spin", "Fastest", "Cheapest"],
    );
    let verdict = Verdict::of(&result(&[(Platform::Lambda, 4.0, 2.0), (Platform::Native, 8.0, 1.0)]));
    assert!(verdict.answers.iter().take(3).all(|answer| answer.answer == "No winner: scopes differ"));
    assert_eq!(
        (verdict.answers[0].basis[1].floor, verdict.answers[0].basis[1].shown.as_str()),
        (Some(4.0), "+4.00\u{a0}ms · 2.00×")
    );
}

#[test]
fn equal_scopes_are_ranked_and_every_tie_is_named() {
    let of = [
        (Platform::Lambda, 4.0, 0.1),
        (Platform::Workers, 4.3, 9.0),
        (Platform::Spin, 9.0, 9.2),
        (Platform::Native, 1.0, 2.0),
    ];
    check(
        &result(&of),
        &[
            "Equal in scope (HTTP, store, flush): native with 2.00 ms (1.90–2.10) is ahead; Workers with 9.00 ms (8.55–9.45) and Spin with \
             9.20 ms (8.74–9.66) follow and can't be told apart, 4.50 times that.",
            "No winner over all, since scopes differ: HTTP (emulated), store (emulated) in Lambda.",
        ],
        &["Lambda is ahead", "Lambda with 0.1"],
    );
    let warm = &Verdict::of(&result(&of)).answers[2];
    assert_eq!((warm.question, warm.answer.as_str()), ("Warm latency", "native before Workers and Spin"));
    let tied = result(&[(Platform::Spin, 4.0, 2.0), (Platform::Native, 8.0, 2.1)]);
    check(
        &tied,
        &["Spin with 2.00 ms (1.90–2.10) and native with 2.10 ms (1.99–2.21) can't be told apart."],
        &["No winner over"],
    );
    assert_eq!(Verdict::of(&tied).answers[2].answer, "Tie: Spin and native");
}

#[test]
fn the_tail_may_have_another_order() {
    let mut other = result(&[(Platform::Spin, 4.0, 1.0), (Platform::Native, 8.0, 2.0)]);
    other.platforms[0].figures.warm.latency.p99 = around(9.0);
    check(
        &other,
        &["Warm latency: at the 99th percentile native with 4.00 ms (3.80–4.20) is ahead; Spin with 9.00 ms"],
        &[],
    );
    other.platforms[0].figures.warm.latency.n = 99;
    check(&other, &[], &["99th percentile native"]);
}

#[test]
fn a_platform_alone_is_compared_with_its_floor_only() {
    check(
        &result(&[(Platform::Native, 4.0, 2.0)]),
        &["Isotherm adds 2.00 ms (1.78–2.22) to native's floor (2.00 ms, 2.00×) (median of 100)."],
        &["No winner", "ahead", "told apart", "Lambda adds"],
    );
}

#[test]
fn what_is_less_than_the_floor_is_said_so() {
    let mut result = result(&[(Platform::Native, 4.0, 2.0)]);
    result.platforms[0].floor.warm.latency.p50 = around(3.0);
    check(&result, &["Isotherm adds −1.00 ms (0.820–1.18) to native's floor (3.00 ms, 2.00×)"], &[]);
    result.platforms[0].floor.warm.latency.p50 = around(2.0);
    check(
        &result,
        &["Isotherm adds nothing that can be told from 0 (less than 141 µs) to native's floor (2.00 ms, 2.00×)"],
        &[],
    );
}

#[test]
fn published_starts_make_an_expected_one_and_nothing_published_makes_none() {
    check(
        &result(&[(Platform::Lambda, 4.0, 2.0), (Platform::Workers, 6.0, 3.0), (Platform::Native, 8.0, 1.0)]),
        &[
            "Cold start, deployed: Lambda: on x86 with 256 MB a hello function's init of 15.6 ms (p90 18.5, p99 49.0, n = 208) is published \
             (lambda-perf, Rust on al2023, zip, 2026-08-01 to 2026-08-22); ",
            "with what Isotherm adds here that makes 17.6 ms (17.4–32.8).",
            "Workers: an isolate's start in under 5 ms is published (Cloudflare, ",
            "For native nothing is published, so nothing is expected. [modelled]",
        ],
        &[],
    );
}

#[test]
fn what_was_not_measured_rightly_is_told_and_not_judged() {
    let mut result = result(&[(Platform::Lambda, 4.0, 2.0), (Platform::Spin, 8.0, 1.0)]);
    result.platforms[0].errors = 1234;
    result.not_started.push(NotStarted { platform: Platform::Workers, reason: "no workerd.".into() });
    result.workload.is_quick = true;
    check(
        &result,
        &[
            "to Spin's floor",
            "Warning: Lambda is not judged: 1,234 of its answers, or of its floor's, were missing or wrong.",
            "Warning: Workers was not measured, it can't be started: no workerd.",
            "Note: A quick run, with 100 cold starts of each: decide by a whole one.",
            "Note: Measured on one machine: ",
            "Note: The smallest difference between two platforms that this run sees with a chance of 80 %: ",
        ],
        &["Lambda's floor"],
    );
    result.platforms[1].errors = 1;
    assert!(Verdict::of(&result).answers.is_empty());
}

#[test]
fn prices_say_which_is_cheapest_and_until_when() {
    check(
        &priced(),
        &[
            "Cost: Native with 0.870 USD (0.820–0.920) and Workers with 0.900 USD (0.850–0.950) can't be told apart for a million events \
             at 10 million events a month; Lambda with 4.20 USD (4.15–4.25) follows. [modelled]",
            "Cost: Lambda is cheapest below 1.52 million events a month, Workers above; there either costs 6.40 USD a month. [modelled]",
            "Cost: Workers is cheapest below 56.5 million events a month, native above",
        ],
        &[],
    );
    assert_eq!([1e3, 1.2e6, 3e9, 123_456.0].map(volume), ["1,000", "1.2 million", "3 billion", "123,456"]);
}

#[test]
fn of_nothing_there_are_no_multiples() {
    let mut result = result(&[(Platform::Spin, 4.0, 2.0), (Platform::Native, 8.0, 1.0)]);
    result.platforms[1].figures.cpu.ms_per_request = Estimate { value: 0.0, low: 0.0, high: 0.0 };
    check(&result, &["native with 0 µs is ahead; Spin with 8.10 ms"], &["inf", "NaN"]);
}
