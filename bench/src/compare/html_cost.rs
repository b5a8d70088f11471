//! The sections of the page about prices and simulation. Each appears only if the result has that part.

use crate::compare::html::{Part, chip, escaped, figure, row_head, scrolled, usd};
use crate::compare::page::{ColdShare, Cost, CostLine, Kind};
use crate::compare::result::Comparison;
use crate::compare::verdict::{crossing_in_words, volume};
use crate::compare::words::{digits, listed, named, short};
use crate::stats::Estimate;

/// All of these sections.
pub(super) fn parts(result: &Comparison) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(cost) = &result.cost {
        if !cost.lines.is_empty() {
            parts.push(Part { id: "cost", link: "Cost", title: "Cost of a million events", text: lines(cost) });
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

fn lines(cost: &Cost) -> String {
    let mut services: Vec<&str> = Vec::new();
    for item in cost.lines.iter().flat_map(|line| &line.items) {
        if !services.contains(&item.service.as_str()) {
            services.push(&item.service);
        }
    }
    let heads: String = services.iter().map(|service| format!("<th scope=\"col\">{}</th>", escaped(service))).collect();
    let row = |line: &CostLine| {
        let cell = |service: &&str| {
            let sum: f64 = line.items.iter().filter(|item| item.service == *service).map(|item| item.usd).sum();
            if sum == 0.0 { "<td>–</td>".to_owned() } else { usd(&Estimate { value: sum, low: sum, high: sum }) }
        };
        let cells: String = services.iter().map(cell).collect();
        format!("<tr>{}{}{cells}</tr>", row_head(&line.name), usd(&line.total))
    };
    let rows: String = cost.lines.iter().map(row).collect();
    let described: Vec<String> =
        cost.lines.iter().map(|line| format!("{} {} USD", named(&line.name), digits(line.total.value))).collect();
    let note =
        format!("{} USD for a million events, at {} events a month", chip(cost.kind), volume(cost.monthly_events));
    let chart = figure("stack", "cost", "By service", &note, &format!("{}.", listed(&described)));
    let table = scrolled(&format!(
        "<table><caption><b>USD for a million events</b> {}</caption><thead><tr><th scope=\"col\">Design</th>\
         <th scope=\"col\">Total</th>{heads}</tr></thead><tbody>{rows}</tbody></table>",
        chip(cost.kind)
    ));
    let assumptions: String = cost.assumptions.iter().map(|text| format!("<li>{}</li>", escaped(text))).collect();
    format!("<div class=\"charts of-1\">{chart}</div>{table}<ul class=\"caveats\">{assumptions}</ul>")
}

fn curves(cost: &Cost) -> String {
    let told: Vec<String> = cost.crossings.iter().map(crossing_in_words).collect();
    let note = format!("{} USD a month; both axes logarithmic; rings: the cheapest becomes another", chip(cost.kind));
    let described = if told.is_empty() { "No crossing.".to_owned() } else { format!("{}.", told.join(". ")) };
    let chart = figure("volume", "cost", "USD a month by events a month", &note, &described);
    let table = samples(
        &format!("<b>USD a month</b> {}", chip(cost.kind)),
        "Events a month",
        &cost
            .curves
            .iter()
            .map(|curve| (curve.name.as_str(), None, curve.points.as_slice()))
            .collect::<Vec<Column<'_>>>(),
        volume,
        digits,
    );
    let crossings: String = told.iter().map(|text| format!("<li>{}.</li>", escaped(text))).collect();
    format!("<div class=\"charts of-1\">{chart}</div><ul>{crossings}</ul>{table}")
}

fn shares(shares: &[ColdShare]) -> String {
    let percent = |share: f64| match 100.0 * share {
        percent if percent > 0.0 && percent < 0.001 => "< 0.001 %".to_owned(),
        percent => format!("{} %", short(percent)),
    };
    let ends = |ColdShare { name, points, .. }: &ColdShare| match (points.first(), points.last()) {
        (Some([slow, most]), Some([fast, least])) => {
            format!(
                "{}: {} at {} requests/s, {} at {}.",
                named(name),
                percent(*most),
                digits(*slow),
                percent(*least),
                digits(*fast)
            )
        }
        _ => String::new(),
    };
    let described: Vec<String> = shares.iter().map(ends).collect();
    let kinds = [Kind::Measured, Kind::Published, Kind::Modelled];
    let there = kinds.into_iter().filter(|kind| shares.iter().any(|share| share.kind == *kind));
    let chips: String = there.map(chip).collect();
    let note = format!("{chips} share of requests that wait for a cold start; traffic logarithmic");
    let chart = figure("shares", "cold_share", "Cold requests by requests a second", &note, &described.join(" "));
    let series: Vec<_> =
        shares.iter().map(|share| (share.name.as_str(), Some(share.kind), share.points.as_slice())).collect();
    let caption = format!("<b>Share of cold requests</b> {chips}");
    format!("<div class=\"charts of-1\">{chart}</div>{}", samples(&caption, "Requests/s", &series, digits, percent))
}

/// A curve as a column: its name, the source of its figures unless the caption gives it, and the points (x and y).
type Column<'a> = (&'a str, Option<Kind>, &'a [[f64; 2]]);

/// The largest number of rows. The chart shows all points.
const ROWS: usize = 12;

/// Curves as a table. The x values of the first curve, thinned, are the rows.
fn samples(
    caption: &str,
    x: &str,
    series: &[Column<'_>],
    shown_x: impl Fn(f64) -> String,
    shown: impl Fn(f64) -> String,
) -> String {
    let Some((.., first)) = series.first() else { return String::new() };
    let step = first.len().div_ceil(ROWS).max(1);
    let head = |(name, kind, _): &Column<'_>| {
        let chip = kind.map_or_else(String::new, |kind| format!("<br>{}", chip(kind)));
        format!("<th scope=\"col\">{}{chip}</th>", escaped(&named(name)))
    };
    let heads: String = series.iter().map(head).collect();
    let row = |[at, _]: &[f64; 2]| {
        let cell = |(.., points): &Column<'_>| {
            let y = points.iter().find(|point| point[0] == *at).map_or_else(|| "–".to_owned(), |point| shown(point[1]));
            format!("<td>{y}</td>")
        };
        format!("<tr><th scope=\"row\">{}</th>{}</tr>", shown_x(*at), series.iter().map(cell).collect::<String>())
    };
    let rows: String = first.iter().step_by(step).map(row).collect();
    scrolled(&format!(
        "<table><caption>{caption}</caption><thead><tr><th scope=\"col\">{x}</th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    ))
}
