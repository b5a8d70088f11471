//! One shard of a tenant's events: a Durable Object, which is one SQLite database with one writer.
//!
//! Nothing is awaited between two statements, so nothing else happens between them. The runtime holds the response back
//! until they are on disk (the output gate).

use std::cell::{Cell, RefCell};
use std::time::Duration;

use isotherm_core::{
    Blocks, Folded, Keep, Limiter, Load, Maintenance, Millis, Next, Outcome, Pace, Reading, Service, Task, Tenant,
};
use worker::js_sys::{Function, Reflect};
use worker::wasm_bindgen::{JsCast, JsValue, closure::ScopedClosure};
use worker::{
    Date, DurableObject, Env, Error, Method, Request, Response, Result, SqlStorage, State, console_error,
    durable_object, wasm_bindgen,
};

use crate::protocol::{CONDITION, EXPORT, IMPORT, KEEP, MAINTENANCE, REPORT, ShardName, expired_by_and_id};
use crate::rollups::{self, UnfoldedEvents};
use crate::{blocks, config, database, maintenance, moved, watch};

/// Time until the next alarm if this one's handler never ends, or never begins.
const GUARD: Millis = Millis(60_000);
/// The binding of the bucket for raw backups, which may be missing.
const BACKUP: &str = "BACKUP";

/// The class of the objects behind the binding `SHARDS`.
#[durable_object(alarm)]
pub struct Shard {
    state: State,
    env: Env,
    sql: SqlStorage,
    /// The storage as the runtime gives it.
    storage: JsValue,
    /// The shard's memory of its rows. Read on first use, and again after it was dropped.
    blocks: RefCell<Option<Blocks>>,
    /// Made on first use: look-ups and reports do without.
    maintenance: RefCell<Option<Maintenance>>,
    /// What keys and the tenant have sent to this shard.
    limiter: RefCell<Limiter>,
    /// When the pending alarm rings, if this object has set one.
    alarm: Cell<Option<Millis>>,
    /// Whether the last turn of maintenance ended; `false` for a new object.
    is_sound: Cell<bool>,
    /// Whether this object has noted its name.
    is_named: Cell<bool>,
}

impl DurableObject for Shard {
    fn new(state: State, env: Env) -> Self {
        let runtime = state._inner();
        // If this fails, no task succeeds, and each says so.
        let storage = runtime.storage().map_or(JsValue::UNDEFINED, JsValue::from);
        let state = State::from(runtime);
        let sql = state.storage().sql();
        // If this fails, every statement that finds no table fails too, and says so.
        let _made = database::create(&sql);
        let (blocks, maintenance, limiter) = (RefCell::default(), RefCell::default(), RefCell::default());
        let (alarm, is_sound, is_named) = (Cell::default(), Cell::default(), Cell::default());
        Self { state, env, sql, storage, blocks, maintenance, limiter, alarm, is_sound, is_named }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let service = &config::service(&self.env).await;
        service.known().map_err(failure)?;
        match (request.method(), request.path().as_str()) {
            (Method::Post, KEEP) => {
                let kept = self.keep(service, &request.bytes().await?)?;
                self.wake(service).await?;
                Response::from_bytes(kept)
            }
            (Method::Post, REPORT) => self.report(service, &serde_json::from_str(&request.text().await?)?),
            (Method::Post, MAINTENANCE) => {
                // This also sets the alarm again if the runtime has given it up after too many failures.
                self.maintenance(service, |maintenance| maintenance.begin_round(now()));
                self.wake(service).await?;
                Response::empty()
            }
            (Method::Post, EXPORT) => {
                let asked = request.bytes().await?;
                let has_rows = self.blocks(|blocks| Ok(blocks.has_rows()))?;
                Response::ok(moved::export(&self.sql, service.shards(), has_rows, &asked)?)
            }
            (Method::Post, IMPORT) => {
                let pages = request.bytes().await?;
                self.transaction(|_| moved::import(&self.sql, &pages))?;
                Response::empty()
            }
            (Method::Post, CONDITION) => {
                let condition = self.maintenance(service, |maintenance| maintenance.condition(now()));
                let rejected = maintenance::rejected(&self.sql)?;
                // Without a watermark nothing is folded.
                blocks::watermark(&self.sql)?;
                Response::from_bytes(serde_json::to_vec(&condition.with_rejected(rejected))?)
            }
            (_, path) => {
                let (expired_by, id) = expired_by_and_id(path)?;
                let found = self.blocks(|blocks| blocks::find(&self.sql, blocks, id, expired_by))?;
                Response::ok(found.unwrap_or_default())
            }
        }
    }

