//! The comparison as a person reads it: figures as rows, platforms as columns, at most 120 characters wide.

use std::collections::BTreeMap;

use isotherm_hosts::Platform;

use crate::compare::figures::estimate;
use crate::compare::progress;
use crate::compare::result::{Comparison, Figures, Measured};
use crate::stats::Estimate;
use crate::workload::{Arrival, Mix, Reports};

const WIDTH: usize = 120;
const LABEL: usize = 16;
const GAP: usize = 2;

/// Parts of a cell: `value interval ratio*`.
const VALUE: usize = 5;
const INTERVAL: usize = 11;
const RATIO: usize = 5;
const CELL: usize = VALUE + 1 + INTERVAL + 1 + RATIO + 1;

const _: () = assert!(LABEL + 4 * (CELL + GAP) <= WIDTH, "four platforms must fit");

/// One line of figures: its label, the figure's name, and whether it has a unit of its own.
struct Line(&'static str, &'static str, Unit);

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    /// Named in the heading; the interval is shown.
    Plain,
    /// Shown in the interval's place.
    Bytes,
}

/// The whole table; `costs` are USD for a million events.
pub(super) fn render(result: &Comparison, costs: &BTreeMap<Platform, f64>) -> String {
    let mut text = head(result);
    let platforms = &result.platforms;
    text.push_str(&words("", platforms.iter().map(|measured| measured.platform.to_string())));
    let runtimes: Vec<Vec<String>> = platforms
        .iter()
        .map(|measured| wrapped(&format!("{} {}", measured.figures.runtime.name, measured.figures.runtime.version)))
        .collect();
    for place in 0..runtimes.iter().map(Vec::len).max().unwrap_or(0) {
        let label = if place == 0 { "runtime" } else { "" };
        text.push_str(&words(label, runtimes.iter().map(|lines| lines.get(place).cloned().unwrap_or_default())));
    }
    for (title, lines) in sections(result) {
        text.push_str(&format!("\n{title}\n"));
        for line in lines {
            text.push_str(&figures(&line, result));
        }
    }
    text.push_str(&reports(result));
    text.push_str(&cost(result, costs));
    text.push('\n');
    text.push_str(&words("errors", platforms.iter().map(|measured| grouped(measured.errors))));
    text.push_str(&words("events sent", platforms.iter().map(|measured| grouped(measured.replay.sent))));
    let there = |measured: &Measured| {
        format!("{} of {}", grouped(measured.replay.verified), grouped(result.workload.events as u64))
    };
    text.push_str(&words("there at the end", platforms.iter().map(there)));
    text.push_str("\na–b: 95 % interval   ×: multiple of the floor's figure   *: best of its line, or tied with it: their intervals overlap\n");
    text.push_str(&floors(result));
    for missing in &result.not_started {
        text.push_str(&format!("\n{} is left out, it can't be started: {}\n", missing.platform, missing.reason));
    }
    text
}

fn head(result: &Comparison) -> String {
    let Comparison { machine, workload, .. } = result;
    let commit = machine.commit.as_ref().map_or_else(String::new, |commit| {
        let id: String = commit.id.chars().take(10).collect();
        format!(" · commit {id}{}", if commit.dirty { ", modified" } else { "" })
    });
    format!(
        "isotherm compare · {}: {} events of {} · seed {}{}\n{} · {} cores, {} GB · {}, Linux {}\n{} · {}{commit}\n\n",
        workload.workload.name,
        grouped(workload.events as u64),
        workload.source,
        workload.workload.seed,
        if workload.is_quick { " · quick" } else { "" },
        machine.cpu,
        machine.cores,
        short(machine.memory_bytes as f64 / 1e9),
        machine.os,
        machine.kernel,
        machine.time,
        progress::time(machine.seconds),
    )
}

