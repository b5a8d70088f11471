//! The text of the report page. It is there with or without the page's script, which draws the charts beside it.

mod charts;
mod cost;
mod method;
mod parts;
mod tables;

use maud::{Markup, html};

use crate::model::cold;
use crate::render::html::charts::{COLD, CPU, THROUGHPUT, WARM, charts};
use crate::render::html::parts::{Part, chip, sentence};
use crate::render::html::tables::{colour, figures, recorded, routes};
use crate::render::{baseline, rows};
use crate::results::Comparison;
use crate::verdict::{Basis, Sentence, Verdict};
use crate::words::{self, capital, grouped};

/// The whole text of the page.
pub(crate) fn body(result: &Comparison, verdict: &Verdict) -> Markup {
    let sections = rows::sections(result);
    let tables = |ids: &[&str]| {
        html! { @for section in sections.iter().filter(|section| ids.contains(&section.id)) { (figures(section)) } }
    };
    let part = |id, link, title, text| Part { id, link, title, text };
    let why = result.platforms.iter().find_map(cold::why_more);
    let mut parts = vec![
        part(
            "cold",
            "Cold starts",
            "Cold starts",
            html! {
                (charts(&sections, &COLD)) (tables(&["cold-ready", "cold-answered", "cold-parts"]))
                (recorded(result)) @if let Some(why) = &why { p { (why) } }
            },
        ),
        part(
            "warm",
            "Warm latency",
            "Warm latency",
            html! { (charts(&sections, &WARM)) (tables(&["warm"])) (routes(result)) },
        ),
        part(
            "throughput",
            "Throughput",
            "Throughput",
            html! { (charts(&sections, &THROUGHPUT)) (tables(&["throughput"])) },
        ),
        part("cpu", "CPU time", "CPU time", html! { (charts(&sections, &CPU)) (tables(&["cpu"])) }),
    ];
    if let Some(section) = rows::deployments(result) {
        parts.push(part("deployments", "Deployments", "Deployments", figures(&section)));
    }
    parts.extend(cost::parts(result));
    parts.extend(baseline::section(result).map(|section| {
        let text = html! {
            (figures(&section)) ul.caveats { @for note in baseline::NOTES { li { (note) } } }
        };
        part("baseline", "Otherwise", "What a user would have otherwise", text)
    }));
    parts.extend([
        part("reports", "Reports", "Reports", tables(&["reports"])),
        part("size", "Size", "Artifact and memory", tables(&["size", "memory"])),
        part("guarantees", "Guarantees", "Guarantees", tables::guarantees()),
        part("method", "Method", "Method and environment", method::method(result)),
    ]);
    html! {
        (heading(result)) (judged(verdict))
        nav aria-label="Sections" { @for part in &parts { a href={ "#" (part.id) } { (part.link) } } }
        @for Part { id, title, text, .. } in &parts {
            section id=(id) aria-labelledby={ (id) "-h" } { h2 id={ (id) "-h" } { (title) } (text) }
        }
    }
}

fn heading(result: &Comparison) -> Markup {
    let workload = &result.workload;
    let names: Vec<&str> = result.platforms.iter().map(|measured| words::title(measured.platform)).collect();
    html! {
        header {
            p.brand { "Isotherm compare" }
            h1 { (capital(&words::listed(&names))) }
            p {
                (workload.workload.about) " · " (grouped(workload.events as u64)) " events of " (workload.source) " · "
                (result.machine.time.replace('T', " ").replace('Z', " UTC"))
                @if workload.is_quick { " · " b { "quick run" } }
            }
        }
    }
}

fn judged(Verdict { answers, flips, warnings, caveats }: &Verdict) -> Markup {
    let list = |class: &str, items: &[String]| {
        html! { @if !items.is_empty() { ul class=(class) { @for item in items { li { (item) } } } } }
    };
    html! {
        section #verdict aria-labelledby="verdict-h" {
            h2 #verdict-h { "Verdict for this workload" }
            (list("warnings", warnings))
            div.answers { @for one in answers { (answer(one)) } }
            @if !flips.is_empty() {
                h3 { "When it flips" }
                ul.flips {
                    @for flip in flips { li { b { (flip.question) } " " (chip(flip.kind)) " " (sentence(&flip.text)) } }
                }
            }
            @if !caveats.is_empty() { h3 { "What this run can’t tell" } }
            (list("caveats", caveats))
        }
    }
}

fn answer(Sentence { question, answer, text, kind, basis }: &Sentence) -> Markup {
    let most = basis.iter().map(|basis| basis.estimate.high).fold(0.0, f64::max);
    html! {
        article {
            h3 { (question) " " (chip(*kind)) }
            p.answer { (capital(answer)) }
            p { (sentence(text)) }
            @if most > 0.0 { ol.strips { @for place in basis { (strip(place, most)) } } }
        }
    }
}

/// A bar of one figure, in which the floor's part is paler, beside its name and its words.
fn strip(Basis { name, estimate, floor, shown }: &Basis, most: f64) -> Markup {
    let at = |value: f64| format!("{:.2}", 100.0 * value / most);
    let (value, low, high) = (at(estimate.value), at(estimate.low), at(estimate.high));
    // The figure alone, since the bar and the table show its interval.
    let figure = shown.split(" (").next().unwrap_or_default();
    html! {
        li {
            span { (name) }
            svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                rect class={ "f-" (colour(name)) } y="1" width=(value) height="6" {}
                @if let Some(floor) = floor {
                    rect.floor y="1" width=(at(floor.min(estimate.value))) height="6" {}
                }
                path d={ "M" (low) " 4H" (high) } {}
            }
            b { (figure) }
        }
    }
}