    /// Does a turn of maintenance. The runtime calls it again if there is more to do.
    ///
    /// The runtime gives an alarm up whose handler has ended early several times, and nobody calls an object whose tenant
    /// has no keys. So the next alarm is set before the work, unless the last turn went well: setting it costs a row.
    async fn alarm(&self) -> Result<Response> {
        self.alarm.set(None);
        let is_guarded = !self.is_sound.replace(false);
        if is_guarded {
            self.set_alarm(now(), Millis(now().0 + GUARD.0)).await?;
        }
        let service = &config::service(&self.env).await;
        for _ in 0..self.maintenance(service, |maintenance| maintenance.tasks_a_turn()) {
            let Next::Do(task) = self.maintenance(service, |maintenance| maintenance.next(now())) else { break };
            match self.perform(service, &task).await {
                Ok(outcome) => self.maintenance(service, |maintenance| maintenance.done(outcome, now())),
                Err(error) => {
                    console_error!("isotherm: a shard: {}: {error}", task.failure());
                    self.maintenance(service, |maintenance| maintenance.failed(&task, now()));
                }
            }
        }
        if is_guarded {
            // The next task's alarm takes its place.
            self.alarm.set(None);
        }
        self.wake(service).await?;
        self.is_sound.set(true);
        Response::empty()
    }
}

impl Shard {
    /// Gives `ask` what core knows of this shard.
    fn maintenance<T>(&self, service: &Service, ask: impl FnOnce(&mut Maintenance) -> T) -> T {
        let pace = Pace::shard(service.shards()).with_expiry(service.expiry_order());
        let make = || match self.blocks(|blocks| maintenance::held(&self.sql, blocks)) {
            Ok(held) => Maintenance::new(pace, held, now()),
            Err(error) => {
                console_error!("isotherm: a shard: {}: {error}", Task::Count.failure());
                Maintenance::unread(pace, now())
            }
        };
        let mut maintenance = self.maintenance.borrow_mut();
        let maintenance = maintenance.get_or_insert_with(make);
        // It may have been made while the configuration could not be read.
        maintenance.set_pace(pace);
        ask(maintenance)
    }

    /// Runs statements with the shard's memory. Whatever fails, the memory is dropped: it may be ahead of the rows.
    fn blocks<T>(&self, run: impl FnOnce(&mut Blocks) -> Result<T>) -> Result<T> {
        let mut memory = self.blocks.borrow_mut();
        let mut blocks = match memory.take() {
            Some(blocks) => blocks,
            None => blocks::load(&self.sql)?,
        };
        let done = run(&mut blocks)?;
        *memory = Some(blocks);
        Ok(done)
    }

    /// Runs statements with the shard's memory as a whole or not at all.
    fn transaction<T>(&self, run: impl FnOnce(&mut Blocks) -> Result<T>) -> Result<T> {
        let (mut run, mut done) = (Some(run), None);
        let mut statements = || match run.take().map(|run| self.blocks(run)) {
            Some(Err(error)) => {
                let thrown = JsValue::from_str(&error.to_string());
                done = Some(Err(error));
                Err(thrown) // rolls back
            }
            result => {
                done = result;
                Ok(())
            }
        };
        let statements =
            ScopedClosure::<dyn FnMut() -> std::result::Result<(), JsValue>>::borrow_mut_aborting(&mut statements);
        let transaction: Function = Reflect::get(&self.storage, &"transactionSync".into())?.dyn_into()?;
        let called = transaction.call1(&self.storage, statements.as_js_value());
        drop(statements);
        match (done, called) {
            (Some(Ok(done)), Ok(_)) => Ok(done),
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => {
                self.blocks.take();
                Err(error.into())
            }
            (None, Ok(_)) => Err(Error::RustError("the runtime has run no transaction".to_owned())),
        }
    }

