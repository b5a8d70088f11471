//! `isotherm cost --leave`: what a move costs, and how long it takes.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::{Cost, amount};
use crate::BadInput;
use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::bill::Rates;
use crate::model::cost::design::Design;
use crate::model::cost::given::{Given, HOURS};
use crate::model::cost::leave::{Leave, Leaving, leave as left};
use crate::render::leave::text;
use crate::say;

/// The flags of a move.
#[derive(Args, Clone, Debug)]
pub(super) struct Flags {
    /// What `isotherm move` costs from a platform to another, and how long it takes
    #[arg(long, requires = "from", requires = "to", conflicts_with_all = ["designs", "services"])]
    pub(super) leave: bool,
    /// The platform to go to
    #[arg(long, value_name = "NAME", value_enum, requires = "leave")]
    to: Option<Design>,
    /// Bytes of an event as it is stored, JSON with ids and times; without it, as the flights have
    #[arg(long, value_name = "N", value_parser = above_zero, requires = "leave")]
    bytes: Option<f64>,
    /// How often the move runs: while clients still send, and again when they have stopped
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u8).range(1..), requires = "leave")]
    runs: u8,
    /// The most events to send in a second, as of `isotherm move --rate`
    #[arg(long, value_name = "EVENTS", value_parser = above_zero, requires = "leave")]
    rate: Option<f64>,
    /// Puts the month of both platforms beside it, and says when leaving has paid
    #[arg(long, requires = "leave")]
    stay: bool,
}

fn above_zero(text: &str) -> Result<f64, String> {
    match amount(text)? {
        number if number >= 1.0 => Ok(number),
        _ => Err("must be 1 or more".to_owned()),
    }
}

/// Prints what leaving costs.
///
/// # Errors
/// Fails if standard output can't be written.
pub(super) fn leave(flags: &Cost) -> Result<ExitCode> {
    let left = answer(flags).map_err(BadInput)?;
    say(&if flags.json { format!("{}\n", serde_json::to_string_pretty(&left)?) } else { text(&left) })?;
    Ok(ExitCode::SUCCESS)
}

/// The answer to the flags.
pub(super) fn answer(flags: &Cost) -> Result<Leave> {
    let named = flags.from.as_ref().and_then(Option::as_ref).map(|name| name.display().to_string());
    let from = named.as_deref().and_then(|name| Design::from_str(name, false).ok());
    let from = from.context("with --leave, --from names a platform: lambda, workers, spin or native")?;
    let to = flags.leave.to.context("--leave needs --to")?;
    let book = flags.prices()?;
    let mut assumed = Assumptions::read()?;
    let (sample, _) = flags.sample(None, &mut assumed)?;
    // A service that has run for as long as events are kept has those of so many months.
    let months = assumed.value("event-days")? * 24.0 / HOURS;
    let events_per_request = flags.events_per_request.unwrap_or(1.0);
    if months <= 0.0 || events_per_request <= 0.0 {
        bail!("events must be kept, and a request must have events");
    }
    let said = match &flags.events {
        Some(number) => {
            let read = amount(&number.display().to_string());
            Some(read.map_err(|problem| anyhow::anyhow!("with --leave, --events is a number of events: {problem}"))?)
        }
        None => None,
    };
    let requests =
        flags.requests.or(said.map(|events| events / months / events_per_request)).unwrap_or(super::REQUESTS);
    let load = flags.load(requests, events_per_request);
    let rates = Rates { book: &book, on: flags.book.day(), free_tier: flags.free_tier == "on" };
    let given = Given { load: &load, assumed: &assumed, rates: &rates, sample: &sample };
    let leaving = Leaving {
        from,
        to,
        events: said.unwrap_or(load.events() * months),
        record_bytes: flags.leave.bytes,
        runs: flags.leave.runs.into(),
        rate: flags.leave.rate,
        stays: flags.leave.stay,
    };
    left(&leaving, &given)
}

#[cfg(test)]
mod tests;
