//! The placeholders of charts of measured figures.

use maud::{Markup, html};

use crate::render::html::parts::{chip, figure};
use crate::render::html::tables::n;
use crate::render::rows::{Row, Section};
use crate::results::cost::Kind;
use crate::words::{Quantity, capital, named};

/// A chart of the figures of a section.
pub(super) struct Chart {
    /// The way it is drawn: a key of the script's `KINDS`.
    kind: &'static str,
    /// The drawn data: a field of the result, by its name in the script's `data.js`.
    of: &'static str,
    /// The section, and those of its rows, that describe the chart.
    section: &'static str,
    rows: &'static [&'static str],
    title: &'static str,
    /// A note on how to read it.
    note: &'static str,
}

const QUANTILES: &[&str] = &["p50", "p90", "p99"];
const CUMULATIVE: &str =
    "Share of cold starts within a time; logarithmic; dots and whiskers: p50 and p90 with 95 % intervals";
const MORE: &str = "More is better; whiskers: 95 % intervals";

const fn chart(
    kind: &'static str,
    of: &'static str,
    section: &'static str,
    rows: &'static [&'static str],
    title: &'static str,
    note: &'static str,
) -> Chart {
    Chart { kind, of, section, rows, title, note }
}

pub(super) const COLD: [Chart; 2] = [
    chart("ecdf", "cold.init", "cold-ready", QUANTILES, "Until ready", CUMULATIVE),
    chart("ecdf", "cold.first_response", "cold-answered", QUANTILES, "Until the first byte of the answer", CUMULATIVE),
];
pub(super) const WARM: [Chart; 1] = [chart(
    "percentiles",
    "warm.latency",
    "warm",
    QUANTILES,
    "Latency by percentile",
    "Logarithmic; dots and whiskers: p50, p90 and p99 with 95 % intervals",
)];
pub(super) const THROUGHPUT: [Chart; 2] = [
    chart("bars", "requests_per_second", "throughput", &["requests/s"], "Requests a second", MORE),
    chart("bars", "events_per_second", "throughput", &["events/s"], "Events a second", MORE),
];
pub(super) const CPU: [Chart; 1] = [chart(
    "bars",
    "cpu_ms_per_request",
    "cpu",
    &["CPU ms/request"],
    "CPU time a request",
    "Less is better, among equal scopes; whiskers: 95 % intervals",
)];

pub(super) fn charts(sections: &[Section], charts: &[Chart]) -> Markup {
    let chart = |Chart { kind, of, section, rows, title, note }: &Chart| {
        let all = sections.iter().filter(|one| one.id == *section).flat_map(|section| &section.rows);
        let rows: Vec<&Row> = all.filter(|row| rows.contains(&row.label.as_str())).collect();
        let n = rows.first().map_or_else(String::new, |row| n(row));
        figure(kind, of, title, &html! { (chip(Kind::Measured)) " " (n) " · " (note) }, &described(&rows))
    };
    html! { div class={ "charts of-" (charts.len()) } { @for one in charts { (chart(one)) } } }
}

/// The rows in words, such as `Lambda: p50 4.00 ms, p99 5.73 ms. Workers: …`.
fn described(rows: &[&Row]) -> String {
    let platforms = rows.first().map_or(0, |row| row.cells.len());
    (0..platforms)
        .map(|place| {
            let figures: Vec<String> = rows
                .iter()
                .filter_map(|row| {
                    let estimate = row.cells[place].estimate.as_ref()?;
                    Some(format!("{} {}", row.label, Quantity::of(estimate, row.unit).with_interval()))
                })
                .collect();
            let name = capital(&named(&rows[0].cells[place].name));
            format!("{name}: {}. ", figures.join(", "))
        })
        .collect()
}
