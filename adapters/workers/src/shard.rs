//! One shard of a tenant's events: a Durable Object, which is one SQLite database with one writer.
//!
//! Its statements take events as the JSON that [`crate::store`] sends, and give JSON back, so no event is taken apart
//! here. Nothing is awaited between two statements, so the runtime makes them one transaction. It holds the response
//! back until that is on disk (the output gate).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use isotherm_core::{Held, Load, Millis, Next, Outcome, Pace, Reading, Seconds, Service, Task, Tenant, Upkeep};
use worker::js_sys::futures::JsFuture;
use worker::wasm_bindgen::JsValue;
use worker::{
    Date, DurableObject, Env, Error, Method, Request, Response, Result, SqlStorage, SqlStorageValue, State,
    console_error, durable_object, wasm_bindgen,
};

use crate::entry;
use crate::rollups::{self, UnfoldedEvents, columns, other_row};
use crate::upkeep;

/// The binding of the bucket for raw backups, which may be missing.
const BACKUP: &str = "BACKUP";

/// `seq` is the order in which events became durable, and in which they are folded into reports. A number is never
/// given again, even when the last event has expired: an event with a `seq` below the watermark would never be
/// folded.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    record TEXT NOT NULL
)";

/// Finds which of these events are stored already. Selects an object `{taken, expired}` and the number of expired
/// ids. `taken` maps ids to digests, and `expired` lists ids.
const THERE: &str = "SELECT json_object(
        'taken', json_group_object(id, digest) FILTER (WHERE expires_at > ?2),
        'expired', json_group_array(id) FILTER (WHERE expires_at <= ?2)
    ), count(*) FILTER (WHERE expires_at <= ?2) FROM events WHERE id IN (SELECT value ->> 'id' FROM json_each(?1))";

/// Deletes the expired ones of these events, if they are folded.
const MAKE_WAY: &str = "DELETE FROM events WHERE id IN (SELECT value ->> 'id' FROM json_each(?1)) AND expires_at <= ?2
    AND seq <= coalesce((SELECT page FROM rollups WHERE key = ''), 0)";

/// Inserts events, and returns the number of bytes of each new record.
const KEEP: &str = "INSERT OR IGNORE INTO events (id, digest, occurred_at, received_at, expires_at, record)
    SELECT value ->> 'id', value ->> 'digest', value ->> 'occurred_at', value ->> 'received_at', value ->> 'expires_at', value ->> 'record'
    FROM json_each(?) WHERE true RETURNING octet_length(record)";

const FIND: &str = "SELECT record FROM events WHERE id = ? AND expires_at > ?";

/// The path of reports. The paths for events are those of [`events_path`].
pub(crate) const REPORT: &str = "/report";
/// The path of the cron trigger.
pub(crate) const SCHEDULE: &str = "/schedule";
/// The status of an answer that takes no events for now.
pub(crate) const OVERLOADED: u16 = 429;

/// The path for events as of a time: events that expire by then count as expired. `id` names the event to find, or is
/// empty.
pub(crate) fn events_path(Seconds(expired_by): Seconds, id: &str) -> String {
    format!("/{expired_by}/{id}")
}

/// The class of the objects behind the binding `SHARDS`.
#[durable_object(alarm)]
pub struct Shard {
    state: State,
    env: Env,
    sql: SqlStorage,
    /// Made on first use: look-ups and reports do without.
    upkeep: RefCell<Option<Upkeep>>,
    /// When the pending alarm rings, if this object has set one.
    alarm: Cell<Option<Millis>>,
}

impl DurableObject for Shard {
    fn new(state: State, env: Env) -> Self {
        let sql = state.storage().sql();
        // If this fails, every statement that finds no table fails too, and says so.
        let tables = [TABLE, rollups::TABLE, rollups::REJECTED_TABLE, upkeep::TABLE];
        let _made = tables.iter().try_for_each(|table| sql.exec(table, None).map(drop));
        Self { state, env, sql, upkeep: RefCell::new(None), alarm: Cell::new(None) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let service = &*entry::service(&self.env).await;
        match request.method() {
            Method::Post if request.path() == REPORT => {
                let reading = JsFuture::from(request.inner().text()?).await?.as_string().unwrap_or_default();
                self.report(service, &serde_json::from_str(&reading)?)
            }
            Method::Post if request.path() == SCHEDULE => {
                // This also sets the alarm again if the runtime has given it up after too many failures.
                self.upkeep(service, |upkeep| upkeep.begin_round(now()));
                self.wake(service).await?;
                Response::empty()
            }
            Method::Post if !self.upkeep(service, |upkeep| upkeep.takes_events()) => {
                self.wake(service).await?;
                Response::error("more is not folded yet than there is room for", OVERLOADED)
            }
            Method::Post => {
                let (expired_by, _) = expired_by_and_id(&request.path())?;
                let reply = self.keep(service, JsFuture::from(request.inner().text()?).await?, &expired_by)?;
                self.wake(service).await?;
                Ok(reply)
            }
            _ => {
                let path = request.path();
                let (expired_by, id) = expired_by_and_id(&path)?;
                self.find(id, expired_by)
            }
        }
    }

    /// Does a turn of upkeep. The runtime calls it again if there is more to do.
    async fn alarm(&self) -> Result<Response> {
        self.alarm.set(None);
        let service = &*entry::service(&self.env).await;
        for _ in 0..self.upkeep(service, |upkeep| upkeep.tasks_a_turn()) {
            let Next::Do(task) = self.upkeep(service, |upkeep| upkeep.next(now())) else { break };
            match self.perform(service, &task).await {
                Ok(outcome) => self.upkeep(service, |upkeep| upkeep.done(outcome, now())),
                Err(error) => {
                    console_error!("isotherm: a shard: {}: {error}", task.failure());
                    self.upkeep(service, |upkeep| upkeep.failed(&task, now()));
                }
            }
        }
        self.wake(service).await?;
        Response::empty()
    }
}

impl Shard {
    /// Gives `ask` what core knows of this shard.
    fn upkeep<T>(&self, service: &Service, ask: impl FnOnce(&mut Upkeep) -> T) -> T {
        let make = || {
            let held = upkeep::held(&self.sql).unwrap_or_else(|error| {
                console_error!("isotherm: a shard cannot count what is not folded yet: {error}");
                Held::default()
            });
            Upkeep::new(Pace::shard(service.shards()), held, now())
        };
        ask(self.upkeep.borrow_mut().get_or_insert_with(make))
    }