    /// Keeps the new events of a part, and answers what became of each.
    fn keep(&self, service: &Service, part: &[u8]) -> Result<Vec<u8>> {
        let keep = Keep::read(part).ok_or_else(|| Error::RustError("a part of a request cannot be read".to_owned()))?;
        if !self.maintenance(service, |maintenance| maintenance.takes_events()) {
            return Ok(keep.overloaded().to_bytes());
        }
        let ShardName { tenant, .. } = self.name()?;
        if let Some(kept) = keep.take_from(&mut self.limiter.borrow_mut(), service, &tenant, now()) {
            return Ok(kept.to_bytes());
        }
        let (kept, load) = self.blocks(|blocks| blocks::keep(&self.sql, blocks, &keep))?;
        self.maintenance(service, |maintenance| maintenance.stored(load, now()));
        Ok(kept.to_bytes())
    }

    async fn perform(&self, service: &Service, task: &Task) -> Result<Outcome> {
        service.known().map_err(failure)?;
        match task {
            Task::Count => self.blocks(|blocks| maintenance::held(&self.sql, blocks)).map(Outcome::Counted),
            Task::Fold { events, bytes } => {
                let next = self.blocks(|blocks| UnfoldedEvents::next(&self.sql, blocks, *events, *bytes))?;
                let Some(unfolded) = next else { return Ok(Outcome::Folded(Load::default())) };
                let name = self.name()?;
                let step = unfolded.step(service, &name.tenant, unfolded.at_most(*events));
                if let Ok(bucket) = self.env.bucket(BACKUP) {
                    for backup in unfolded.backups(service, &name, &step) {
                        bucket.put(backup.key, backup.bytes).execute().await?;
                    }
                }
                let fold = |blocks: &mut Blocks| unfolded.fold(&self.sql, blocks, service, &name.tenant, step);
                let lag = self.maintenance(service, |maintenance| maintenance.condition(now())).waits;
                let (load, folded) = self.transaction(fold)?;
                // Its events are no longer behind the watermark.
                self.blocks.take();
                watch::folded(service, &Folded { lag, ..folded });
                Ok(Outcome::Folded(load))
            }
            Task::Expire { until, among, order } => {
                let deleted = self.transaction(|blocks| blocks::expire(&self.sql, blocks, *until, *among, *order))?;
                Ok(Outcome::Expired(deleted))
            }
            Task::FindDays => {
                let ShardName { tenant, .. } = self.name()?;
                let tenant = Tenant::parse(tenant).map_err(failure)?;
                maintenance::find_days(&self.sql, service, &tenant, now())
            }
            Task::Compact { tenant, manifest } => {
                self.transaction(|_| maintenance::compact(&self.sql, service, tenant, manifest.clone(), now()))
            }
            Task::NoteRound { began } => maintenance::note_round(&self.sql, *began),
        }
    }

    /// The name of this object. An alarm that wakes it may not be told.
    fn name(&self) -> Result<ShardName> {
        let name = self.state.id().name();
        ShardName::parse(&name.map_or_else(|| database::name(&self.sql), Ok)?)
    }

    /// Sets the alarm for the next task, unless it already rings by then. An alarm that is long overdue may never ring: the
    /// runtime may have given it up without calling this object.
    async fn wake(&self, service: &Service) -> Result<()> {
        if !self.is_named.get()
            && let Some(name) = self.state.id().name()
        {
            database::keep_name(&self.sql, name)?;
            self.is_named.set(true);
        }
        let now = now();
        let at = match self.maintenance(service, |maintenance| maintenance.next(now)) {
            Next::SleepUntil(until) => until,
            Next::Do(_) => now,
        };
        if self.alarm.get().is_none_or(|set| at < set || set.0 + GUARD.0 < now.0) {
            self.set_alarm(now, at).await?;
        }
        Ok(())
    }

    async fn set_alarm(&self, now: Millis, at: Millis) -> Result<()> {
        self.alarm.set(Some(at));
        let delay = Duration::from_millis(at.0.saturating_sub(now.0));
        let is_set = self.state.storage().set_alarm(delay).await;
        if is_set.is_err() {
            self.alarm.set(None);
        }
        is_set
    }

    /// Answers this shard's data for a report.
    fn report(&self, service: &Service, reading: &Reading) -> Result<Response> {
        let budget = reading.budget(service.shards());
        let read = self.blocks(|blocks| rollups::read(&self.sql, blocks, reading, budget))?;
        Response::from_bytes(read.to_bytes())
    }
}

fn failure(error: impl std::fmt::Display) -> Error {
    Error::RustError(error.to_string())
}

fn now() -> Millis {
    Millis(Date::now().as_millis())
}
