//! The quote of `isotherm cost` as text.

use std::collections::BTreeSet;

use crate::model::cost::assumptions::Assumption;
use crate::model::cost::bill::Line;
use crate::model::cost::break_even::{Answer, BreakEven, Flip, Pair};
use crate::model::cost::quote::{Priced, Quote, per_million};
use crate::model::production::Production;
use crate::words::{amount, decimal, digits};

/// The largest width of the text, and the widths of the parts of a line.
const WIDTH: usize = 120;
const SERVICE: usize = 12;
const ITEM: usize = 50;
const UNITS: usize = 16;
const USD: usize = 14;
const LABEL: usize = 2 + SERVICE + ITEM + UNITS;

const _: () = assert!(LABEL + 2 * USD <= WIDTH, "a line must fit");

/// The tables of a quote.
pub(crate) fn text(quote: &Quote) -> String {
    let events = quote.requests * quote.events_per_request;
    let mut text = format!(
        "{} requests a month, {} events of {}\nprices on {}, compared with their sources on {}; free tier {}\n",
        amount(quote.requests),
        amount(events),
        quote.events,
        quote.on,
        quote.checked,
        if quote.free_tier { "on" } else { "off" },
    );
    text += &quote.production.as_ref().map_or(String::new(), production);
    for priced in &quote.designs {
        text += &table(priced, events);
    }
    if quote.designs.len() > 1 {
        text += &heading("in all");
        for priced in &quote.designs {
            let impossible = if priced.impossible.is_empty() { "" } else { ": not possible, see above" };
            text += &total(priced, &format!("  {}{impossible}", priced.design.name()));
        }
    }
    text += &break_even(&quote.break_even);
    text += &pairs(&quote.pairs);
    text += "\nNot in it: reports, taxes, support, and the people who run it; looking events up, but where it is as metered.\n";
    text + &sources(quote)
}

/// Where the load comes from, if it is that of a service.
fn production(production: &Production) -> String {
    let Production { file, hours, cold_share, other_lines, .. } = production;
    let mut text = format!("the load of {} hours by {file}", decimal(*hours));
    if let Some(cold_share) = cold_share {
        text += &format!("; {} % of the requests were cold starts", decimal(100.0 * cold_share));
    }
    text += "\n";
    if *other_lines > 0 {
        text += &format!("{} lines are not from Isotherm, and are left out\n", amount(*other_lines as f64));
    }
    if *hours < 24.0 {
        text += "less than a day: a month may have other hours than these\n";
    }
    text
}

fn table(priced: &Priced, events: f64) -> String {
    let mut text = heading(&format!("{}: {}", priced.design.name(), priced.about));
    let mut service = "";
    for line in &priced.bill.lines {
        let label = if line.service.name() == service { "" } else { line.service.name() };
        service = line.service.name();
        text += &row(label, line, events);
    }
    text += &total(priced, "  total");
    for other in &priced.beside {
        text += &beside(&other.about, other.month_usd, events);
    }
    if let Some(available) = &priced.equal_availability {
        text += &beside("at equal availability", available.month_usd, events);
        text += &wrapped(&format!("  with {}", available.about));
        text += &wrapped(&format!("  not possible: {}", available.not_possible));
    }
    if let Some(lacks) = priced.design.lacks() {
        text += &wrapped(&format!("  lacks: {lacks}"));
    }
    for exceeded in &priced.impossible {
        text += &wrapped(&format!("  not possible: {}; possible: {}", exceeded.problem, exceeded.remedy));
    }
    let available = priced.equal_availability.iter().flat_map(|one| &one.notes);
    let more = available.filter(|note| !priced.bill.notes.contains(note));
    for note in priced.bill.notes.iter().chain(more) {
        text += &wrapped(&format!("  note: {note}"));
    }
    if !priced.assumptions.is_empty() {
        let values = priced.assumptions.iter().map(|one| format!("{} {}", one.name, decimal(one.value)));
        text += &wrapped(&format!("  rests on {}", values.collect::<Vec<_>>().join(", ")));
    }
    text
}

fn heading(words: &str) -> String {
    // The path of an event must not be cut. If it is long, the column names follow on the next line.
    let gap = LABEL.checked_sub(words.chars().count()).filter(|gap| *gap > 0);
    match gap {
        Some(_) => format!("\n{words:<LABEL$}{:>USD$}{:>USD$}\n", "USD a month", "USD/M events"),
        None => format!("\n{words}\n{:<LABEL$}{:>USD$}{:>USD$}\n", "", "USD a month", "USD/M events"),
    }
}

