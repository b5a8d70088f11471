//! `isotherm soak`: hours of good and hostile clients against one platform, which is killed again and again.
//!
//! A warm-up comes first. Two phases with the same number of rounds follow: good clients alone, then the same beside hostile ones. Each
//! round starts the host on the data of earlier rounds and ends with SIGKILL. The state file is written after each
//! round, so an interrupted soak continues with the next round.

mod good;
mod hostile;
mod keys;
mod memory;
mod report;
mod round;
mod state;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use isotherm_hosts::{Platform, Remote, Up, control, lines};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command::soak::good::Good;
use crate::command::soak::keys::{CONFIG, GOOD, PHASES};
use crate::command::soak::report::Report;
use crate::command::soak::round::Round;
use crate::command::soak::state::State;
use crate::command::up;
use crate::load::{Endpoint, Url};
use crate::say;

const SAMPLE_EVERY: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  isotherm soak native                                  20 rounds of 30 s
  isotherm soak workers --minutes 60 --state w.json
        can be interrupted; started again, it goes on
  isotherm soak lambda --out bench/results/soak-lambda.md";

const ABOUT: &str = "\
A soak has two phases of the same length: good clients alone, then the same clients beside hostile ones of another tenant. A round of \
both comes before them, so that data, caches and memory are those of a service that has seen traffic.

Good clients send single events and batches with messageIds, look events up and ask for reports, at a fixed rate. Hostile ones send \
what is valid and costly, or not valid at all: new names and values without end, 300 event types with long names, hours over 20 \
years, gzip junk, bodies that come slowly, wrong keys, the worst reports. The host is killed after each round and started again on \
the same data.

At the end every event that was accepted must be there once. The report also says how memory grew, and what the hostile clients did \
to the 99th percentile of the good ones. The exit code is 1 where an event was lost or doubled.";

/// The flags of `isotherm soak`.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES, after_help = ABOUT)]
pub struct Soak {
    /// What to put under load
    #[arg(value_parser = up::platform())]
    platform: Platform,
    /// How long both phases last together
    #[arg(long, value_name = "N", default_value = "10", value_parser = minutes)]
    minutes: f64,
    /// How long a round lasts before the host is killed, seconds
    #[arg(long, value_name = "N", default_value = "30", value_parser = minutes)]
    round: f64,
    /// The time from one request of a kind of hostile clients to the next, milliseconds
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    hostile_every: u64,
    /// Where to keep what is known so far, to go on after an interruption; the platform's data is kept beside it
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Write the report there, Markdown, and as JSON beside it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Where `cargo xtask build` put the artifacts
    #[arg(long, value_name = "DIR", env = "ISOTHERM_ARTIFACTS", default_value = "target/artifacts")]
    artifacts: PathBuf,
}

fn minutes(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.01..=100_000.0).contains(number));
    number.ok_or_else(|| "must be 0.01 to 100000".to_owned())
}

/// Runs `isotherm soak`.
///
/// # Errors
/// Fails if the host can't be started, or if the state can't be read or written.
pub async fn soak(flags: Soak) -> Result<ExitCode> {
    let mut ends = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = flags.state.clone().unwrap_or_else(|| temporary.path().join("soak.json"));
    let rounds = ((flags.minutes * 60.0 / flags.round / PHASES as f64).ceil() as usize).max(1);
    let mut state = State::open(&file, flags.platform, flags.round, rounds, flags.hostile_every)?;
    let done = tokio::select! {
        done = run(&flags, &file, &mut state) => Some(done),
        () = ended(&mut ends) => None,
    };
    // A dropped host stops by itself; this waits for it.
    control::stragglers().await;
    let Some(done) = done else {
        let goes_on = if flags.state.is_some() { ": the same command goes on with the next round" } else { "" };
        lines::print_error(&format!("isotherm: interrupted{goes_on}"));
        return Ok(ExitCode::from(130));
    };
    let report = done?;
    if let Some(out) = &flags.out {
        let written = |path: &Path, text: String| {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        written(out, report.markdown())?;
        written(&out.with_extension("json"), report.json()?)?;
    }
    say(&if flags.json { report.json()? } else { report.markdown() })?;
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ended([interrupt, terminate]: &mut [Signal; 2]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn run(flags: &Soak, file: &Path, state: &mut State) -> Result<Report> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut host = Up::new(program, flags.platform, &flags.artifacts);
    CONFIG.clone_into(&mut host.config);
    host.data = Some(state::data(file));
    if !state.is_warm {
        lines::print_error(&format!("soak {}: warm-up, good and hostile clients", flags.platform));
        let warm_up = one_round(host.start().await?, state, true).await?;
        state.add(None, warm_up);
        state.save(file)?;
    }
    while state.done() < PHASES * state.rounds {
        let (round, phase) = (state.done(), state.done() / state.rounds);
        let what = ["good clients", "good and hostile clients"][phase];
        let all = PHASES * state.rounds;
        lines::print_error(&format!("soak {}: round {} of {all}, {what}", flags.platform, round + 1));
        let remote = host.start().await?;
        let of_round = one_round(remote, state, phase > 0).await?;
        state.add(Some(phase), of_round);
        state.save(file)?;
    }
    lines::print_error(&format!("soak {}: looking for every event", flags.platform));
    let remote = host.start().await?;
    let endpoint = endpoint(&remote, GOOD).await?;
    let runtime = remote.runtime().clone();
    good::send_again(&endpoint, state).await;
    let found = good::verify(&endpoint, state).await?;
    remote.stop().await?;
    Ok(Report::of(flags.platform, &runtime, state, found))
}

async fn endpoint(remote: &Remote, key: &str) -> Result<Endpoint> {
    remote.url().parse::<Url>()?.resolve(Some(key)).await
}

/// Puts load on a host until it is killed.
async fn one_round(remote: Remote, state: &mut State, is_hostile: bool) -> Result<Round> {
    let endpoint = endpoint(&remote, GOOD).await?;
    good::send_again(&endpoint, state).await;
    let is_over: Arc<AtomicBool> = Arc::default();
    let good = Good::start(&endpoint, &is_over);
    let every = Duration::from_millis(state.hostile_every_ms);
    let hostile = is_hostile.then(|| hostile::start(remote.url(), every, &is_over));
    let (started, limit) = (Instant::now(), Duration::from_secs_f64(state.round_seconds));
    let mut memory = Vec::new();
    while let Some(left) = limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        tokio::time::sleep(SAMPLE_EVERY.min(left)).await;
        let bytes = remote.id().map_or(0, memory::resident);
        memory.push((started.elapsed().as_secs_f64(), bytes));
    }
    ensure!(memory.iter().any(|(_, bytes)| *bytes > 0), "the host has ended by itself");
    remote.kill().await?;
    is_over.store(true, Ordering::Relaxed);
    let mut round = good.end().await;
    if let Some(hostile) = hostile {
        round.add_statuses(hostile.end().await);
    }
    round.memory = memory;
    Ok(round)
}
