//! `isotherm restore`: a tenant's raw backup comes back, as events that a service counts itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use isotherm_core::{NewEvent, Seconds, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::backups::{Backups, Object, event_of};
use super::lines::EventLine;
use super::progress::Progress;
use super::sink::{Coming, Target};
use super::source::Source;
use super::state::State;
use super::{Care, interruptible};
use crate::BadInput;
use crate::command::cost::configured;
use crate::load::Url;
use crate::words::grouped;

const EXAMPLES: &str = "Examples:
  isotherm restore backups https://events.example.com
        with a key of scope operate in ISOTHERM_KEY
  aws s3 sync s3://BUCKET backups
        the folder, from Lambda; rclone copy from Workers
  isotherm restore backups https://events.example.com --tenant shop --state restore.json
        can go on after a kill
  isotherm verify https://events.example.com backups     whether all is there";

/// The name and version of the output of `--json`.
pub(crate) const SCHEMA: &str = "isotherm.restore/1";
/// How long an event is kept at least once it is restored, in seconds: a week. So a restore that is run again within a
/// week counts nothing twice.
const KEPT: u64 = 7 * 24 * 60 * 60;
/// A restore that goes on this long after it began might find its first events gone.
const GOES_ON: u64 = KEPT - 24 * 60 * 60;
/// The most objects that an answer names.
const NAMED: usize = 20;

/// Sends the events of a raw backup to a service, which counts them. The folder has TENANT/DAY/BATCH.ndjson.gz, as S3, R2
/// and `--backup` do; docs/move.md says how to get it. To do it twice does no harm.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub struct Restore {
    /// The folder with the raw backup
    folder: PathBuf,
    /// The service to restore into
    url: Url,
    #[command(flatten)]
    whose: Whose,
    /// A key of scope operate of the tenant
    #[arg(long, value_name = "KEY", env = "ISOTHERM_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Also send events that have expired, although the tenant has rollups: they are not in them
    #[arg(long)]
    expired: bool,
    /// A file that says how far it is. A killed restore goes on from there; it is removed at the end
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// As JSON: `isotherm schema restore`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    care: Care,
}

/// Whose backup it is, and how long its events are kept.
#[derive(Debug, Args)]
pub(super) struct Whose {
    /// The tenant; without it, the only one in the folder
    #[arg(long, value_name = "NAME")]
    pub(super) tenant: Option<String>,
    /// The service's configuration, if it has `retention`; without it, events are kept for 90 days
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Whose {
    /// The service that the configuration makes.
    pub(super) fn service(&self) -> Result<Service> {
        self.config.as_deref().map_or_else(|| Ok(Service::from_text(None)), configured)
    }
}

/// The output of `--json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Restored {
    /// The name and version of this output.
    schema: String,
    /// The tenant whose backup it is.
    tenant: String,
    /// Objects that were read.
    objects: u64,
    /// Records in them, each as often as it is there.
    records: u64,
    /// Events that the service did not have.
    new: u64,
    /// Events that it had, or that are in the backup twice.
    there: u64,
    /// Events that it had with another digest than follows from the record, or another event under their id.
    otherwise: u64,
    /// Events among these that had expired and are kept for a week more, so that they are counted.
    expired: u64,
    /// Events that have expired and were not sent, because the tenant has rollups that may count them.
    left_out: u64,
    /// Lines that are no event.
    unreadable: u64,
    /// Damaged objects, of which nothing was sent.
    damaged: u64,
    /// The first of these objects, and of those with lines that are no event.
    named: Vec<Damage>,
}

/// What is wrong with an object.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Damage {
    object: String,
    problem: String,
}

impl Restored {
    /// Says what is wrong with an object, at once.
    fn name(&mut self, object: &Object, problem: &str) {
        eprintln!("{}/{}: {problem}", self.tenant, object.key);
        if self.named.len() < NAMED {
            self.named.push(Damage { object: object.key.clone(), problem: problem.to_owned() });
        }
    }
}

/// The progress of a restore.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    /// When it began, in seconds since 1970.
    began: u64,
    /// The tenant had no rollups at that time.
    was_empty: bool,
    /// The last object that was taken.
    last: String,
    /// The result so far.
    so_far: Restored,
}

/// Runs `isotherm restore`.
///
/// # Errors
/// Fails if the service refuses or does not answer.
pub async fn restore(flags: &Restore) -> Result<ExitCode> {
    let again = match flags.state {
        Some(_) => "the same command goes on from the last saved place",
        None => "the same command begins anew, and what was sent stays",
    };
    interruptible(restore_all(flags), again).await
}

