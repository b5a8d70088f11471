//! One shard of a tenant's events: a Durable Object, which is one SQLite database with one writer.
//!
//! Its statements take the events as the JSON that [`crate::store`] sends and give JSON back, so that no event is taken
//! apart here. Between two statements nothing is awaited: the runtime makes them one transaction, and holds the response
//! back until it is on disk (the output gate).

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use isotherm_core::{Millis, Reading, Service};
use worker::js_sys::futures::JsFuture;
use worker::wasm_bindgen::JsValue;
use worker::{
    Date, DurableObject, Env, Error, Method, Request, Response, Result, SqlStorage, SqlStorageValue, State,
    console_error, durable_object, wasm_bindgen,
};

use crate::entry;
use crate::rollups::{self, UnfoldedEvents};
use crate::schedule;

/// How long new events wait until they are folded, unless there are enough for a fold before; reports fold them by themselves
/// meanwhile. Each fold is an object in the bucket, and to put one costs as much as 15 requests.
const FOLD_AFTER: Duration = Duration::from_secs(10);

/// The bucket for raw backups, where there is one.
const BACKUP: &str = "BACKUP";

/// `seq` is the order in which events became durable, which is what folds them into reports one after another. It is given
/// once, even when the last event has expired: what gets a lower one than the watermark would never be folded.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    record TEXT NOT NULL
)";

/// Which of these events are there: an object of ids and their digests.
const TAKEN: &str = "SELECT json_group_object(id, digest) FROM events
    WHERE id IN (SELECT value ->> 'id' FROM json_each(?))";

const KEEP: &str = "INSERT OR IGNORE INTO events (id, digest, occurred_at, received_at, expires_at, record)
    SELECT value ->> 'id', value ->> 'digest', value ->> 'occurred_at', value ->> 'received_at', value ->> 'expires_at', value ->> 'record'
    FROM json_each(?)";

const FIND: &str = "SELECT record FROM events WHERE id = ?";

/// The path that a report is asked for under; no event has it for its id.
pub(crate) const REPORT: &str = "/report";
/// The path of the cron trigger.
pub(crate) const SCHEDULE: &str = "/schedule";

/// The class that the binding `SHARDS` makes objects of.
#[durable_object(alarm)]
pub struct Shard {
    state: State,
    env: Env,
    sql: SqlStorage,
    service: Rc<Service>,
    /// After what time the alarm rings that this object has set and that has not rung yet.
    alarm: Cell<Option<Duration>>,
}

impl DurableObject for Shard {
    fn new(state: State, env: Env) -> Self {
        let sql = state.storage().sql();
        // When this fails, so does every statement that finds no table, and says so.
        let tables = [TABLE, rollups::TABLE, rollups::REJECTED_TABLE, schedule::TABLE];
        let _made = tables.iter().try_for_each(|table| sql.exec(table, None).map(drop));
        let service = entry::service(&env);
        Self { state, env, sql, service, alarm: Cell::new(None) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match request.method() {
            Method::Post if request.path() == REPORT => {
                let reading = JsFuture::from(request.inner().text()?).await?.as_string().unwrap_or_default();
                self.report(&serde_json::from_str(&reading)?)
            }
            Method::Post if request.path() == SCHEDULE => {
                let tenant = ShardName::of(&self.state)?.tenant;
                let has_more = schedule::step(&self.sql, &self.service, &tenant, Millis(Date::now().as_millis()))?;
                // What failed too often is given up by the runtime: this takes it up again.
                self.wake_after(if has_more { Duration::ZERO } else { FOLD_AFTER }).await?;
                Response::empty()
            }
            Method::Post => {
                let reply = self.keep(JsFuture::from(request.inner().text()?).await?)?;
                self.wake_after(if rollups::is_due(&self.sql)? { Duration::ZERO } else { FOLD_AFTER }).await?;
                Ok(reply)
            }
            _ => self.find(request.path().trim_start_matches('/')),
        }
    }

    /// Backs up what is new, then folds it, and does what is due; the runtime calls again when this fails.
    async fn alarm(&self) -> Result<Response> {
        self.alarm.set(None);
        let tenant = ShardName::of(&self.state)?.tenant;
        // First, so that it waits for no bucket.
        let mut has_more = self.do_what_is_due(&tenant).unwrap_or_else(|error| {
            console_error!("isotherm: a shard of {tenant} did not compact and expire: {error}");
            false
        });
        if let Some(unfolded) = UnfoldedEvents::next(&self.sql)? {
            self.back_up(&unfolded).await?;
            has_more |= unfolded.fold(&self.sql, &self.service, &tenant)?;
        }
        self.wake_after(if has_more { Duration::ZERO } else { schedule::EVERY }).await?;
        Response::empty()
    }
}

impl Shard {
    /// Keeps the events that are not there yet, and answers those that were, each with its digest.
    fn keep(&self, events: JsValue) -> Result<Response> {
        let taken = text(self.sql.exec_raw(TAKEN, vec![events.clone()])?.raw().next())?;
        self.sql.exec_raw(KEEP, vec![events])?;
        Response::ok(taken.unwrap_or_default())
    }

    /// Compacts and expires if an hour has passed. Tells whether more may be left to do.
    fn do_what_is_due(&self, tenant: &str) -> Result<bool> {
        let now = Millis(Date::now().as_millis());
        Ok(schedule::is_due(&self.sql, now)? && schedule::step(&self.sql, &self.service, tenant, now)?)
    }

    /// Sets the alarm, unless it is set to ring as soon.
    async fn wake_after(&self, time: Duration) -> Result<()> {
        if self.alarm.get().is_none_or(|set| time < set) {
            self.alarm.set(Some(time));
            self.state.storage().set_alarm(time).await?;
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

    /// Answers what a report needs of this shard.
    fn report(&self, reading: &Reading) -> Result<Response> {
        let budget = reading.budget(self.service.shards());
        Response::from_bytes(rollups::read(&self.sql, reading, budget)?.to_bytes())
    }

    /// Answers the record of one event; nothing when it is not there.
    fn find(&self, id: &str) -> Result<Response> {
        let found = text(self.sql.exec(FIND, vec![id.into()])?.raw().next())?;
        Response::ok(found.unwrap_or_default())
    }
}

/// Whose events a shard has, and which of them.
pub(crate) struct ShardName {
    pub(crate) tenant: String,
    pub(crate) number: String,
}

impl ShardName {
    /// The name of an object.
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

/// The one text of a row.
fn text(row: Option<Result<Vec<SqlStorageValue>>>) -> Result<Option<String>> {
    match row.transpose()?.as_deref() {
        None => Ok(None),
        Some([SqlStorageValue::String(text)]) => Ok(Some(text.clone())),
        Some(_) => Err(Error::RustError("a shard's statement gave another row than it was written for".to_owned())),
    }
}
