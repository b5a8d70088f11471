//! `isotherm`: one analytics function on four platforms, run and compared on this machine.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use isotherm_bench::up;

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
}

fn main() -> ExitCode {
    // clap's own exit on bad flags: one clear message and exit code 2.
    match run(Flags::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("isotherm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> Result<ExitCode> {
    // This thread starts the hosts' processes, which end when it ends: it lives as long as the program.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(async {
        match flags.command {
            Command::Up(up) => up::up(up).await,
            Command::Serve(serve) => up::serve(serve).await,
        }
    })
}