async fn restore_all(flags: &Restore) -> Result<ExitCode> {
    let (backups, service) = opened(&flags.folder, &flags.whose).map_err(BadInput)?;
    let there = Source::open(&flags.url, flags.key.as_deref(), flags.care).await?;
    let target = Target::open(&flags.url, flags.key.as_deref(), flags.care, Coming::Backups).await?;
    let of = format!("{:?} {} {:?} {}", flags.key, backups.tenant, flags.whose.config, flags.expired);
    let mut state =
        State::of_file(flags.state.clone(), &flags.folder.display().to_string(), &flags.url.to_string(), &of)?;
    let place = match state.events.get(&0) {
        Some(place) => serde_json::from_str(place).context("the state is of no restore")?,
        None => Place::begin(&backups, !there.has_rollups().await?),
    };
    let now = now();
    let is_first = place.was_empty && now < place.began + GOES_ON;
    let kept = match (is_first, flags.expired) {
        (true, _) => Some(place.began + KEPT),
        (false, true) => Some(now + KEPT),
        (false, false) => None,
    };
    let mut restore = Run { target, service, place, now, kept };
    let restored = restore.all(&backups, &mut state).await?;
    state.remove()?;
    let text = if flags.json { format!("{}\n", serde_json::to_string_pretty(&restored)?) } else { text(&restored) };
    crate::say(&text)?;
    let is_whole = restored.damaged == 0 && restored.unreadable == 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Opens the backup, and makes the service of the configuration, as the flags name them.
pub(super) fn opened(folder: &Path, whose: &Whose) -> Result<(Backups, Service)> {
    Ok((Backups::open(folder, whose.tenant.as_deref())?, whose.service()?))
}

pub(super) fn now() -> u64 {
    jiff::Timestamp::now().as_second().unsigned_abs()
}

impl Place {
    fn begin(backups: &Backups, was_empty: bool) -> Self {
        let (schema, tenant) = (SCHEMA.to_owned(), backups.tenant.clone());
        let so_far = Restored { schema, tenant, ..Restored::default() };
        Self { began: now(), was_empty, last: String::new(), so_far }
    }
}

/// A restore under way.
struct Run {
    target: Target,
    service: Service,
    place: Place,
    now: u64,
    /// Expired events are kept until this time; `None` does not send them.
    kept: Option<u64>,
}

impl Run {
    async fn all(&mut self, backups: &Backups, state: &mut State) -> Result<Restored> {
        let mut progress = Progress::new("restoring", backups.bytes);
        // A run that goes on after a kill needs the time at which this one began.
        self.save(state).await?;
        if self.passed(backups)? != self.place.so_far.objects {
            eprintln!("other objects are there than before: beginning anew, what is there already stays");
            self.place = Place { began: self.place.began, ..Place::begin(backups, self.place.was_empty) };
        }
        let last = self.place.last.clone();
        for object in backups.all() {
            let object = object?;
            if object.key <= last {
                progress.skip(object.bytes);
                continue;
            }
            self.object(&object).await?;
            // An object may have nothing to send. Then this is where a signal is noticed.
            tokio::task::yield_now().await;
            self.place.so_far.objects += 1;
            self.place.last.clone_from(&object.key);
            progress.add(object.bytes);
            if progress.tell(self.place.so_far.records) {
                self.save(state).await?;
            }
        }
        self.save(state).await?;
        Ok(self.place.so_far.clone())
    }

    /// Counts the objects up to the last that was taken.
    fn passed(&self, backups: &Backups) -> Result<u64> {
        let mut passed = 0;
        for object in backups.all() {
            passed += u64::from(object?.key <= self.place.last);
        }
        Ok(passed)
    }

    /// Sends the waiting events, and saves the progress.
    async fn save(&mut self, state: &mut State) -> Result<()> {
        self.target.flush().await?;
        let became = std::mem::take(&mut self.target.became);
        self.place.so_far.new += became.new;
        self.place.so_far.there += became.there;
        self.place.so_far.otherwise += became.otherwise;
        state.events.insert(0, serde_json::to_string(&self.place)?);
        state.save()
    }

    async fn object(&mut self, object: &Object) -> Result<()> {
        if let Err(error) = object.check() {
            self.place.so_far.damaged += 1;
            self.place.so_far.name(object, &format!("damaged, nothing of it is sent: {error}"));
            return Ok(());
        }
        let (mut unreadable, cannot) = (0, || format!("cannot read {}", object.key));
        for line in object.lines().with_context(cannot)? {
            let line = line.with_context(cannot)?;
            self.place.so_far.records += 1;
            match event_of(&self.service, &line) {
                Some(event) => self.event(&event).await?,
                None => unreadable += 1,
            }
        }
        if unreadable > 0 {
            self.place.so_far.unreadable += unreadable;
            self.place.so_far.name(object, &format!("{unreadable} lines are no event"));
        }
        Ok(())
    }

    async fn event(
        &mut self,
        NewEvent { digest, expires_at: Seconds(expires_at), record, .. }: &NewEvent,
    ) -> Result<()> {
        let has_expired = *expires_at <= self.now;
        if has_expired && self.kept.is_none() {
            self.place.so_far.left_out += 1;
            return Ok(());
        }
        self.place.so_far.expired += u64::from(has_expired);
        let kept = self.kept.unwrap_or_default();
        let (digest, record) = (digest.to_string(), serde_json::from_str::<&RawValue>(record)?);
        let line = EventLine { digest: &digest, expires_at: kept.max(*expires_at), moved: false, record };
        self.target.event(&line).await
    }
}

fn text(restored: &Restored) -> String {
    let Restored { objects, records, new, there, otherwise, expired, left_out, unreadable, damaged, tenant, .. } =
        restored;
    let [objects, records, new, there] = [*objects, *records, *new, *there].map(grouped);
    let mut text = format!("{tenant}: {records} records of {objects} objects; {new} new events, {there} were there\n");
    let more = [
        (*expired, "had expired: they are counted, and kept for a week more"),
        (
            *left_out,
            "have expired and were not sent: the tenant has rollups, which may count them. --expired sends them",
        ),
        (*otherwise, "have the id of an event that is there with another digest: docs/move.md says when"),
        (*unreadable, "lines are no event"),
        (*damaged, "objects are damaged, and nothing of them was sent"),
    ];
    for (count, words) in more {
        if count > 0 {
            text += &format!("{} {words}\n", grouped(count));
        }
    }
    text
}
