//! One shard of a tenant's events: a Durable Object, which is one SQLite database with one writer.
//!
//! Nothing is awaited between two statements, so nothing else happens between them. The runtime holds the response back
//! until they are on disk (the output gate).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use isotherm_core::{
    Blocks, EventId, Held, Keep, Load, Millis, Next, Outcome, Pace, Reading, Seconds, Service, Task, Tenant, Upkeep,
};
use worker::js_sys::{Function, Reflect};
use worker::wasm_bindgen::{JsCast, JsValue, closure::ScopedClosure};
use worker::{
    Date, DurableObject, Env, Error, Method, Request, Response, Result, SqlStorage, State, console_error,
    durable_object, wasm_bindgen,
};

use crate::rollups::{self, UnfoldedEvents};
use crate::{blocks, entry, upkeep};

/// The binding of the bucket for raw backups, which may be missing.
const BACKUP: &str = "BACKUP";

/// The path of events to keep.
pub(crate) const KEEP: &str = "/keep";
/// The path of reports.
pub(crate) const REPORT: &str = "/report";
/// The path of the cron trigger.
pub(crate) const SCHEDULE: &str = "/schedule";

/// The path of an event as of a time: if it expires by then, it is not found.
pub(crate) fn event_path(Seconds(expired_by): Seconds, id: EventId) -> String {
    format!("/{expired_by}/{id}")
}

/// The class of the objects behind the binding `SHARDS`.
#[durable_object(alarm)]
pub struct Shard {
    state: State,
    env: Env,
    sql: SqlStorage,
    /// The storage as the runtime gives it.
    storage: JsValue,
    service: Rc<Service>,
    /// The shard's memory of its rows. Read on first use, and again after it was dropped.
    blocks: RefCell<Option<Blocks>>,
    /// Made on first use: look-ups and reports do without.
    upkeep: RefCell<Option<Upkeep>>,
    /// When the pending alarm rings, if this object has set one.
    alarm: Cell<Option<Millis>>,
}

