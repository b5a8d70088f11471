//! The page's sections that rest on prices and on simulation: each is there only where the result has its part.

use crate::compare::html::{chip, escaped, figure, row_head, scrolled, usd};
use crate::compare::page::{ColdShare, Cost, CostCurve, Crossing};
use crate::compare::result::Comparison;
use crate::compare::words::{digits, listed, short};
use crate::stats::Estimate;

/// Anchor, title and text of each section.
pub(super) fn parts(result: &Comparison) -> Vec<(String, String, String)> {
    let mut parts = Vec::new();
    if let Some(cost) = &result.cost {
        if !cost.lines.is_empty() {
            parts.push(("cost".to_owned(), "Cost of a million events".to_owned(), lines(cost)));
        }
        if !cost.curves.is_empty() {
            parts.push(("volume".to_owned(), "Cost against monthly volume".to_owned(), curves(cost)));
        }
    }
    if !result.cold_share.is_empty() {
        parts.push(("cold-share".to_owned(), "Cold share against traffic".to_owned(), shares(&result.cold_share)));
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
    let heads: String =
        services.iter().map(|service| format!("<th scope=\"col\">{}</th>", escaped(service))).collect();
    let row = |line: &crate::compare::page::CostLine| {
        let cell = |service: &&str| {
            let sum: f64 = line.items.iter().filter(|item| item.service == *service).map(|item| item.usd).sum();
            if sum == 0.0 { "<td>–</td>".to_owned() } else { usd(&Estimate { value: sum, low: sum, high: sum }) }
        };
        let cells: String = services.iter().map(cell).collect();
        format!("<tr>{}{}{cells}</tr>", row_head(&line.name), usd(&line.total))
    };
    let rows: String = cost.lines.iter().map(row).collect();
    let described: Vec<String> =
        cost.lines.iter().map(|line| format!("{} {} USD", line.name, digits(line.total.value))).collect();
    let note = format!("{} USD for a million events, at {} events a month", chip(cost.kind), digits(cost.monthly_events));
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
    let told = |Crossing { monthly_events, usd, below, above }: &Crossing| {
        format!("{below} is cheapest below {} events a month, {above} above; both cost {} USD there", digits(*monthly_events), digits(*usd))
    };
    let told: Vec<String> = cost.crossings.iter().map(told).collect();
    let note = format!("{} USD a month; both axes logarithmic; rings: the cheapest becomes another", chip(cost.kind));
    let described = if told.is_empty() { "No crossing.".to_owned() } else { format!("{}.", told.join(". ")) };
    let chart = figure("volume", "cost", "USD a month by events a month", &note, &described);
    let names = |curve: &CostCurve| curve.name.clone();
    let table = samples(
        &format!("<b>USD a month</b> {}", chip(cost.kind)),
        "Events a month",
        &cost.curves.iter().map(|curve| (names(curve), curve.points.as_slice())).collect::<Vec<_>>(),
        digits,
    );
    let crossings: String = told.iter().map(|text| format!("<li>{}.</li>", escaped(text))).collect();
    format!("<div class=\"charts of-1\">{chart}</div><ul>{crossings}</ul>{table}")
}

fn shares(shares: &[ColdShare]) -> String {
    let percent = |share: f64| format!("{} %", short(100.0 * share));
    let ends = |ColdShare { name, points, .. }: &ColdShare| match (points.first(), points.last()) {
        (Some([slow, most]), Some([fast, least])) => {
            format!("{name}: {} at {} requests/s, {} at {}.", percent(*most), digits(*slow), percent(*least), digits(*fast))
        }
        _ => String::new(),
    };
    let described: Vec<String> = shares.iter().map(ends).collect();
    let mut kinds: Vec<_> = shares.iter().map(|share| share.kind).collect();
    kinds.dedup();
    let chips: String = kinds.into_iter().map(chip).collect();
    let note = format!("{chips} share of requests that wait for a cold start; traffic logarithmic");
    let chart = figure("shares", "cold_share", "Cold requests by requests a second", &note, &described.join(" "));
    let series: Vec<_> = shares.iter().map(|share| (share.name.clone(), share.points.as_slice())).collect();
    let caption = format!("<b>Share of cold requests</b> {chips}");
    format!("<div class=\"charts of-1\">{chart}</div>{}", samples(&caption, "Requests/s", &series, percent))
}

/// At most so many rows: the chart has all.
const ROWS: usize = 12;

/// Curves as a table, x as rows: those of the first curve, thinned.
fn samples(caption: &str, x: &str, series: &[(String, &[[f64; 2]])], shown: impl Fn(f64) -> String) -> String {
    let Some((_, first)) = series.first() else { return String::new() };
    let step = first.len().div_ceil(ROWS).max(1);
    let heads: String = series.iter().map(|(name, _)| format!("<th scope=\"col\">{}</th>", escaped(name))).collect();
    let row = |[at, _]: &[f64; 2]| {
        let cell = |(_, points): &(String, &[[f64; 2]])| {
            let y = points.iter().find(|point| point[0] == *at).map_or_else(|| "–".to_owned(), |point| shown(point[1]));
            format!("<td>{y}</td>")
        };
        format!("<tr><th scope=\"row\">{}</th>{}</tr>", digits(*at), series.iter().map(cell).collect::<String>())
    };
    let rows: String = first.iter().step_by(step).map(row).collect();
    scrolled(&format!(
        "<table><caption>{caption}</caption><thead><tr><th scope=\"col\">{x}</th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    ))
}
