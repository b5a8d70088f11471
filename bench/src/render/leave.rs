//! The answer of `isotherm cost --leave` as text.

use crate::model::cost::assumptions::Assumption;
use crate::model::cost::bill::Line;
use crate::model::cost::leave::{Leave, Side, Stay, Time};
use crate::render::cost::wrapped;
use crate::words::{amount, decimal, named, time};

const LABEL: usize = 14;
const ITEM: usize = 46;
const UNITS: usize = 18;
const USD: usize = 12;

/// The tables of a move.
pub(crate) fn text(leave: &Leave) -> String {
    let Leave { from, to, events, pages, record_bytes, runs, .. } = leave;
    let [from, to] = [from, to].map(|design| named(design.name()));
    let mut text = format!(
        "from {from} to {to}: {} events of {} bytes, and {} pages of rollups; {} runs of `isotherm move`\n\
         prices on {}, compared with their sources on {}; free tier {}\n",
        amount(events.round()),
        amount(record_bytes.round()),
        amount(pages.round()),
        decimal(*runs),
        leave.on,
        leave.checked,
        if leave.free_tier { "on" } else { "off" },
    );
    text += &side(&format!("{from}: reads, and answers on their way out"), &leave.source);
    text += &side(&format!("{to}: writes, and reads to compare"), &leave.target);
    text += &format!("\n{:<width$}{:>USD$.2}\n", "in all", leave.usd, width = LABEL + ITEM + UNITS + 2);
    text += "\nTime of one run\n";
    for Time { what, seconds } in &leave.times {
        text += &format!("  {what:<width$}{:>UNITS$}\n", time(*seconds), width = LABEL + ITEM);
    }
    text += &format!("  {:<width$}{:>UNITS$}\n", "all runs", time(leave.seconds), width = LABEL + ITEM);
    text += &leave.stay.as_ref().map_or_else(String::new, |stay| stays(stay, &from, &to));
    text += "\nNot in it: events of other tenants, which a scan on Lambda reads, too; keeping the data on both sides; what clients\n\
             send meanwhile; taxes, support, and the people who do it.\n";
    text += "\nWhat it rests on; --assume NAME=VALUE says otherwise\n";
    for Assumption { name, value, unit, about, source } in &leave.assumptions {
        text += &wrapped(&format!("  {name} = {} {unit}: {about} ({source})", decimal(*value)));
    }
    text
}

fn side(heading: &str, side: &Side) -> String {
    let mut text = format!("\n{heading:<width$}{:>USD$}\n", "USD", width = LABEL + ITEM + UNITS + 2);
    let mut service = "";
    for Line { service: of, item, units, usd, .. } in &side.lines {
        let label = if of.name() == service { "" } else { of.name() };
        service = of.name();
        let units = if *units < 1000.0 { format!("{units:.2}") } else { amount(units.round()) };
        let usd = usd.map_or_else(|| "unpriced".to_owned(), |usd| format!("{usd:.2}"));
        let item: String = item.chars().take(ITEM - 1).collect();
        text += &format!("  {label:<LABEL$}{item:<ITEM$}{units:>UNITS$}{usd:>USD$}\n");
    }
    text + &format!("  {:<width$}{:>USD$.2}\n", "total", side.usd, width = LABEL + ITEM + UNITS)
}

fn stays(stay: &Stay, from: &str, to: &str) -> String {
    let Stay { requests, source_month_usd, target_month_usd, pays_after_months } = stay;
    let paid = match pays_after_months {
        Some(months) => format!("leaving has paid after {} months", decimal(*months)),
        None => format!("leaving never pays: {to} costs no less"),
    };
    format!(
        "\nStay, or go: USD a month with {} requests\n  {from:<LABEL$}{source_month_usd:>USD$.2}\n  {to:<LABEL$}{target_month_usd:>USD$.2}\n  {paid}\n",
        amount(requests.round())
    )
}