impl DurableObject for Shard {
    fn new(state: State, env: Env) -> Self {
        let runtime = state._inner();
        // If this fails, no task succeeds, and each says so.
        let storage = runtime.storage().map_or(JsValue::UNDEFINED, JsValue::from);
        let state = State::from(runtime);
        let sql = state.storage().sql();
        // If this fails, every statement that finds no table fails too, and says so.
        let tables = [blocks::TABLE, blocks::RUNS_TABLE, rollups::TABLE, rollups::REJECTED_TABLE, upkeep::TABLE];
        let _made = tables.iter().try_for_each(|table| sql.exec(table, None).map(drop));
        let (service, blocks) = (entry::service(&env), RefCell::default());
        Self { state, env, sql, storage, service, blocks, upkeep: RefCell::default(), alarm: Cell::default() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        match (request.method(), request.path().as_str()) {
            (Method::Post, KEEP) => {
                let kept = self.keep(&request.bytes().await?)?;
                self.wake().await?;
                Response::from_bytes(kept)
            }
            (Method::Post, REPORT) => self.report(&serde_json::from_slice(&request.bytes().await?)?),
            (Method::Post, SCHEDULE) => {
                // This also sets the alarm again if the runtime has given it up after too many failures.
                self.upkeep(|upkeep| upkeep.begin_round(now()));
                self.wake().await?;
                Response::empty()
            }
            (_, path) => {
                let (expired_by, id) = expired_by_and_id(path)?;
                let found = self.blocks(|blocks| blocks::find(&self.sql, blocks, id, expired_by))?;
                Response::ok(found.unwrap_or_default())
            }
        }
    }

    /// Does a turn of upkeep. The runtime calls it again if there is more to do.
    async fn alarm(&self) -> Result<Response> {
        self.alarm.set(None);
        for _ in 0..self.upkeep(|upkeep| upkeep.tasks_a_turn()) {
            let Next::Do(task) = self.upkeep(|upkeep| upkeep.next(now())) else { break };
            match self.perform(&task).await {
                Ok(outcome) => self.upkeep(|upkeep| upkeep.done(outcome, now())),
                Err(error) => {
                    console_error!("isotherm: a shard: {}: {error}", task.failure());
                    self.upkeep(|upkeep| upkeep.failed(&task, now()));
                }
            }
        }
        self.wake().await?;
        Response::empty()
    }
}

impl Shard {
    /// Gives `ask` what core knows of this shard.
    fn upkeep<T>(&self, ask: impl FnOnce(&mut Upkeep) -> T) -> T {
        let make = || {
            let held = self.blocks(|blocks| upkeep::held(&self.sql, blocks)).unwrap_or_else(|error| {
                console_error!("isotherm: a shard cannot count what is not folded yet: {error}");
                Held::default()
            });
            Upkeep::new(Pace::shard(self.service.shards()), held, now())
        };
        ask(self.upkeep.borrow_mut().get_or_insert_with(make))
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
    fn keep(&self, part: &[u8]) -> Result<Vec<u8>> {
        let keep = Keep::read(part).ok_or_else(|| Error::RustError("a part of a request cannot be read".to_owned()))?;
        if !self.upkeep(|upkeep| upkeep.takes_events()) {
            return Ok(keep.overloaded().to_bytes());
        }
        let (kept, load) = self.blocks(|blocks| blocks::keep(&self.sql, blocks, &keep))?;
        self.upkeep(|upkeep| upkeep.stored(load, now()));
        Ok(kept.to_bytes())
    }

    async fn perform(&self, task: &Task) -> Result<Outcome> {
        match task {
            Task::Fold { events, bytes } => {
                let next = self.blocks(|blocks| UnfoldedEvents::next(&self.sql, blocks, *events, *bytes))?;
                let Some(unfolded) = next else { return Ok(Outcome::Folded(Load::default())) };
                self.back_up(&unfolded).await?;
                let ShardName { tenant, .. } = ShardName::of(&self.state)?;
                let fold = |blocks: &mut Blocks| unfolded.fold(&self.sql, blocks, &self.service, &tenant, *events);
                let folded = self.transaction(fold)?;
                // Its events are no longer behind the watermark.
                self.blocks.take();
                Ok(Outcome::Folded(folded))
            }
            Task::Expire { until, among } => {
                let deleted = self.transaction(|blocks| blocks::expire(&self.sql, blocks, *until, *among))?;
                Ok(Outcome::Expired(deleted))
            }
            Task::FindDays => {
                let ShardName { tenant, .. } = ShardName::of(&self.state)?;
                let tenant = Tenant::parse(tenant).map_err(|error| Error::RustError(error.to_string()))?;
                upkeep::find_days(&self.sql, &self.service, &tenant, now())
            }
            Task::Compact { tenant, mark } => {
                self.transaction(|_| upkeep::compact(&self.sql, &self.service, tenant, mark.clone(), now()))
            }
            Task::Keep { looked_at } => upkeep::keep(&self.sql, *looked_at),
        }
    }

    /// Sets the alarm for the next task, unless it already rings by then.
    async fn wake(&self) -> Result<()> {
        let now = now();
        let at = match self.upkeep(|upkeep| upkeep.next(now)) {
            Next::SleepUntil(until) => until,
            Next::Do(_) => now,
        };
        if self.alarm.get().is_none_or(|set| at < set) {
            self.alarm.set(Some(at));
            self.state.storage().set_alarm(Duration::from_millis(at.0.saturating_sub(now.0))).await?;
        }
        Ok(())
    }

    /// Puts an object with these events into the bucket.
    async fn back_up(&self, unfolded: &UnfoldedEvents) -> Result<()> {
        let Ok(bucket) = self.env.bucket(BACKUP) else { return Ok(()) };
        let backup = unfolded.backup(&self.service, &ShardName::of(&self.state)?);
        bucket.put(backup.key, backup.bytes).execute().await?;
        Ok(())
    }

    /// Answers this shard's data for a report.
    fn report(&self, reading: &Reading) -> Result<Response> {
        let budget = reading.budget(self.service.shards());
        let read = self.blocks(|blocks| rollups::read(&self.sql, blocks, reading, budget))?;
        Response::from_bytes(read.to_bytes())
    }
}

/// Reads a path of [`event_path`].
fn expired_by_and_id(path: &str) -> Result<(Seconds, EventId)> {
    let parts = path.trim_start_matches('/').split_once('/');
    let parts = parts.and_then(|(expired_by, id)| Some((Seconds(expired_by.parse().ok()?), id.parse().ok()?)));
    parts.ok_or_else(|| Error::RustError("a shard is asked for a path that it does not have".to_owned()))
}

fn now() -> Millis {
    Millis(Date::now().as_millis())
}

/// Names a shard: a tenant and a number.
pub(crate) struct ShardName {
    pub(crate) tenant: String,
    pub(crate) number: String,
}

impl ShardName {
    /// The name of a tenant's object with this number.
    pub(crate) fn new(tenant: &str, number: u32) -> Self {
        Self { tenant: tenant.to_owned(), number: number.to_string() }
    }

    fn of(state: &State) -> Result<Self> {
        let name = state.id().name();
        let parts = name.as_deref().and_then(|name| name.rsplit_once('/'));
        let (tenant, number) = parts.ok_or_else(|| Error::RustError(format!("an object is named {name:?}")))?;
        Ok(Self { tenant: tenant.to_owned(), number: number.to_owned() })
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.number)
    }
}
