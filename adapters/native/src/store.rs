//! Events in SQLite, with group commit.
//!
//! ```text
//! request ─▶ plan ─┐                ┌─▶ outcomes ─▶ reply
//! request ─▶ plan ─┼─▶ queue ─▶ writer: one transaction, one fsync
//! request ─▶ plan ─┘                └─▶ outcomes ─▶ reply
//! ```
//!
//! A disk makes a few hundred to a few thousand commits a second durable, however large each is. So one thread
//! writes: it takes waiting plans, writes them in one transaction, and answers each only after the commit is on disk.
//! While it waits for the disk, the next plans gather. Each tenant has a queue of its own, and a part of each
//! transaction.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use isotherm_core::{
    Condition, Digest, ExportOutcome, ExportPlan, FindOutcome, FindPlan, Holder, ImportPlan, Intake, Load, Maintenance,
    Millis, NewEvent, Next, Pace, Reply, ReportOutcome, ReportPlan, ReportReply, RequestId, Seconds, StoreOutcome,
    StorePlan, Task,
};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use tokio::sync::oneshot;

use crate::backlog::{Backlog, Taken, Untaken};
use crate::config::Configuration;
use crate::database::{BUSY_TIMEOUT, Readers, TASK_BUSY_TIMEOUT, create, integer, open};
use crate::log;
use crate::maintenance;
use crate::moved;
use crate::request;
use crate::response::Abandoned;
use crate::rollups;
use crate::turns::{Turn, Turns};
use crate::watch::Watch;

/// Look-ups that may run at once. One tenant gets at most half of them.
const LOOK_UPS: usize = 8;
/// Reports that may run at once. One tenant gets at most half of them. Each may take some 60 MB, and no look-up waits
/// for a report.
const REPORTS: usize = 2;
/// Deletes an expired event, if it is folded.
const MAKE_WAY: &str = "DELETE FROM events WHERE tenant = ?1 AND id = ?2
    AND seq <= coalesce((SELECT page FROM rollups WHERE tenant = '' AND key = '' AND typeof(page) = 'integer'), 0)";

const REJECTED: &str = "SELECT count(*) FROM rejected_events";

/// The events of all tenants, in one database.
pub struct Store {
    backlog: Arc<Backlog<Job>>,
    /// Taken by [`Store::close`].
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Arc<Readers>,
    look_ups: Turns,
    reports: Turns,
    watch: Arc<Watch>,
}

/// Where and how a store keeps its data.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the database; made when it is missing.
    pub folder: PathBuf,
    /// The folder of the raw backup: a file for each fold, written before the fold counts. `None` means no backup.
    pub backup: Option<PathBuf>,
    /// How often hours are compacted to days, and expired events are deleted.
    pub round: Duration,
}

/// A plan on its way to the writer and back.
struct Job {
    plan: StorePlan,
    done: oneshot::Sender<(StorePlan, Vec<StoreOutcome>)>,
}

impl Job {
    /// Answers with the same outcome for every event: none of them is kept.
    fn refuse(self, outcome: StoreOutcome) {
        let outcomes = vec![outcome; self.plan.events().len()];
        // Sending fails only if the client has gone.
        let _gone = self.done.send((self.plan, outcomes));
    }
}

