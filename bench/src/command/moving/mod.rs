//! `isotherm export`, `import` and `move`: a tenant's events and rollups leave a service, and come into another.
//!
//! ```text
//! a service ─▶ Source ─▶ events, rollups of all parts as one ─▶ Sink ─▶ a file, or a service
//!                                     └─▶ Manifest: counts and digests by day
//! ```

mod file;
mod lines;
mod manifest;
mod pass;
mod sink;
mod source;
mod state;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::load::Url;
use crate::words::grouped;
use file::FileSink;
use manifest::Manifest;
use pass::Pass;
use sink::{Sink, Target};
use source::Source;
use state::State;

const EXPORT: &str = "Examples:
  isotherm export https://events.example.com shop.ndjson.gz   with a key of scope operate in ISOTHERM_KEY
  zcat shop.ndjson.gz | jq -c 'select(.event).event.record'    its events
  zcat shop.ndjson.gz | tail -1 | jq .manifest                counts and digests by day";

const IMPORT: &str = "Examples:
  isotherm import shop.ndjson.gz https://events.example.net   with a key of scope operate in ISOTHERM_KEY";

const MOVE: &str = "Examples:
  isotherm move --from https://a.example.com --to https://b.example.net   with keys in ISOTHERM_FROM_KEY and ISOTHERM_TO_KEY
  isotherm move --from https://a.example.com --to https://b.example.net --state move.json   can go on after a kill
  isotherm move --from https://b.example.net --to https://a.example.com --events-only       back: only what came since";

/// Writes all of a tenant's events and rollups into a file of JSON lines, packed with gzip. docs/move.md has the format.
#[derive(Debug, Args)]
#[command(before_help = EXPORT)]
pub struct Export {
    /// The service to export from
    url: Url,
    /// The file to write; it must not be there yet
    file: PathBuf,
    /// A key of scope operate; it says which tenant
    #[arg(long, value_name = "KEY", env = "ISOTHERM_KEY", hide_env_values = true)]
    key: Option<String>,
    #[command(flatten)]
    care: Care,
}

/// Brings an export into a service. To do it twice does no harm.
#[derive(Debug, Args)]
#[command(before_help = IMPORT)]
pub struct Import {
    /// The file that `isotherm export` wrote
    file: PathBuf,
    /// The service to import into
    url: Url,
    /// A key of scope operate; it says which tenant
    #[arg(long, value_name = "KEY", env = "ISOTHERM_KEY", hide_env_values = true)]
    key: Option<String>,
    #[command(flatten)]
    care: Care,
}

/// Copies all of a tenant's events and rollups from one service into another, and compares both at the end. Nothing is
/// deleted. Events that come meanwhile are copied too; the end needs a source that takes no more.
#[derive(Debug, Args)]
#[command(before_help = MOVE)]
pub struct Move {
    /// The service to leave
    #[arg(long, value_name = "URL")]
    from: Url,
    /// The service to go to
    #[arg(long, value_name = "URL")]
    to: Url,
    /// A key of scope operate at the service to leave
    #[arg(long, value_name = "KEY", env = "ISOTHERM_FROM_KEY", hide_env_values = true)]
    from_key: Option<String>,
    /// A key of scope operate at the service to go to
    #[arg(long, value_name = "KEY", env = "ISOTHERM_TO_KEY", hide_env_values = true)]
    to_key: Option<String>,
    /// Copy only events that no move has brought to the source, and let the target count them: the way back
    #[arg(long)]
    events_only: bool,
    /// A file that says how far the move is. A killed move goes on from there; it is removed at the end
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    care: Care,
}

/// How hard and how long a command tries.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Care {
    /// The most events to send in a second
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// For how many seconds to go on while a service does not answer, or has not folded yet
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

/// Runs `isotherm export`.
///
/// # Errors
/// Fails if the service refuses or does not answer, or if the file can't be written.
pub async fn export(flags: &Export) -> Result<ExitCode> {
    let source = Source::open(&flags.url, flags.key.as_deref(), flags.care).await?;
    source.wait_until_folded().await?;
    let mut sink = Sink::File(FileSink::create(&flags.file, &flags.url)?);
    let mut pass = Pass::new(&source, false);
    pass.copy_all(&mut sink, &mut State::default()).await?;
    let manifest = pass.into_manifest();
    sink.end(&manifest).await?;
    done(&manifest, &format!("written to {}", flags.file.display()))
}

/// Runs `isotherm import`.
///
/// # Errors
/// Fails if the file is not whole, or if the service refuses or does not answer.
pub async fn import(flags: &Import) -> Result<ExitCode> {
    let promised = file::manifest(&flags.file)?;
    let mut sink = Sink::Service(Target::open(&flags.url, flags.key.as_deref(), flags.care, true).await?);
    sink.copy(&flags.file).await?;
    sink.end(&promised).await?;
    verify(&promised, &flags.url, flags.key.as_deref(), flags.care).await?;
    done(&promised, &format!("there at {}", flags.url))
}

/// Runs `isotherm move`.
///
/// # Errors
/// Fails if a service refuses or does not answer, or if the target has something else than the source at the end.
pub async fn move_all(flags: &Move) -> Result<ExitCode> {
    let (from, to) = (flags.from.to_string(), flags.to.to_string());
    ensure!(from != to || flags.from_key != flags.to_key, "--from and --to are the same");
    let source = Source::open(&flags.from, flags.from_key.as_deref(), flags.care).await?;
    let target = Target::open(&flags.to, flags.to_key.as_deref(), flags.care, !flags.events_only).await?;
    let mut sink = Sink::Service(target);
    let mut state = State::of_file(flags.state.clone(), &from, &to)?;
    source.wait_until_folded().await?;
    let mut pass = Pass::new(&source, flags.events_only);
    pass.copy_all(&mut sink, &mut state).await?;
    let manifest = pass.into_manifest();
    sink.end(&manifest).await?;
    if !flags.events_only {
        // A continued move has not seen the events that it copied before it was killed.
        let manifest = Pass::read(&source).await?;
        verify(&manifest, &flags.to, flags.to_key.as_deref(), flags.care).await?;
        state.remove()?;
        return done(&manifest, &format!("the same at {to}"));
    }
    state.remove()?;
    done(&manifest, &format!("sent to {to}"))
}

/// Compares what a service has with what it should have.
async fn verify(expected: &Manifest, url: &Url, key: Option<&str>, care: Care) -> Result<()> {
    eprintln!("comparing with {url}");
    let target = Source::open(url, key, care).await?;
    // It passes over what moved rollups count, but only then are the events in its export.
    target.wait_until_folded().await?;
    let found = Pass::read(&target).await?;
    let differences = expected.differences(&found);
    ensure!(
        differences.is_empty(),
        "{url} has something else than the source:\n  {}\nIf the source has taken events meanwhile, run this again, at best \
         when it takes no more. If the target had events of its own before, nothing is wrong with what was copied.",
        differences.join("\n  ")
    );
    Ok(())
}

fn done(manifest: &Manifest, place: &str) -> Result<ExitCode> {
    let (events, rollups) = manifest.counts();
    if manifest.damaged > 0 {
        eprintln!(
            "{} damaged pages stay behind: reports of their hours are incomplete in both places",
            manifest.damaged
        );
    }
    crate::say(&format!("{} events and {} pages of rollups, {place}\n", grouped(events), grouped(rollups)))
        .context("cannot write")?;
    Ok(ExitCode::SUCCESS)
}
