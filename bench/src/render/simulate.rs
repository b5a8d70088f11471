//! A simulation as a table for people, with policies as rows. It is at most 120 characters wide, unless a policy's name
//! is longer than 26 characters.

use std::collections::BTreeMap;

use crate::model::simulate::check::Check;
use crate::model::simulate::report::{Figures, Goals, Report, Timeline};
use crate::model::simulate::time::Micros;
use crate::render::cost;
use crate::words::amount;

/// Number of columns for instances over time.
const COLUMNS: usize = 24;

/// The whole table.
pub(crate) fn render(report: &Report) -> String {
    let load = &report.trace;
    let mut text = format!(
        "{}{}: {} requests in {}, {} a second, {} in the busiest {} · seed {}\n\n",
        load.trace,
        if load.scale == 1.0 { String::new() } else { format!(" × {}", load.scale) },
        amount(load.requests as f64),
        Micros::from_seconds(load.seconds),
        short(load.requests_per_second),
        short(load.busiest_per_second),
        report
            .policies
            .first()
            .map_or_else(String::new, |figures| { Micros::from_seconds(figures.timeline.bin_seconds).to_string() }),
        report.seed,
    );
    let name = report.policies.iter().map(|figures| figures.policy.chars().count()).max().unwrap_or(0).max(6);
    text += &format!(
        "{:<name$} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>6} {:>11}  instances over time\n",
        "policy", "cold %", "waited %", "p50 ms", "p99 ms", "p99.9 ms", "mean", "peak", "USD/month"
    );
    for figures in &report.policies {
        text += &row(figures, report.cheapest.as_ref() == Some(&figures.policy), name);
    }
    text += &verdict(report);
    text += &cost::break_even(&report.break_even);
    text += &cost::pairs(&report.pairs);
    text += &report.check.as_ref().map(check).unwrap_or_default();
    text += &sources(report);
    text
}

fn row(figures: &Figures, is_cheapest: bool, name: usize) -> String {
    let latency = &figures.latency_ms;
    let row = format!(
        "{:<name$} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>6} {:>10}{} {}",
        figures.policy,
        short(100.0 * figures.cold_share),
        short(100.0 * figures.waited_share),
        short(latency.p50),
        short(latency.p99),
        short(latency.p999),
        short(figures.instances.mean),
        amount(figures.instances.peak as f64),
        format!("{:.2}", figures.cost.usd_month),
        if is_cheapest { "*" } else { " " },
        sparkline(&figures.timeline),
    );
    let refused = match figures.refused {
        0 => String::new(),
        refused => format!("{:name$}   refused {} requests: its queue was full\n", "", amount(refused as f64)),
    };
    let impossible =
        figures.impossible.iter().map(|one| format!("not possible: {}; possible: {}", one.problem, one.remedy));
    let impossible: String = impossible.map(|words| cost::wrapped(&words)).collect();
    format!("{}\n{refused}{impossible}", row.trim_end())
}

/// A sparkline of the largest number of instances in each part of the time. Zero is a blank.
fn sparkline(timeline: &Timeline) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bins = timeline.peak.len();
    let columns = bins.min(COLUMNS);
    let most = timeline.peak.iter().max().copied().unwrap_or(0).max(1);
    let level = |column: usize| {
        let part = &timeline.peak[column * bins / columns..(column + 1) * bins / columns];
        match part.iter().max().copied().unwrap_or(0) {
            0 => ' ',
            peak => LEVELS[((peak * 8).div_ceil(most) - 1) as usize],
        }
    };
    (0..columns).map(level).collect()
}

fn verdict(report: &Report) -> String {
    let Goals { p99_ms, cold_share } = report.goals;
    let p99 = p99_ms.map(|most| format!("p99 of at most {} ms", short(most)));
    let cold = cold_share.map(|most| format!("at most {} % cold", short(100.0 * most)));
    let goals: Vec<String> = [p99, cold].into_iter().flatten().collect();
    let goals = if goals.is_empty() { String::new() } else { format!(" with {}", goals.join(" and ")) };
    match &report.cheapest {
        Some(policy) => format!("\n* the cheapest{goals}: {policy}\n"),
        None => format!("\nno policy{goals} that refuses nothing\n"),
    }
}

/// The simulation beside what was observed.
pub(crate) fn check(check: &Check) -> String {
    let observed = &check.observed;
    let init = observed
        .init_ms
        .map_or_else(String::new, |init| format!(", init p50 {} p99 {} ms", short(init.p50), short(init.p99)));
    format!(
        "\nobserved   {} requests, {} % cold{init}, duration p50 {} p99 {} ms, {} MB, {} GB-s billed\n\
         simulated  {} % cold, {} GB-s: {:+.2} points of cold requests, {:+.1} % of the bill (Lambda, the same arrivals)\n",
        amount(observed.requests as f64),
        short(100.0 * observed.cold_share),
        short(observed.duration_ms.p50),
        short(observed.duration_ms.p99),
        amount(observed.memory_mb),
        short(observed.gb_seconds),
        short(100.0 * check.simulated_cold_share),
        short(check.simulated_gb_seconds),
        100.0 * check.cold_share_error,
        100.0 * check.bill_error,
    )
}

/// Each source once, with the policies that use it.
fn sources(report: &Report) -> String {
    let mut all: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for figures in &report.policies {
        for (what, source) in &figures.sources {
            let platform = figures.policy.split(',').next().unwrap_or_default();
            let platforms = all.entry((what, source)).or_default();
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
    }
    let mut text = "\n".to_owned();
    for ((what, source), platforms) in all {
        text += &format!("{what:<10} {source} ({})\n", platforms.join(", "));
    }
    let free = if report.prices.free_tier { "with" } else { "without" };
    text + &format!(
        "prices     {}, {free} Lambda's free tier; the whole path, as `isotherm cost` has it\n\
         cold: waited for an instance to start, wholly or in part; latency: without the network\n",
        report.prices.on
    )
}

/// A number with three significant digits.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v >= 99.95 => amount(v),
        v if v >= 9.995 => format!("{v:.1}"),
        v if v >= 0.9995 => format!("{v:.2}"),
        v if v >= 0.0005 => format!("{v:.3}"),
        v => format!("{v:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let shown = [0.0, 0.000_012, 0.1234, 1.0, 12.34, 123.4, 12_345.6].map(short);
        assert_eq!(shown, ["0", "1e-5", "0.123", "1.00", "12.3", "123", "12,346"]);
    }

    #[test]
    fn instances_over_time_are_drawn_to_the_peak() {
        let timeline =
            |peak: Vec<u64>| Timeline { bin_seconds: 1.0, requests: vec![], cold: vec![], instances: vec![], peak };
        assert_eq!(sparkline(&timeline(vec![0, 1, 4, 8])), " ▁▄█");
        assert_eq!(sparkline(&timeline(vec![3; 512])), "█".repeat(COLUMNS));
        assert_eq!(sparkline(&timeline(vec![])), "");
    }
}
