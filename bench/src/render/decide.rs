//! A decision as text for a terminal, and as a page: one HTML file that loads nothing and has no script.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::cost::break_even::Answer;
use crate::model::decide::{AsDeployed, CLIENT_COLD_MS, Choice, ColdStart, Decision, Figure};
use crate::model::simulate::cost::Instead;
use crate::model::simulate::time::Micros;
use crate::render::cost::{break_even, pair_in_words, pairs, wrapped};
use crate::render::guarantees;
use crate::render::simulate::check;
use crate::words::{amount, capital, decimal, digits, named};

/// The width of the text.
const WIDTH: usize = 120;

/// What is in no figure.
const NOT_IN_IT: &str = "Not in it: taxes, support, people; reports and look-ups of events.";

/// The text.
pub(crate) fn text(decision: &Decision) -> String {
    let names = decision.choices.iter().map(|choice| choice.policy.chars().count());
    let name = names.max().unwrap_or(0).max(6);
    let mut text = format!("{}\n\n", textwrap::fill(&heading(decision), WIDTH));
    let head = |all: [&str; 6]| {
        let [policy, cold, p50, p99, usd, available] = all;
        format!("{policy:<name$} {cold:>9} {p50:>11} {p99:>15} {usd:>13} {available:>16}\n")
    };
    let modelled = "modelled";
    text += &head(["", modelled, modelled, modelled, modelled, modelled]);
    text += &head(["policy", "cold %", "p50 ms", "p99 ms", "USD/month", "as available"]);
    for choice in &decision.choices {
        let mark = if decision.cheapest.as_ref() == Some(&choice.policy) { "*" } else { "" };
        text += &format!(
            "{:<name$} {:>9} {:>11} {:>15} {:>13}{mark:<1} {:>15}\n",
            choice.policy,
            digits(100.0 * choice.cold_share.value),
            range(&choice.p50_ms),
            range(&choice.p99_ms),
            usd(choice.usd_month.value),
            usd(choice.available_usd_month.value),
        );
        for problem in problems(choice) {
            text += &wrapped(&problem);
        }
    }
    text += &format!("\n{}\n", verdict(decision));
    text += "\nAs available as functions in several zones are\n";
    for words in available(decision) {
        text += &wrapped(&format!("  {words}"));
    }
    text += "\nWhat people would take instead, USD a month\n";
    for one in &decision.instead {
        text += &wrapped(&format!("  {}", instead_in_words(one)));
    }
    text += &break_even(&decision.break_even);
    text += &pairs(&decision.pairs);
    text += &decision.deployed.as_ref().map(deployed).unwrap_or_default();
    text += &decision.check.as_ref().map(check).unwrap_or_default();
    text += "\nCold starts, ms until an instance is ready: measured here, published, and expected there (modelled)\n";
    for start in &decision.cold_starts {
        let [measured, published, expected] = parts(start);
        text += &format!("  {:<8} {measured:>18} {published:>10} {expected:>18}\n", start.platform);
        text += &start.words.as_ref().map(|words| wrapped(&format!("  {words}"))).unwrap_or_default();
    }
    text += "\nWhat each guarantees (docs/guarantees.md)\n";
    let mut rows = guarantees::rows();
    let heads = rows.next().unwrap_or_default();
    for row in rows {
        let cells: Vec<String> = heads.iter().zip(&row).skip(1).map(|(head, cell)| format!("{head}: {cell}")).collect();
        text += &wrapped(&format!("  {}. {}", capital(row.first().map_or("", String::as_str)), cells.join("; ")));
    }
    text += "\nWhat it rests on\n";
    for note in notes(decision) {
        text += &wrapped(&format!("  {note}"));
    }
    text
}

fn heading(decision: &Decision) -> String {
    let traffic = &decision.traffic;
    format!(
        "{} requests a month, {} each: {}, of which {} in {} are simulated, {} a second, {} in the busiest time",
        amount(decision.requests_month),
        if decision.events_per_request == 1.0 {
            "one event".to_owned()
        } else {
            format!("{} events", decimal(decision.events_per_request))
        },
        traffic.trace,
        amount(traffic.requests as f64),
        Micros::from_seconds(traffic.seconds),
        digits(traffic.requests_per_second),
        digits(traffic.busiest_per_second),
    )
}