impl Store {
    /// Opens the database, or makes it. The configured service folds the store's events into rollups. `watch` sees it.
    pub fn open(settings: Settings, configuration: Arc<Configuration>, watch: Arc<Watch>) -> Result<Self> {
        let folder = &settings.folder;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the data folder {}", folder.display()))?;
        let path = folder.join("events.sqlite");
        let mut connection = open(&path)
            .and_then(|connection| create(&connection).map(|()| connection))
            .with_context(|| format!("cannot open the database {}", path.display()))?;
        let backlog = Arc::new(Backlog::new());
        let (jobs, watched) = (Arc::clone(&backlog), Arc::clone(&watch));
        let writer = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let _abort = AbortOnPanic;
                write_and_maintain(&mut connection, &jobs, &configuration, &settings, &watched);
            })
            .context("cannot start the writer")?;
        let readers = Arc::new(Readers::new(path));
        let (look_ups, reports) = (Turns::new(LOOK_UPS), Turns::new(REPORTS));
        Ok(Self { backlog, writer: Mutex::new(Some(writer)), readers, look_ups, reports, watch })
    }

    /// Keeps the new events of a plan durably. Returns the plan with the outcome of each event.
    pub(crate) async fn store(&self, plan: StorePlan) -> Result<(StorePlan, Vec<StoreOutcome>), Abandoned> {
        let (done, outcomes) = oneshot::channel();
        let load = plan.events().iter().map(|event| Load::of(&event.record)).sum();
        let tenant = plan.tenant().clone();
        match self.backlog.push(tenant.as_str(), load, Job { plan, done }) {
            Ok(()) => {}
            Err(Untaken::Full(job)) => job.refuse(StoreOutcome::Overloaded),
            Err(Untaken::Closed(job)) => job.refuse(StoreOutcome::Unavailable),
        }
        outcomes.await.map_err(|_gone| Abandoned("the writer has ended"))
    }

    /// Looks one event up.
    pub(crate) async fn find(&self, plan: &FindPlan) -> FindOutcome {
        let (tenant, id) = (plan.tenant().as_str().to_owned(), plan.id().to_string());
        let expired_by = integer(plan.expired_by().0);
        let Some(turn) = turn(&self.look_ups, &tenant, plan.request_id()).await else {
            return FindOutcome::Unavailable;
        };
        match self.read(turn, move |connection| find(connection, &tenant, &id, expired_by)).await {
            Ok((Some(record), _)) => FindOutcome::Found(record),
            Ok((None, _)) => FindOutcome::Absent,
            Err(error) => {
                log::failure("an event cannot be looked up", format_args!("{error:#}"), &[plan.request_id()]);
                FindOutcome::Unavailable
            }
        }
    }

    /// Reads and answers a report, on a thread that may block. The turn ends once the answer is sent.
    pub(crate) async fn report(&self, plan: ReportPlan) -> Result<(Reply, Option<Turn>), Abandoned> {
        let Some(turn) = turn(&self.reports, plan.tenant().as_str(), plan.request_id()).await else {
            return Ok((plan.respond(ReportOutcome::Unavailable).reply, None));
        };
        let read = move |connection: &mut Connection| {
            let outcome = rollups::read(connection, &plan).map_or_else(
                |error| {
                    log::failure("a report cannot be read", format_args!("{error:#}"), &[plan.request_id()]);
                    ReportOutcome::Unavailable
                },
                |data| ReportOutcome::Read(vec![data]),
            );
            let ReportReply { reply, unreadable } = plan.respond(outcome);
            if !unreadable.is_empty() {
                log::line(unreadable);
            }
            Ok(reply)
        };
        let (reply, turn) = self.read(turn, read).await.map_err(|_panicked| Abandoned("a reader has ended"))?;
        Ok((reply, Some(turn)))
    }

    /// Reads the next lines of an export.
    pub(crate) async fn export(&self, plan: &ExportPlan) -> ExportOutcome {
        let (tenant, asked) = (plan.tenant().as_str().to_owned(), plan.asked().clone());
        let Some(turn) = turn(&self.look_ups, &tenant, plan.request_id()).await else {
            return ExportOutcome::Unavailable;
        };
        let read = self.read(turn, move |connection| moved::export(connection, &tenant, &asked)).await;
        read.map_or_else(
            |error| {
                log::failure("an export cannot be read", format_args!("{error:#}"), &[plan.request_id()]);
                ExportOutcome::Unavailable
            },
            |(read, _turn)| read,
        )
    }

    /// Keeps another service's rollups durably. Returns the reply.
    pub(crate) async fn import(&self, plan: ImportPlan) -> Result<Reply, Abandoned> {
        let Some(turn) = turn(&self.look_ups, plan.tenant().as_str(), plan.request_id()).await else {
            return Ok(plan.respond(false));
        };
        let keep = move |connection: &mut Connection| {
            let kept = moved::import(connection, &plan);
            if let Err(error) = &kept {
                log::failure("rollups cannot be kept", error, &[plan.request_id()]);
            }
            Ok(plan.respond(kept.is_ok()))
        };
        let (reply, _turn) = self.read(turn, keep).await.map_err(|_panicked| Abandoned("a reader has ended"))?;
        Ok(reply)
    }

    /// The condition of the store; `None` if it does not answer.
    pub(crate) async fn condition(&self, request_id: RequestId) -> Option<Condition> {
        // No tenant has this name, so its turns are its own.
        let turn = self.look_ups.take("", 1).await?;
        let count = |connection: &mut Connection| {
            // Without a watermark nothing is folded.
            rollups::watermark(connection)?;
            connection.query_row(REJECTED, [], |row| row.get::<_, i64>(0))
        };
        match self.read(turn, count).await {
            Ok((rejected, _)) => Some(self.watch.condition().with_rejected(rejected.unsigned_abs())),
            Err(error) => {
                log::failure("the store does not answer", format_args!("{error:#}"), &[request_id]);
                None
            }
        }
    }

    /// Runs `query` on a connection of its own. The query keeps its turn until it ends, even if nobody waits for it
    /// any more.
    async fn read<T: Send + 'static>(
        &self,
        turn: Turn,
        query: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<(T, Turn)> {
        let readers = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || Ok((readers.with(query)?, turn))).await?
    }

    /// Writes what waits and closes the database. Later requests are told to come again.
    pub async fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            self.backlog.close();
            let _ended = tokio::task::spawn_blocking(move || writer.join()).await;
        }
        self.readers.close();
        log::flush();
    }
}