/// The loads from which a node is cheaper, each on a line.
pub(crate) fn break_even(all: &[BreakEven]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let mut text = format!("\nFrom what load on is one {} no dearer? (the whole path, no unit free)\n", first.node);
    let name = all.iter().map(|one| one.policy.chars().count()).max().unwrap_or(0);
    for BreakEven { policy, answer, .. } in all {
        let words = match answer {
            Answer::Always => "at any load".to_owned(),
            Answer::Never => "at no load that one node carries".to_owned(),
            Answer::From { requests_month, usd_month } => {
                format!("{} requests a month, for {} USD", amount(*requests_month), digits(*usd_month))
            }
        };
        text += &format!("  {policy:<name$}  {words}\n");
    }
    text
}

/// The loads at which the choice between two designs flips, each on a line.
pub(crate) fn pairs(all: &[Pair]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut text = "\nWhere the choice between two flips (the whole path, no unit free)\n".to_owned();
    for pair in all {
        text += &wrapped(&format!("  {}", pair_in_words(pair)));
    }
    text
}

/// Which of two designs is cheaper, and where that changes.
pub(crate) fn pair_in_words(Pair { one, other, flips }: &Pair) -> String {
    if flips.is_empty() {
        return format!("{one} is no dearer than {other} at any load that both carry");
    }
    let from = |Flip { requests_month, first_requests_month, usd_month, cheaper }: &Flip| {
        let last = amount(*requests_month);
        let several = first_requests_month.map(|first| {
            format!("between {} and {last} requests a month they cross more than once, and ", amount(first))
        });
        let several = several.unwrap_or_default();
        format!("{several}{cheaper} from {last} requests a month on, for {} USD", digits(*usd_month))
    };
    let flips: Vec<String> = flips.iter().map(from).collect();
    format!("{one}, then {}", flips.join("; "))
}

fn beside(words: &str, usd: f64, events: f64) -> String {
    let each = each(per_million(usd, events));
    format!("  {words:<width$}{:>USD$}{each:>USD$}\n", cents(usd), width = LABEL - 2)
}

/// The assumptions of all tables, each once, in words and with its source.
fn sources(quote: &Quote) -> String {
    let mut text = String::new();
    let mut said = BTreeSet::new();
    for Assumption { name, value, unit, about, source } in quote.designs.iter().flat_map(|priced| &priced.assumptions) {
        if said.insert(name) {
            text += &wrapped(&format!("  {name} = {} {unit}: {about} ({source})", decimal(*value)));
        }
    }
    if text.is_empty() {
        text
    } else {
        format!("\nWhat the tables rest on; --assume NAME=VALUE says otherwise\n{text}")
    }
}

/// Wraps words to lines that fit. All lines but the first are indented further.
pub(crate) fn wrapped(words: &str) -> String {
    let mut text = String::from("  ");
    let mut width = 2;
    for word in words.split_whitespace() {
        if width > 6 && width + word.chars().count() > WIDTH {
            text.truncate(text.trim_end().len());
            text += "\n      ";
            width = 6;
        }
        text += word;
        text.push(' ');
        width += word.chars().count() + 1;
    }
    format!("{}\n", text.trim_end())
}

fn row(label: &str, line: &Line, events: f64) -> String {
    let item: String = line.item.chars().take(ITEM).collect();
    let amounts = match line.usd {
        Some(usd) => format!("{:>USD$}{:>USD$}", cents(usd), each(per_million(usd, events))),
        None => format!("{:>USD$}", "unpriced"),
    };
    format!("  {label:<SERVICE$}{item:<ITEM$}{:>UNITS$}{amounts}\n", count(line.units))
}

fn total(priced: &Priced, label: &str) -> String {
    let is_all_unpriced = !priced.unpriced.is_empty() && priced.bill.lines.iter().all(|line| line.usd.is_none());
    if is_all_unpriced {
        return format!("{label:<LABEL$}{:>USD$}\n", "unpriced");
    }
    let without = match priced.unpriced.join(", ") {
        ids if ids.is_empty() => String::new(),
        ids => format!("\n  not in this sum, unpriced: {ids}"),
    };
    format!("{label:<LABEL$}{:>USD$}{:>USD$}{without}\n", cents(priced.month_usd), each(priced.per_million_events_usd))
}

fn cents(usd: f64) -> String {
    let whole = (usd * 100.0).round() / 100.0;
    let fraction = ((whole - whole.trunc()) * 100.0).round();
    format!("{}.{fraction:02.0}", amount(whole.trunc()))
}

fn each(usd: Option<f64>) -> String {
    usd.map_or_else(String::new, |usd| format!("{usd:.4}"))
}

/// A number of units, with decimals if it is small.
fn count(units: f64) -> String {
    if units < 1000.0 && units.fract() != 0.0 { format!("{units:.2}") } else { amount(units) }
}