fn sections(result: &Comparison) -> Vec<(String, Vec<Line>)> {
    let workload = &result.workload.workload;
    let (warm, throughput) = (&workload.warm, &workload.throughput);
    let arrival = match warm.arrival {
        Arrival::Poisson => "Poisson arrivals",
        Arrival::Constant => "even gaps",
    };
    vec![
        (
            "artifact".to_owned(),
            vec![Line("raw", "artifact_raw", Unit::Bytes), Line("gzip -9", "artifact_gzip", Unit::Bytes)],
        ),
        (
            format!("cold start until ready, ms · n = {}", workload.cold.samples),
            vec![
                Line("p50", "cold_init_p50", Unit::Plain),
                Line("p90", "cold_init_p90", Unit::Plain),
                Line("p99", "cold_init_p99", Unit::Plain),
            ],
        ),
        (
            format!("cold start until the first response, POST /events included, ms · n = {}", workload.cold.samples),
            vec![
                Line("p50", "cold_first_response_p50", Unit::Plain),
                Line("p90", "cold_first_response_p90", Unit::Plain),
                Line("p99", "cold_first_response_p99", Unit::Plain),
            ],
        ),
        (
            format!(
                "warm latency, ms · open loop, {} requests/s, {arrival}, {} s · {}",
                warm.rate,
                warm.seconds,
                mixed(&warm.mix, &warm.batch_sizes)
            ),
            vec![
                Line("p50", "warm_p50", Unit::Plain),
                Line("p90", "warm_p90", Unit::Plain),
                Line("p99", "warm_p99", Unit::Plain),
            ],
        ),
        (
            format!(
                "throughput · closed loop, {} connections, at least {} s · {}",
                throughput.connections,
                throughput.seconds,
                mixed(&throughput.mix, &throughput.batch_sizes)
            ),
            vec![
                Line("requests/s", "requests_per_second", Unit::Plain),
                Line("events/s", "events_per_second", Unit::Plain),
                Line("CPU ms/request", "cpu_ms_per_request", Unit::Plain),
                Line("peak RSS", "memory_peak_rss", Unit::Bytes),
            ],
        ),
    ]
}