fn verdict(decision: &Decision) -> String {
    let p99 = decision.goals.p99_ms.map(|ms| format!("p99 of at most {} ms", digits(ms)));
    let cold = decision.goals.cold_share.map(|share| format!("at most {} % cold", digits(100.0 * share)));
    let goals: Vec<String> = [p99, cold].into_iter().flatten().collect();
    let goals = if goals.is_empty() { String::new() } else { format!(" with {}", goals.join(" and ")) };
    match &decision.cheapest {
        Some(policy) => format!("* the cheapest that carries it{goals}: {policy}"),
        None => format!("none of these carries it{goals}"),
    }
}

/// What is added for equal availability, and what is not possible, with the policies that it holds of.
fn available(decision: &Decision) -> Vec<String> {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for choice in &decision.choices {
        let words = match (&choice.available_about, &choice.not_possible) {
            (Some(about), Some(not_possible)) => format!("with {about}; not possible: {not_possible}"),
            _ => "as they are".to_owned(),
        };
        match all.iter_mut().find(|(found, _)| *found == words) {
            Some((_, policies)) => policies.push(&choice.policy),
            None => all.push((words, vec![&choice.policy])),
        }
    }
    all.into_iter().map(|(words, policies)| format!("{}: {words}", policies.join(" · "))).collect()
}

fn instead_in_words(one: &Instead) -> String {
    let impossible =
        one.impossible.iter().map(|one| format!("; not possible: {}; possible: {}", one.problem, one.remedy));
    let impossible: String = impossible.collect();
    format!("{}: {} ({}; lacks: {}){impossible}", one.design.name(), usd(one.usd_month), one.about, one.lacks)
}

/// What was measured of a deployment.
fn deployed(one: &AsDeployed) -> String {
    let cold = one.cold_ms.map_or_else(String::new, |cold| format!(", {} ms after a rest", range(&cold)));
    format!(
        "\ndeployed   {}: p50 {} p99 {} ms{cold}; a round trip {} ms (measured by a client, {})\n",
        one.name,
        range(&one.p50_ms),
        range(&one.p99_ms),
        range(&one.network_ms),
        one.url
    )
}

/// Why a policy can't carry the traffic.
fn problems(choice: &Choice) -> Vec<String> {
    let refused =
        (choice.refused > 0).then(|| format!("not possible: it refuses {} requests", amount(choice.refused as f64)));
    let impossible = choice.impossible.iter();
    impossible.map(|one| format!("not possible: {}; possible: {}", one.problem, one.remedy)).chain(refused).collect()
}

fn notes(decision: &Decision) -> Vec<String> {
    let mut notes = vec![
        format!("measured: {}", decision.measured_in),
        format!(
            "latency: {} ms of network, a stated guess (--network), and what was measured of a warm request",
            digits(decision.network_ms)
        ),
        format!(
            "p99 on Lambda: where more than 1 % are cold, the higher figure has {} ms more, published: STeLLAR (IISWC 2021), the \
             medians of cold and warm requests at the client",
            digits(CLIENT_COLD_MS)
        ),
        format!(
            "USD: prices of {}, published; {} free tier; the whole path of an event, as `isotherm cost` has it",
            decision.prices.on,
            if decision.prices.free_tier { "with" } else { "without" }
        ),
        NOT_IN_IT.to_owned(),
    ];
    let assumed = decision.assumptions.iter();
    notes.extend(
        assumed
            .map(|one| format!("{} = {} {}: {} ({})", one.name, decimal(one.value), one.unit, one.about, one.source)),
    );
    notes
}

fn range(figure: &Figure) -> String {
    let [low, high] = [figure.low, figure.high].map(digits);
    if low == high { low } else { format!("{low}–{high}") }
}

/// The three parts of a cold start, as far as they are known.
fn parts(start: &ColdStart) -> [String; 3] {
    let some = |figure: &Option<Figure>| figure.as_ref().map_or_else(|| "–".to_owned(), range);
    [range(&start.measured), some(&start.published), some(&start.expected)]
}

fn usd(usd: f64) -> String {
    format!("{usd:.2}")
}

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--dim:#777}\
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}.scroll{overflow-x:auto}p,li{overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}caption{text-align:left;padding:.3rem 0}\
th,td{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:right;vertical-align:top}\
th:first-child,.text th,.text td,.words{text-align:left}.cold td{white-space:nowrap}.cold td.words{white-space:normal;min-width:20rem}\
.chip{border:1px solid var(--line);border-radius:.6rem;padding:0 .5rem;font-size:.75rem;font-weight:400}\
.no{color:var(--dim)}.no small{display:block;max-width:38rem}.best th{font-weight:700}.verdict{font-size:1.15rem}";

