//! Tests the verdict on results that are made up for it.

use super::*;
use crate::compare::figures::ranking;
use crate::compare::result::NotStarted;
use crate::compare::result::tests::{priced, sample};

/// A result with the given medians, intervals of 5 % to either side, and enough samples for the 99th percentile.
fn result(of: &[(Platform, f64, f64)]) -> Comparison {
    let mut result = sample();
    result.not_started.clear();
    result.platforms.retain(|measured| of.iter().any(|(platform, ..)| *platform == measured.platform));
    for (measured, (_, cold, warm)) in result.platforms.iter_mut().zip(of) {
        let figures = &mut measured.figures;
        for (distribution, p50) in [(&mut figures.cold.first_response, *cold), (&mut figures.warm.latency, *warm)] {
            distribution.n = 100;
            distribution.p50 = around(p50);
            distribution.p99 = around(2.0 * p50);
        }
    }
    result.ranking = ranking(&result.platforms);
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
fn the_best_is_named_with_the_next_and_by_how_much() {
    check(
        &result(&[(Platform::Lambda, 4.0, 2.0), (Platform::Native, 8.0, 1.0)]),
        &[
            "Fastest cold: Lambda takes 4.00 ms (3.80–4.20) from a cold start to the first byte of the answer (median of 100); \
             native follows with 8.00 ms (7.60–8.40), 2.00 times as long.",
            "Fastest warm: Native takes 1.00 ms (0.950–1.05) to answer at 100 requests/s (median); Lambda follows with 2.00 ms (1.90–2.10), 2.00 times as long.",
            "Highest throughput: Lambda answers 12,345 requests/s (12,098–12,715) over 8 connections; that is 121 times as many as native with 102 requests/s",
            "Cold against warm: Native has the lower mean of the two while fewer than 20.0 % (",
        ],
        &["tie", "99th", "Spin", "Cheapest"],
    );
}

#[test]
fn overlapping_intervals_are_called_a_tie() {
    let result = result(&[(Platform::Lambda, 4.0, 1.0), (Platform::Workers, 4.3, 1.0), (Platform::Spin, 9.0, 1.0)]);
    check(
        &result,
        &[
            "Fastest cold: Lambda and Workers tie: they take 4.00 ms (3.80–4.20) and 4.30 ms (4.08–4.51) from",
            "and can't be told apart. Spin follows with 9.00 ms",
            "Fastest warm: Lambda, Workers and Spin tie: they take",
        ],
        &["Cold against warm"],
    );
    let cold = &Verdict::of(&result).answers[0];
    assert_eq!((cold.answer.as_str(), cold.basis.len()), ("Tie: Lambda and Workers", 3));
    assert_eq!(cold.basis[0].estimate, around(4.0));
}

#[test]
fn the_tail_may_have_another_order() {
    let mut other = result(&[(Platform::Lambda, 4.0, 1.0), (Platform::Spin, 8.0, 2.0)]);
    other.platforms[0].figures.cold.first_response.p99 = around(90.0);
    other.platforms[1].figures.warm.latency.p99 = around(2.1);
    check(
        &other,
        &[
            "Cold: at the 99th percentile Spin with 16.0 ms (15.2–16.8) leads; Lambda, first at the median, has 90.0 ms (85.5–94.5).",
            "Warm: at the 99th percentile the lead of Lambda is gone, they can't be told apart: Lambda with 2.00 ms (1.90–2.10) and Spin with 2.10 ms",
            "Lambda leads both ways, so no share of cold starts makes another faster.",
        ],
        &[],
    );
    other.platforms[0].figures.cold.first_response.n = 99;
    check(&other, &["Warm: at the 99th"], &["Cold: at the 99th"]);
}

#[test]
fn the_share_at_which_cold_and_warm_meet_has_the_means_meet() {
    let result = result(&[(Platform::Lambda, 4.0, 2.0), (Platform::Native, 8.0, 1.0)]);
    let verdict = Verdict::of(&result);
    let flip = verdict.flips.iter().find(|flip| flip.kind == Kind::Modelled).unwrap();
    let Estimate { value, low, high } = flip.basis[0].estimate;
    let share = value / 100.0;
    let mean = |cold: f64, warm: f64| share * cold + (1.0 - share) * warm;
    assert!((mean(4.0, 2.0) - mean(8.0, 1.0)).abs() < 1e-12);
    assert!(low < value && value < high, "{low} {value} {high}");
}

#[test]
fn one_platform_is_best_of_nothing() {
    let text = "takes 4.00 ms (3.80–4.20) from a cold start to the first byte of the answer (median of 100); \
                there is nothing to compare it with.";
    check(&result(&[(Platform::Native, 4.0, 2.0)]), &[text], &["tie", "Cold against warm", "follows", "Lambda"]);
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
            "Fastest cold: Spin takes 8.00 ms",
            "Warning: Lambda is not judged: 1,234 of its answers, or of its floor's, were missing or wrong.",
            "Warning: Workers was not measured, it can't be started: no workerd.",
            "Note: A quick run, with 100 cold starts of each: decide by a whole one.",
            "Note: Measured on one machine: ",
        ],
        &["Lambda takes", "Lambda follows"],
    );
    result.platforms[1].errors = 1;
    assert!(Verdict::of(&result).answers.is_empty());
}

#[test]
fn prices_say_which_is_cheapest_and_until_when() {
    check(
        &priced(),
        &[
            "Cheapest: Native and Workers tie: they cost 0.870 USD (0.820–0.920) and 0.900 USD (0.850–0.950) for a million events \
             at 10 million events a month, and can't be told apart. Lambda follows with 4.20 USD",
            "Cost: Lambda is cheapest below 1.52 million events a month, Workers above; there either costs 6.40 USD a month. [modelled]",
            "Cost: Workers is cheapest below 56.5 million events a month, native above",
        ],
        &[],
    );
    assert_eq!([1e3, 1.2e6, 3e9, 123_456.0].map(volume), ["1,000", "1.2 million", "3 billion", "123,456"]);
}

#[test]
fn of_nothing_there_are_no_multiples() {
    let mut result = result(&[(Platform::Lambda, 4.0, 2.0), (Platform::Native, 8.0, 1.0)]);
    result.platforms[1].figures.cpu.ms_per_request = Estimate { value: 0.0, low: 0.0, high: 0.0 };
    check(
        &result,
        &["Least CPU time: Native uses 0 µs of CPU time a request; Lambda follows with 100 µs (98.0–103).\n"],
        &["inf", "NaN"],
    );
}
