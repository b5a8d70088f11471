//! `isotherm export`, `import`, `move`, `cutover`, `restore` and `verify`: a tenant's events and rollups leave a service, and
//! come into another.
//!
//! ```text
//! a service ─▶ Source ─▶ events, rollups of all parts as one ─▶ Sink ─▶ a file, or a service
//!                                     └─▶ Manifest: counts and digests by day
//! while clients write ─▶ Live: a pass after a pass, each of what is new ─▶ Tally: the same of both sides
//! a folder ─▶ Backups ─▶ events ─▶ Target, a service; or Side, to compare
//! ```

mod backups;
mod cutover;
mod file;
mod interrupt;
mod lines;
mod live;
mod manifest;
mod pass;
mod progress;
mod restore;
mod side;
mod sink;
mod source;
mod state;
mod tally;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;

use crate::BadInput;
use crate::load::Url;
use crate::words::grouped;
pub(crate) use cutover::Switched;
pub use cutover::{Cutover, cutover};
use file::FileSink;
use interrupt::{endless, interruptible};
use live::Live;
use manifest::Manifest;
use pass::Pass;
pub(crate) use restore::Restored;
pub use restore::{Restore, restore};
use sink::{Coming, Sink, Target};
use source::Source;
use state::State;
pub(crate) use verify::Verified;
pub use verify::{Verify, verify};

const EXPORT: &str = "Examples:
  isotherm export https://events.example.com shop.ndjson.gz
        with a key of scope operate in ISOTHERM_KEY
  zcat shop.ndjson.gz | jq -c 'select(.event).event.record'    its events
  zcat shop.ndjson.gz | tail -1 | jq .manifest                counts and digests by day";

const IMPORT: &str = "Examples:
  isotherm import shop.ndjson.gz https://events.example.net
        with a key of scope operate in ISOTHERM_KEY";

const MOVE: &str = "Examples:
  isotherm move --from https://a.example.com --to https://b.example.net
        with keys in ISOTHERM_FROM_KEY and ISOTHERM_TO_KEY
  isotherm move --from https://a.example.com --to https://b.example.net --state move.json
        can go on after a kill
  isotherm move --from https://a.example.com --to https://b.example.net --state move.json --follow
        until Ctrl-C
  isotherm move --from https://b.example.net --to https://a.example.com --events-only
        back: only what came since";

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
    /// The tenant has other events of its own there; reports will count both
    #[arg(long)]
    beside: bool,
    #[command(flatten)]
    care: Care,
}

/// Copies all of a tenant's events and rollups from one service into another, and compares both at the end. Nothing is
/// deleted. If the source takes events meanwhile, most is there afterwards, and the comparison says what is missing: run it
/// again when the source takes no more.
#[derive(Debug, Args)]
#[command(before_help = MOVE)]
pub struct Move {
    #[command(flatten)]
    ends: Ends,
    /// Go on with what clients write meanwhile, until Ctrl-C. `isotherm cutover` goes on from there
    #[arg(long)]
    follow: bool,
    /// The tenant has other events of its own at the target; reports will count both
    #[arg(long)]
    beside: bool,
}