/// The page.
pub(crate) fn page(decision: &Decision) -> String {
    let title = "Isotherm decide";
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { (title) } p { (heading(decision)) "." } }
                main {
                    p.verdict { (capital(verdict(decision).trim_start_matches("* "))) "." }
                    @if let Some(found) = &decision.check { pre { (check(found).trim()) } }
                    @if let Some(found) = &decision.deployed { pre { (deployed(found).trim()) } }
                    (choices(decision)) (beside(decision)) (flips(decision)) (cold_starts(decision)) (guaranteed())
                    h2 { "What it rests on" }
                    ul { @for note in notes(decision) { li { (note) } } }
                }
            }
        }
    };
    page.into_string()
}

fn choices(decision: &Decision) -> Markup {
    let chip = |figure: Option<Figure>| html! { @if let Some(one) = figure { br; span.chip { (one.kind.word()) } } };
    let first = decision.choices.first();
    html! {
        h2 { "Platforms and policies" }
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "Policy" }
                        th scope="col" { "Cold requests, %" (chip(first.map(|one| one.cold_share))) }
                        th scope="col" { "p50, ms" (chip(first.map(|one| one.p50_ms))) }
                        th scope="col" { "p99, ms" (chip(first.map(|one| one.p99_ms))) }
                        th scope="col" { "USD a month" (chip(first.map(|one| one.usd_month))) }
                        th scope="col" { "USD, as available" (chip(first.map(|one| one.available_usd_month))) }
                    }
                }
                tbody {
                    @for choice in &decision.choices {
                        @let problems = problems(choice);
                        @let class = match (problems.is_empty(), decision.cheapest.as_ref() == Some(&choice.policy)) {
                            (false, _) => "no",
                            (true, true) => "best",
                            (true, false) => "",
                        };
                        tr class=(class) {
                            th scope="row" { (choice.policy) @for problem in &problems { small { (problem) } } }
                            td { (digits(100.0 * choice.cold_share.value)) }
                            td { (range(&choice.p50_ms)) }
                            td { (range(&choice.p99_ms)) }
                            td { (usd(choice.usd_month.value)) }
                            td { (usd(choice.available_usd_month.value)) }
                        }
                    }
                }
            }
        }
    }
}

fn beside(decision: &Decision) -> Markup {
    html! {
        h2 { "As available as functions in several zones are" }
        ul { @for words in available(decision) { li { (words) } } }
        h2 { "What people would take instead, USD a month" }
        ul { @for one in &decision.instead { li { (instead_in_words(one)) } } }
    }
}

fn flips(decision: &Decision) -> Markup {
    html! {
        @if !decision.pairs.is_empty() {
            h2 { "Where the choice between two flips" }
            ul { @for pair in &decision.pairs { li { (pair_in_words(pair)) } } }
        }
        @if !decision.break_even.is_empty() {
            h2 { "From what load on a node is no dearer" }
            ul {
                @for one in &decision.break_even {
                    li {
                        (one.policy) ": "
                        @match one.answer {
                            Answer::Always => { "one " (one.node) " is no dearer at any load" }
                            Answer::Never => { "one " (one.node) " carries no load at which it is no dearer" }
                            Answer::From { requests_month, usd_month } => {
                                "one " (one.node) " is no dearer from " (amount(requests_month)) " requests a month on, for "
                                (digits(usd_month)) " USD"
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cold_starts(decision: &Decision) -> Markup {
    html! {
        h2 { "Cold starts, ms until an instance is ready" }
        div.scroll {
            table.cold {
                thead {
                    tr {
                        th scope="col" { "Platform" }
                        @for kind in ["measured", "published", "modelled"] { th scope="col" { span.chip { (kind) } } }
                        th.words scope="col" { "Where it is published" }
                    }
                }
                tbody {
                    @for start in &decision.cold_starts {
                        tr {
                            th scope="row" { (named(&start.platform)) }
                            @for part in parts(start) { td { (part) } }
                            td.words { (start.words.as_deref().unwrap_or("–")) }
                        }
                    }
                }
            }
        }
    }
}

fn guaranteed() -> Markup {
    html! {
        h2 { "What each guarantees" }
        div.scroll { table.text { (guarantees::html()) } }
    }
}