    /// Keeps the new events. Answers which events were there already, in the form of [`THERE`].
    fn keep(&self, service: &Service, events: JsValue, expired_by: &JsValue) -> Result<Response> {
        let (mut there, expired) = self.there(&events, expired_by)?;
        if expired > 0 {
            self.sql.exec_raw(MAKE_WAY, vec![events.clone(), expired_by.clone()])?;
            (there, _) = self.there(&events, expired_by)?;
        }
        let mut load = Load::default();
        for row in self.sql.exec_raw(KEEP, vec![events])?.raw() {
            if let [SqlStorageValue::Integer(bytes)] = row?.as_slice() {
                load = load + Load { events: 1, bytes: usize::try_from(*bytes).unwrap_or_default() };
            }
        }
        self.upkeep(service, |upkeep| upkeep.stored(load, now()));
        Response::ok(there)
    }

    fn there(&self, events: &JsValue, expired_by: &JsValue) -> Result<(String, i64)> {
        let row = self.sql.exec_raw(THERE, vec![events.clone(), expired_by.clone()])?.raw().next().transpose()?;
        match columns(row.unwrap_or_default())? {
            [SqlStorageValue::String(there), SqlStorageValue::Integer(expired)] => Ok((there, expired)),
            _ => Err(other_row()),
        }
    }

    async fn perform(&self, service: &Service, task: &Task) -> Result<Outcome> {
        match task {
            Task::Fold { events, bytes } => {
                let Some(unfolded) = UnfoldedEvents::next(&self.sql, *events, *bytes)? else {
                    return Ok(Outcome::Folded(Load::default()));
                };
                self.back_up(service, &unfolded).await?;
                let ShardName { tenant, .. } = ShardName::of(&self.state)?;
                unfolded.fold(&self.sql, service, &tenant).map(Outcome::Folded)
            }
            Task::Expire { until, among } => upkeep::expire(&self.sql, *until, *among),
            Task::FindDays => {
                let ShardName { tenant, .. } = ShardName::of(&self.state)?;
                let tenant = Tenant::parse(tenant).map_err(|error| Error::RustError(error.to_string()))?;
                upkeep::find_days(&self.sql, service, &tenant, now())
            }
            Task::Compact { tenant, mark } => upkeep::compact(&self.sql, service, tenant, mark.clone(), now()),
            Task::Keep { looked_at } => upkeep::keep(&self.sql, *looked_at),
        }
    }

    /// Sets the alarm for the next task, unless it already rings by then.
    async fn wake(&self, service: &Service) -> Result<()> {
        let now = now();
        let at = match self.upkeep(service, |upkeep| upkeep.next(now)) {
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
    async fn back_up(&self, service: &Service, unfolded: &UnfoldedEvents) -> Result<()> {
        let Ok(bucket) = self.env.bucket(BACKUP) else { return Ok(()) };
        let backup = unfolded.backup(service, &ShardName::of(&self.state)?);
        bucket.put(backup.key, backup.bytes).execute().await?;
        Ok(())
    }

    /// Answers this shard's data for a report.
    fn report(&self, service: &Service, reading: &Reading) -> Result<Response> {
        let budget = reading.budget(service.shards());
        Response::from_bytes(rollups::read(&self.sql, reading, budget)?.to_bytes())
    }

    /// Answers the record of one event, or an empty body if the event is not there.
    fn find(&self, id: &str, expired_by: JsValue) -> Result<Response> {
        let found = text(self.sql.exec_raw(FIND, vec![id.into(), expired_by])?.raw().next())?;
        Response::ok(found.unwrap_or_default())
    }
}

/// Reads a path of [`events_path`]. The time is returned in the form that statements take.
fn expired_by_and_id(path: &str) -> Result<(JsValue, &str)> {
    let parts = path.trim_start_matches('/').split_once('/');
    let parts = parts.and_then(|(expired_by, id)| Some((expired_by.parse::<u32>().ok()?.into(), id)));
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

/// The only text of a row.
fn text(row: Option<Result<Vec<SqlStorageValue>>>) -> Result<Option<String>> {
    match row.transpose()?.as_deref() {
        None => Ok(None),
        Some([SqlStorageValue::String(text)]) => Ok(Some(text.clone())),
        Some(_) => Err(Error::RustError("a shard's statement gave another row than it was written for".to_owned())),
    }
}