/// Where data come from, and where they go.
#[derive(Debug, Args)]
struct Ends {
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

/// Two services are compared by the events that do not expire within this time, in seconds: a day.
const LASTING: u64 = 24 * 60 * 60;

/// The horizon of a comparison that begins now.
fn horizon() -> u64 {
    jiff::Timestamp::now().as_second().unsigned_abs() + LASTING
}

/// Runs `isotherm export`.
///
/// # Errors
/// Fails if the service refuses or does not answer, if it takes events meanwhile, or if the file can't be written.
pub async fn export(flags: &Export) -> Result<ExitCode> {
    interruptible(exported(flags), "no file is written").await
}

async fn exported(flags: &Export) -> Result<ExitCode> {
    let source = Source::open(&flags.url, flags.key.as_deref(), flags.care).await?;
    source.wait_until_folded().await?;
    let mut sink = Sink::File(FileSink::create(&flags.file, &flags.url)?);
    let horizon = horizon();
    let mut pass = Pass::new(&source, false, horizon);
    pass.copy_all(&mut sink, &mut State::default()).await?;
    let differences = pass.lasting.differences(&settled(&source, horizon).await?);
    ensure!(
        differences.is_empty(),
        "{} has taken events meanwhile, so there is no whole export:\n  {}\nRun it again when the service takes no more.",
        flags.url,
        differences.join("\n  ")
    );
    sink.end(&pass.manifest).await?;
    done(&pass.manifest, &format!("written to {}", flags.file.display()))
}

/// Runs `isotherm import`.
///
/// # Errors
/// Fails if the file is not whole, or if the service refuses or does not answer.
pub async fn import(flags: &Import) -> Result<ExitCode> {
    let horizon = horizon();
    // A signal ends the program at once while the file is read.
    let manifests = file::manifest(&flags.file, horizon).map_err(BadInput)?;
    interruptible(imported(flags, manifests, horizon), "what was sent stays: run the same command again").await
}

async fn imported(flags: &Import, (promised, lasting): (Manifest, Manifest), horizon: u64) -> Result<ExitCode> {
    let there = Source::open(&flags.url, flags.key.as_deref(), flags.care).await?;
    let mut target = Target::open(&flags.url, flags.key.as_deref(), flags.care, Coming::All).await?;
    target.prepare(&there, flags.beside).await?;
    Sink::Service(Box::new(target)).copy(&flags.file).await?;
    compare(&lasting, &there, horizon, flags.beside).await?;
    done(&promised, &format!("there at {}", flags.url))
}

/// Both ends of a move, looked at before it begins.
struct Opened {
    source: Source,
    there: Source,
    sink: Sink,
    state: State,
}

impl Ends {
    async fn open(&self, beside: bool) -> Result<Opened> {
        let (from, to) = (self.from.to_string(), self.to.to_string());
        if from == to && self.from_key == self.to_key {
            return Err(BadInput(anyhow!("--from and --to are the same")).into());
        }
        let source = Source::open(&self.from, self.from_key.as_deref(), self.care).await?;
        let there = Source::open(&self.to, self.to_key.as_deref(), self.care).await?;
        let coming = if self.events_only { Coming::Events } else { Coming::All };
        let mut target = Target::open(&self.to, self.to_key.as_deref(), self.care, coming).await?;
        let of = format!("{:?} {:?} {}", self.from_key, self.to_key, self.events_only);
        let state = State::of_file(self.state.clone(), &from, &to, &of).map_err(BadInput)?;
        source.wait_until_folded().await?;
        if !self.events_only {
            target.prepare(&there, beside).await?;
        }
        Ok(Opened { source, there, sink: Sink::Service(Box::new(target)), state })
    }
}

/// Runs `isotherm move`.
///
/// # Errors
/// Fails if a service refuses or does not answer, or if the target has something else than the source at the end.
pub async fn move_all(flags: &Move) -> Result<ExitCode> {
    let again = match &flags.ends.state {
        Some(_) => "the same command goes on from the last saved place",
        None => "the same command goes through all of it again, and does no harm",
    };
    if flags.follow {
        endless(moved(flags), &format!("{again}; `isotherm cutover` with the same flags but --follow ends the move"))
            .await
    } else {
        interruptible(moved(flags), again).await
    }
}

async fn moved(flags: &Move) -> Result<ExitCode> {
    let Opened { source, there, mut sink, mut state } = flags.ends.open(flags.beside).await?;
    let (events_only, to) = (flags.ends.events_only, there.url());
    if flags.follow {
        return Live::new(&source, sink, state, events_only).follow().await;
    }
    let mut pass = Pass::new(&source, events_only, 0);
    pass.copy_all(&mut sink, &mut state).await?;
    state.remove()?;
    if events_only {
        return done(&pass.manifest, &format!("sent to {to}"));
    }
    let horizon = horizon();
    let manifest = settled(&source, horizon).await?;
    compare(&manifest, &there, horizon, flags.beside).await?;
    done(&manifest, &format!("the same at {to}"))
}

/// The manifest of a service, read after it has folded everything that it accepted.
async fn settled(service: &Source, horizon: u64) -> Result<Manifest> {
    eprintln!("reading {} again, to compare", service.url());
    service.wait_until_folded().await?;
    Pass::read(service, horizon).await
}

/// Compares a service with the manifest that it should have. With `beside` it may have more.
async fn compare(expected: &Manifest, there: &Source, horizon: u64, beside: bool) -> Result<()> {
    let found = settled(there, horizon).await?;
    let differences = expected.differences(&found);
    if beside && !differences.is_empty() {
        eprintln!("with --beside nothing can be compared: the target has events of its own");
        return Ok(());
    }
    ensure!(
        differences.is_empty(),
        "{} has something else than the source:\n  {}\nIf the source has taken events meanwhile, run this again when it \
         takes no more.",
        there.url(),
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
