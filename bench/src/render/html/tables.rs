//! Rows of figures as tables of the page: platforms as lines, figures as columns.

use isotherm_hosts::Platform;
use maud::{Markup, html};

use crate::model::cold;
use crate::model::sweep::{self, Size};
use crate::render::guarantees as guaranteed;
use crate::render::html::parts::{chip, scrolled};
use crate::render::rows::{self, Row, Section};
use crate::results::Comparison;
use crate::results::cost::Kind;
use crate::words::{Quantity, Unit, capital, digits, grouped, multiple, named};

/// A section as a table, with n in the column heads and scopes in the last columns.
pub(super) fn figures(Section { id, title, conditions, rows, scopes }: &Section) -> Markup {
    let conditions = match *id {
        "cold-ready" | "cold-answered" => "× is the multiple of the floor’s figure, + what is added to it",
        "throughput" => &format!("{conditions} · n: turns"),
        _ => conditions,
    };
    let kind = if rows.iter().flat_map(|row| &row.cells).all(|cell| cell.kind == Kind::Measured) {
        html! { (chip(Kind::Measured)) }
    } else {
        html! {}
    };
    let caption = html! { b { (capital(title)) } " " (kind) span.note { (conditions) } };
    transposed(&caption, rows, scopes)
}

fn transposed(caption: &Markup, rows: &[Row], scopes: &[[String; 2]]) -> Markup {
    let Some(first) = rows.first() else { return html! {} };
    let kind = |row: &Row| row.cells.iter().map(|cell| cell.kind).find(|kind| *kind != Kind::Measured);
    scrolled(&html! {
        table {
            caption { (caption) }
            thead {
                tr {
                    th scope="col" { "Platform" }
                    @for row in rows {
                        // Each cell shows its own unit.
                        th scope="col" {
                            (row.label.replace("CPU ms/", "CPU time/")) small { (n(row)) }
                            @if let Some(kind) = kind(row) { br; (chip(kind)) }
                        }
                    }
                    @if !scopes.is_empty() { th.scope scope="col" { "In it" } th.scope scope="col" { "Not in it" } }
                }
            }
            tbody {
                @for place in 0..first.cells.len() {
                    tr {
                        (row_head(&first.cells[place].name))
                        @for row in rows { (cell(row, place)) }
                        @if let Some(scope) = scopes.get(place) { @for part in scope { td.scope { (part) } } }
                    }
                }
            }
        }
    })
}

/// The number of samples behind a row's figures; empty for counted figures.
pub(super) fn n(row: &Row) -> String {
    let ns = || row.cells.iter().map(|cell| cell.n).filter(|n| *n > 0);
    match (ns().min(), ns().max()) {
        (Some(low), Some(high)) if low < high => format!("n = {}–{}", grouped(low as u64), grouped(high as u64)),
        (Some(n), _) if n > 1 => format!("n = {}", grouped(n as u64)),
        _ => String::new(),
    }
}

/// The name of a platform or a design, with its colour.
pub(super) fn row_head(name: &str) -> Markup {
    html! { th scope="row" { i class={ "b-" (colour(name)) } {} (named(name)) } }
}

/// The suffix of the colour classes for this name, which is its platform's.
pub(super) fn colour(name: &str) -> &'static str {
    let lower = name.to_lowercase();
    Platform::ALL.iter().map(|platform| platform.name()).find(|platform| lower.starts_with(platform)).unwrap_or("other")
}

fn cell(row: &Row, place: usize) -> Markup {
    let cell = &row.cells[place];
    let Some(estimate) = &cell.estimate else { return html! { td { "–" } } };
    let Quantity { value, interval, unit } = Quantity::of(estimate, row.unit);
    let ratio = cell.ratio.as_ref().map(|ratio| format!("{}×", multiple(ratio.value)));
    let added = cell.added.filter(|_| row.unit == Unit::Ms).map(|added| {
        let sign = if added.value < 0.0 { "−" } else { "+" };
        let size = crate::results::figure::certain(added.value.abs());
        format!("{sign}{}", Quantity::of(&size, Unit::Ms).plain())
    });
    html! {
        td.best[cell.is_best] {
            b { (value) } " " span.unit { (unit) }
            @if cell.is_best { span.unseen { " best of its scope, or tied with it" } }
            @if !interval.is_empty() || ratio.is_some() || added.is_some() {
                small {
                    (interval)
                    @if let Some(ratio) = ratio { " " span.ratio { (ratio) } }
                    @if let Some(added) = added { " " span.added { (added) } }
                }
            }
        }
    }
}