/// Without its writer a server could only refuse. So it aborts, and the service manager starts it again.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// A turn for a request of a tenant; `None` if it should come again.
async fn turn(turns: &Turns, tenant: &str, request_id: RequestId) -> Option<Turn> {
    let turn = turns.take(tenant, 1).await;
    if turn.is_none() {
        log::failure("a reader is not free", format_args!("a request of {tenant} got no turn"), &[request_id]);
    }
    turn
}

/// Writes plans as they come, and does core's maintenance between two groups, until no more plans can come.
fn write_and_maintain(
    connection: &mut Connection,
    jobs: &Backlog<Job>,
    configuration: &Configuration,
    settings: &Settings,
    watch: &Watch,
) {
    let round = Millis(settings.round.as_millis().try_into().unwrap_or(u64::MAX));
    let pace = || Pace::SERVER.with_round(round).with_expiry(configuration.service().expiry_order());
    let mut maintenance = match maintenance::held(connection) {
        Ok(held) => Maintenance::new(pace(), held, request::now()),
        Err(error) => {
            log::failure(Task::Count.failure(), error, &[]);
            Maintenance::unread(pace(), request::now())
        }
    };
    loop {
        // A configuration that could not be read at start may have been read since.
        maintenance.set_pace(pace());
        watch.note(maintenance.condition(request::now()), request::now());
        let now = request::now();
        let wait = match maintenance.next(now) {
            Next::SleepUntil(until) => Duration::from_millis(until.0.saturating_sub(now.0)),
            Next::Do(_) => Duration::ZERO,
        };
        let intake = maintenance.intake(now);
        let taken = if intake == Intake::AfterNextTask { Taken::Nothing } else { jobs.take(wait) };
        match taken {
            Taken::Group(group) if intake == Intake::Write => {
                let stored = write_group(connection, group);
                maintenance.stored(stored, request::now());
            }
            Taken::Group(group) => group.into_iter().for_each(|job| job.refuse(StoreOutcome::Overloaded)),
            Taken::Nothing => {}
            Taken::Closed => return,
        }
        wait_for_others(connection, TASK_BUSY_TIMEOUT);
        for _ in 0..maintenance.tasks_a_turn() {
            let now = request::now();
            let Next::Do(task) = maintenance.next(now) else { break };
            let service = configuration.service();
            match maintenance::perform(connection, service, settings.backup.as_deref(), &task, now, watch) {
                Ok(outcome) => maintenance.done(outcome, request::now()),
                Err(error) => {
                    log::failure(task.failure(), format_args!("{error:#}"), &[]);
                    watch.failed(&task);
                    maintenance.failed(&task, request::now());
                }
            }
        }
        wait_for_others(connection, BUSY_TIMEOUT);
    }
}

