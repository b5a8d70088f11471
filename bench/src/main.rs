//! `isotherm`: one analytics function on four platforms, run and compared on this machine.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use isotherm_bench::{compare, cost, diff, doctor, key, prices, simulate, soak, up};

/// One analytics function on four platforms, run and compared on this machine.
#[derive(Parser)]
#[command(name = "isotherm", version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start one platform in the foreground, on the runtime it really runs on
    Up(up::Up),
    /// Start the plain server: `up native`, on port 8080, with data that stays
    Serve(up::Serve),
    /// Measure one workload on every platform, and on the smallest function there
    Compare(compare::Compare),
    /// Render a result of `compare` again, as its page or as text
    Report(compare::Report),
    /// Price a month on every platform, without running anything
    Cost(cost::Cost),
    /// Say what changed between two results, and what is noise
    Diff(diff::Diff),
    /// Say what is missing on this machine for a comparison, and how to get it
    Doctor(doctor::Doctor),
    /// Make keys for the configuration
    Key(key::Key),
    /// List what the providers ask, with sources, and say how old the list is
    Prices(prices::Prices),
    /// Replay arrivals through models of the platforms: cold starts, latency and cost at scale
    Simulate(Box<simulate::Simulate>),
    /// Put one platform under good and hostile load, kill it again and again, and look for every event
    Soak(soak::Soak),
}

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return refuse(&error),
    };
    match run(flags) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("isotherm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What clap has to say of the flags: help as it is, an error on one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nobody reads standard output any more: there was nothing else to do.
        let _closed = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let lines =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    eprintln!("isotherm: {}", line.trim_start_matches("error: "));
    ExitCode::from(2)
}

fn run(flags: Flags) -> Result<ExitCode> {
    match flags.command {
        Command::Up(up) => up::up(&up),
        Command::Serve(serve) => up::serve(&serve),
        Command::Compare(flags) => Ok(compare::compare(&flags)),
        Command::Report(flags) => compare::report(&flags),
        Command::Cost(flags) => cost::cost(&flags),
        Command::Diff(flags) => diff::diff(&flags),
        Command::Doctor(flags) => doctor::doctor(&flags),
        Command::Key(flags) => key::key(&flags),
        Command::Prices(flags) => prices::prices(&flags),
        Command::Simulate(flags) => simulate::simulate(&flags),
        Command::Soak(flags) => threads()?.block_on(soak::soak(flags)),
    }
}

/// This thread starts the hosts' processes, which end when it ends: it lives as long as the program.
fn threads() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}