/// Latency by route.
pub(super) fn routes(result: &Comparison) -> Markup {
    let rows = rows::routes(result);
    let table = |rows: &[Row]| {
        let route = rows[0].label.trim_end_matches(" p50").to_owned();
        let short = |row: &Row| Row {
            label: row.label.rsplit(' ').next().unwrap_or_default().to_owned(),
            figure: row.figure.clone(),
            unit: row.unit,
            cells: row.cells.clone(),
        };
        let rows: Vec<Row> = rows.iter().map(short).collect();
        transposed(&html! { b { (route) } " " (chip(Kind::Measured)) }, &rows, &[])
    };
    html! { details { summary { "By route" } @for rows in rows.chunks(3) { (table(rows)) } } }
}

/// Lambda's recorded starts by processor and memory, and what is expected there.
pub(super) fn recorded(result: &Comparison) -> Markup {
    let recorded: Vec<_> = result.platforms.iter().flat_map(cold::recorded).collect();
    if recorded.is_empty() {
        return html! {};
    }
    let ms = |ms: f64| html! { td { b { (format!("{ms:.1}")) } " " span.unit { "ms" } } };
    scrolled(&html! {
        table {
            caption {
                b { "Lambda’s init by processor and memory" } " " (chip(Kind::Published)) " " (chip(Kind::Modelled))
                span.note { "published: lambda-perf, a hello function in Rust on al2023, zip, 2026-08-01 to 2026-08-22" }
            }
            thead {
                tr {
                    @for head in ["Processor, memory", "n", "Published p50", "p90", "p99", "Expected p50", "Range"] {
                        th scope="col" { (head) }
                    }
                }
            }
            tbody {
                @for of in &recorded {
                    tr {
                        th scope="row" { (of.arch) ", " (grouped(u64::from(of.memory_mb))) " MB" }
                        td { (of.n) }
                        @for quantile in of.published { (ms(quantile)) }
                        (ms(of.expected.value))
                        td { (format!("{:.1}–{:.1}", of.expected.low, of.expected.high)) " " span.unit { "ms" } }
                    }
                }
            }
        }
    })
}

/// What a request takes and costs on Lambda at each memory size, with a bar for each.
pub(super) fn sizes(result: &Comparison) -> Markup {
    // A price book without Lambda's prices leaves the table out. The costs above would have failed on it before.
    let sizes = sweep::sizes(result).unwrap_or_default();
    let most = |of: fn(&Size) -> f64| sizes.iter().map(of).fold(0.0, f64::max);
    let (slowest, dearest) = (most(|size| size.ms), most(|size| size.usd));
    let bar = |share: f64| {
        html! {
            svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                rect.f-lambda y="1" width=(format!("{:.2}", 100.0 * share)) height="6" {}
            }
        }
    };
    html! {
        @if !sizes.is_empty() {
            (scrolled(&html! {
                table {
                    caption {
                        b { "Lambda by memory" } " " (chip(Kind::Modelled))
                        span.note {
                            "one function’s request: this run’s CPU time, stretched by memory ÷ 1,769 MB of a processor, and a wait for the store;                              no quota was set here"
                        }
                    }
                    thead {
                        tr { @for head in ["Memory", "Processor", "Time", "", "USD/M requests", ""] { th scope="col" { (head) } } }
                    }
                    tbody {
                        @for size in &sizes {
                            tr {
                                th scope="row" { (grouped(u64::from(size.memory_mb))) " MB" }
                                td { (format!("{:.2}", size.processor)) }
                                td { b { (digits(size.ms)) } " " span.unit { "ms" } } td { (bar(size.ms / slowest)) }
                                td { b { (digits(size.usd)) } } td { (bar(size.usd / dearest)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// The guarantees of each platform.
pub(super) fn guarantees() -> Markup {
    scrolled(&html! {
        table.text {
            caption {
                "What each gives for these figures. Answers, ids, limits and what is a repetition are the same on all four."
            }
            (guaranteed::html())
        }
    })
}
