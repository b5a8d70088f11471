//! The sections of the page about prices and simulation. Each appears only if the result has that part.

use maud::{Markup, html};

use crate::render::html::parts::{Part, chip, figure, scrolled};
use crate::render::html::tables::{row_head, sizes};
use crate::results::Comparison;
use crate::results::cost::{ColdShare, Cost, CostLine, Kind};
use crate::results::figure::certain;
use crate::stats::Estimate;
use crate::verdict::{crossing_in_words, volume};
use crate::words::{Quantity, Unit, digits, listed, named, short};

/// All of these sections.
pub(super) fn parts(result: &Comparison) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(cost) = &result.cost {
        if !cost.lines.is_empty() {
            parts.push(Part { id: "cost", link: "Cost", title: "Cost of a million events", text: lines(cost, result) });
        }
        if !cost.curves.is_empty() {
            let text = curves(cost);
            parts.push(Part { id: "volume", link: "Volume", title: "Cost against monthly volume", text });
        }
    }
    if !result.cold_share.is_empty() {
        let text = shares(&result.cold_share);
        parts.push(Part { id: "cold-share", link: "Cold share", title: "Cold share against traffic", text });
    }
    parts
}

/// A computed figure, with its interval if it has one.
fn usd(estimate: &Estimate) -> Markup {
    let Quantity { value, interval, .. } = Quantity::of(estimate, Unit::Usd);
    html! { td { b { (value) } @if !interval.is_empty() { small { (interval) } } } }
}

fn lines(cost: &Cost, result: &Comparison) -> Markup {
    let mut services: Vec<&str> = Vec::new();
    for item in cost.lines.iter().flat_map(|line| &line.items) {
        if !services.contains(&item.service.as_str()) {
            services.push(&item.service);
        }
    }
    let sum = |line: &CostLine, service: &str| -> f64 {
        line.items.iter().filter(|item| item.service == service).map(|item| item.usd).sum()
    };
    let described: Vec<String> =
        cost.lines.iter().map(|line| format!("{} {} USD", named(&line.name), digits(line.total.value))).collect();
    let note = html! {
        (chip(cost.kind)) " USD for a million events, at " (volume(cost.monthly_events)) " events a month"
    };
    let table = html! {
        table {
            caption { b { "USD for a million events" } " " (chip(cost.kind)) }
            thead {
                tr {
                    th scope="col" { "Design" } th scope="col" { "Total" }
                    @for service in &services { th scope="col" { (service) } }
                }
            }
            tbody {
                @for line in &cost.lines {
                    tr {
                        (row_head(&line.name)) (usd(&line.total))
                        @for service in &services {
                            @match sum(line, service) { 0.0 => td { "–" }, sum => (usd(&certain(sum))) }
                        }
                    }
                }
            }
        }
    };
    html! {
        div."charts of-1" { (figure("stack", "cost", "By service", &note, &format!("{}.", listed(&described)))) }
        (scrolled(&table)) (sizes(result))
        ul.caveats { @for text in &cost.assumptions { li { (text) } } }
    }
}

fn curves(cost: &Cost) -> Markup {
    let told: Vec<String> = cost.crossings.iter().map(crossing_in_words).collect();
    let note = html! { (chip(cost.kind)) " USD a month; both axes logarithmic; rings: the cheapest becomes another" };
    let described = if told.is_empty() { "No crossing.".to_owned() } else { format!("{}.", told.join(". ")) };
    let series: Vec<Column<'_>> =
        cost.curves.iter().map(|curve| (curve.name.as_str(), None, curve.points.as_slice())).collect();
    let caption = html! { b { "USD a month" } " " (chip(cost.kind)) };
    html! {
        div."charts of-1" { (figure("volume", "cost", "USD a month by events a month", &note, &described)) }
        ul { @for text in &told { li { (text) "." } } }
        (samples(&caption, "Events a month", &series, volume, digits))
    }
}

fn shares(shares: &[ColdShare]) -> Markup {
    let percent = |share: f64| match 100.0 * share {
        percent if percent > 0.0 && percent < 0.001 => "< 0.001 %".to_owned(),
        percent => format!("{} %", short(percent)),
    };
    let ends = |ColdShare { name, points, .. }: &ColdShare| match (points.first(), points.last()) {
        (Some([slow, most]), Some([fast, least])) => {
            let (name, slow, fast) = (named(name), digits(*slow), digits(*fast));
            format!("{name}: {} at {slow} requests/s, {} at {fast}.", percent(*most), percent(*least))
        }
        _ => String::new(),
    };
    let described: Vec<String> = shares.iter().map(ends).collect();
    let kinds = [Kind::Measured, Kind::Published, Kind::Modelled];
    let chips = html! {
        @for kind in kinds.into_iter().filter(|kind| shares.iter().any(|share| share.kind == *kind)) { (chip(kind)) }
    };
    let note = html! { (chips) " share of requests that wait for a cold start; traffic logarithmic" };
    let series: Vec<Column<'_>> =
        shares.iter().map(|share| (share.name.as_str(), Some(share.kind), share.points.as_slice())).collect();
    let caption = html! { b { "Share of cold requests" } " " (chips) };
    html! {
        div."charts of-1" {
            (figure("shares", "cold_share", "Cold requests by requests a second", &note, &described.join(" ")))
        }
        (samples(&caption, "Requests/s", &series, digits, percent))
    }
}

/// A curve as a column: its name, the source of its figures unless the caption gives it, and the points (x and y).
type Column<'a> = (&'a str, Option<Kind>, &'a [[f64; 2]]);

/// The largest number of rows. The chart shows all points.
const ROWS: usize = 12;

/// Curves as a table. The x values of the first curve, thinned, are the rows.
fn samples(
    caption: &Markup,
    x: &str,
    series: &[Column<'_>],
    shown_x: impl Fn(f64) -> String,
    shown: impl Fn(f64) -> String,
) -> Markup {
    let Some((.., first)) = series.first() else { return html! {} };
    let step = first.len().div_ceil(ROWS).max(1);
    let at = |points: &[[f64; 2]], x: f64| {
        points.iter().find(|point| point[0] == x).map_or_else(|| "–".to_owned(), |point| shown(point[1]))
    };
    scrolled(&html! {
        table {
            caption { (caption) }
            thead {
                tr {
                    th scope="col" { (x) }
                    @for (name, kind, _) in series {
                        th scope="col" { (named(name)) @if let Some(kind) = kind { br; (chip(*kind)) } }
                    }
                }
            }
            tbody {
                @for [x, _] in first.iter().step_by(step) {
                    tr { th scope="row" { (shown_x(*x)) } @for (.., points) in series { td { (at(points, *x)) } } }
                }
            }
        }
    })
}