/// Such as `70 % single, 10 % batches of 10–100, 20 % look-ups`.
fn mixed(mix: &Mix, batch_sizes: &[usize]) -> String {
    let all = f64::from(mix.single) + f64::from(mix.batch) + f64::from(mix.get);
    let batches = match (batch_sizes.iter().min(), batch_sizes.iter().max()) {
        (Some(low), Some(high)) if low < high => format!("batches of {low}–{high}"),
        (Some(size), _) => format!("batches of {size}"),
        _ => "batches".to_owned(),
    };
    [(mix.single, "single"), (mix.batch, &batches), (mix.get, "look-ups")]
        .iter()
        .filter(|(weight, _)| *weight > 0)
        .map(|(weight, route)| format!("{:.0} % {route}", 100.0 * f64::from(*weight) / all))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Words in lines that fit into a cell.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= CELL => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Text for each platform, below its column.
fn words(label: &str, cells: impl Iterator<Item = String>) -> String {
    line(label, cells.map(|cell| cell.chars().take(CELL).collect()))
}

fn figures(Line(label, name, unit): &Line, result: &Comparison) -> String {
    let best: &[Platform] = result.ranking.get(*name).and_then(|groups| groups.first()).map_or(&[], Vec::as_slice);
    let cells = result.platforms.iter().map(|measured| {
        let ratio = measured.ratio.get(*name).map_or_else(String::new, |ratio| format!("{}×", multiple(ratio.value)));
        // With one platform there is nothing to be best of.
        let star = if result.platforms.len() > 1 && best.contains(&measured.platform) { "*" } else { "" };
        format!("{} {ratio:>RATIO$}{star}", value(&measured.figures, name, *unit))
    });
    line(&format!("  {label}"), cells)
}

/// Medians of each report and of freshness; floors have neither.
fn reports(result: &Comparison) -> String {
    let Reports { samples, fresh, queries } = &result.workload.workload.reports;
    let mut text = format!(
        "\nreports over all events, p50, ms · n = {samples}; fresh: from 202 until one counts it · n = {fresh}\n"
    );
    let mut add = |label: &str, of: &dyn Fn(&Measured) -> Option<Estimate>| {
        let cells = result.platforms.iter().map(|measured| of(measured).map_or_else(String::new, |p50| shown(&p50)));
        text.push_str(&line(&format!("  {label:.13}"), cells));
    };
    for name in queries.keys() {
        add(name, &|measured| measured.reports.latency.get(name).map(|latency| latency.p50));
    }
    add("fresh", &|measured| Some(measured.reports.freshness.p50));
    text
}

/// What a million events cost, the whole path of them.
fn cost(result: &Comparison, costs: &BTreeMap<Platform, f64>) -> String {
    let title = "cost by list prices, no unit free, storage of 90 days included · `isotherm cost --from` itemises it";
    let usd =
        |measured: &Measured| costs.get(&measured.platform).map_or_else(String::new, |usd| format!("{usd:>VALUE$.2}"));
    format!("\n{title}\n{}", line("  USD/M events", result.platforms.iter().map(usd)))
}

/// The floors' own figures, without intervals.
fn floors(result: &Comparison) -> String {
    let mut text = "\nfloors: the smallest hello function on the same runtime, in the same run\n".to_owned();
    for Line(label, name, unit) in [
        Line("artifact gzip", "artifact_gzip", Unit::Bytes),
        Line("ready p50", "cold_init_p50", Unit::Plain),
        Line("response p50", "cold_first_response_p50", Unit::Plain),
        Line("warm p50", "warm_p50", Unit::Plain),
        Line("warm p99", "warm_p99", Unit::Plain),
        Line("requests/s", "requests_per_second", Unit::Plain),
        Line("CPU ms/request", "cpu_ms_per_request", Unit::Plain),
        Line("peak RSS", "memory_peak_rss", Unit::Bytes),
    ] {
        let cells = result.platforms.iter().map(|measured| value(&measured.floor, name, unit));
        text.push_str(&line(&format!("  {label}"), cells));
    }
    text
}

fn value(figures: &Figures, name: &str, unit: Unit) -> String {
    let Some(estimate) = estimate(figures, name) else { return String::new() };
    if unit == Unit::Bytes {
        let (size, unit) = if estimate.value < 1e6 { (1e3, "kB") } else { (1e6, "MB") };
        return format!("{:>VALUE$} {unit:<INTERVAL$}", short(estimate.value / size));
    }
    shown(&estimate)
}

fn shown(estimate: &Estimate) -> String {
    let interval = format!("{}–{}", short(estimate.low), short(estimate.high));
    format!("{:>VALUE$} {interval:<INTERVAL$}", short(estimate.value))
}

fn line(label: &str, cells: impl Iterator<Item = String>) -> String {
    let mut text = format!("{label:<LABEL$}");
    for cell in cells {
        text.push_str(&format!("{:GAP$}{cell:<CELL$}", ""));
    }
    format!("{}\n", text.trim_end())
}

/// Three digits that count, thousands as `k`: never wider than five characters below 10 billion.
fn short(value: f64) -> String {
    match value {
        v if v.is_nan() => "–".to_owned(),
        v if v >= 9_999_500.0 => format!("{}M", short(v / 1e6)),
        v if v >= 9_999.5 => format!("{}k", short(v / 1e3)),
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v if v >= 0.9995 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

/// A ratio: two decimals below 10.
fn multiple(value: f64) -> String {
    if value < 9.995 { format!("{value:.2}") } else { short(value) }
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_fit() {
        let shown = [0.0, 0.01234, 0.9996, 1.0, 9.996, 99.96, 1234.4, 9999.6, 123_456.0, 12_345_678.0].map(short);
        assert_eq!(shown, ["0.000", "0.012", "1.00", "1.00", "10.0", "100", "1234", "10.0k", "123k", "12.3M"]);
        assert!(shown.iter().all(|text| text.len() <= VALUE));
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 27_004, 1_234_567].map(grouped), ["0", "999", "1,000", "27,004", "1,234,567"]);
    }

    #[test]
    fn four_platforms_fit_into_120_columns() {
        let comparison = crate::compare::result::tests::sample();
        let costs = BTreeMap::from([(Platform::Lambda, 1234.5), (Platform::Native, 0.0123)]);
        let text = render(&comparison, &costs);
        assert!(text.contains("\n  USD/M events    1234.50"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{} wide: {line}", line.chars().count());
        }
        assert!(text.contains("lambda") && text.contains("native"), "{text}");
    }
}