/// Sets how long the connection waits for another process that holds the database.
fn wait_for_others(connection: &Connection, timeout: Duration) {
    if let Err(error) = connection.busy_timeout(timeout) {
        log::failure("SQLite takes no time to wait", error, &[]);
    }
}

/// Writes a group of plans, and answers them all. Returns how much of it is newly kept.
fn write_group(connection: &mut Connection, group: Vec<Job>) -> Load {
    let outcomes = write(connection, &group).unwrap_or_else(|error| {
        // A full disk, for example. The whole transaction is rolled back, so none of its events is answered as kept.
        let requests: Vec<_> = group.iter().map(|job| job.plan.request_id()).collect();
        log::failure("events cannot be stored", error, &requests);
        group.iter().map(|job| vec![StoreOutcome::Unavailable; job.plan.events().len()]).collect()
    });
    let events = group.iter().flat_map(|job| job.plan.events());
    let stored = events.zip(outcomes.iter().flatten()).filter(|(_, outcome)| **outcome == StoreOutcome::Stored);
    let stored = stored.map(|(event, _)| Load::of(&event.record)).sum();
    for (Job { plan, done }, outcomes) in group.into_iter().zip(outcomes) {
        // Sending fails if the client has gone. Its events are kept, as it finds out when it sends them again.
        let _gone = done.send((plan, outcomes));
    }
    stored
}

fn write(connection: &mut Connection, group: &[Job]) -> rusqlite::Result<Vec<Vec<StoreOutcome>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let outcomes = {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO events (tenant, id, digest, occurred_at, received_at, expires_at, record) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tenant, id) DO NOTHING",
        )?;
        let mut existing =
            transaction.prepare_cached("SELECT digest, expires_at FROM events WHERE tenant = ?1 AND id = ?2")?;
        let mut make_way = transaction.prepare_cached(MAKE_WAY)?;
        let mut keep = |plan: &StorePlan, event: &NewEvent| {
            let (tenant, id) = (plan.tenant().as_str(), event.id.to_string());
            let (occurred_at, received_at) = (integer(event.occurred_at.0), integer(event.received_at.0));
            let (digest, expires_at) = (event.digest.to_bytes(), integer(event.expires_at.0));
            let new = params![tenant, id, digest, occurred_at, received_at, expires_at, event.record];
            if insert.execute(new)? > 0 {
                return Ok(StoreOutcome::Stored);
            }
            // A column that is not of its type is damaged.
            let stored = |row: &Row<'_>| Ok((row.get(0).ok(), row.get::<_, i64>(1).ok()));
            let (digest, expires_at) = existing.query_row([tenant, &id], stored)?;
            let expires_at = expires_at.map(|at| Seconds(at.unsigned_abs()));
            if digest.is_none() {
                log::line(format_args!("the stored event {id} of {tenant} has no digest that can be read"));
            }
            if let Holder::Stays(outcome) = plan.holder(digest.map(Digest::from_bytes), expires_at) {
                return Ok(outcome);
            }
            let is_stored = make_way.execute([tenant, &id])? > 0 && insert.execute(new)? > 0;
            Ok(if is_stored { StoreOutcome::Stored } else { StoreOutcome::Unavailable })
        };
        let outcomes =
            group.iter().map(|Job { plan, .. }| plan.events().iter().map(|event| keep(plan, event)).collect());
        outcomes.collect::<rusqlite::Result<_>>()?
    };
    transaction.commit()?;
    Ok(outcomes)
}

fn find(connection: &Connection, tenant: &str, id: &str, expired_by: i64) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT record FROM events WHERE tenant = ?1 AND id = ?2 AND expires_at > ?3")?
        .query_row(params![tenant, id, expired_by], |row| row.get(0))
        .optional()
}
