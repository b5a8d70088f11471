//! One shard of a tenant's events: a Durable Object, which is one SQLite database with one writer.
//!
//! Its statements take events as the JSON that [`crate::store`] sends, and give JSON back, so no event is taken apart
//! here. Nothing is awaited between two statements, so the runtime makes them one transaction. It holds the response
//! back until that is on disk (the output gate).

use std::cell::{Cell, RefCell};
use std::time::Duration;

use isotherm_core::{Held, Load, Maintenance, Millis, Next, Outcome, Pace, Reading, Service, Task, Tenant};
use worker::js_sys::futures::JsFuture;
use worker::wasm_bindgen::JsValue;
use worker::{
    Date, DurableObject, Env, Error, Method, Request, Response, Result, SqlStorage, SqlStorageValue, State,
    console_error, durable_object, wasm_bindgen,
};

use crate::database::{columns, other_row, text};
use crate::protocol::{MAINTENANCE, OVERLOADED, REPORT, ShardName, expired_by_and_id};
use crate::rollups::{self, UnfoldedEvents};
use crate::{config, database, maintenance};

/// The binding of the bucket for raw backups, which may be missing.
const BACKUP: &str = "BACKUP";

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

/// The class of the objects behind the binding `SHARDS`.
#[durable_object(alarm)]
pub struct Shard {
    state: State,
    env: Env,
    sql: SqlStorage,
    /// Made on first use: look-ups and reports do without.
    maintenance: RefCell<Option<Maintenance>>,
    /// When the pending alarm rings, if this object has set one.
    alarm: Cell<Option<Millis>>,
}

impl DurableObject for Shard {
    fn new(state: State, env: Env) -> Self {
        let sql = state.storage().sql();
        // If this fails, every statement that finds no table fails too, and says so.
        let _made = database::create(&sql);
        Self { state, env, sql, maintenance: RefCell::new(None), alarm: Cell::new(None) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let service = &*config::service(&self.env).await;
        match request.method() {
            Method::Post if request.path() == REPORT => {
                let reading = JsFuture::from(request.inner().text()?).await?.as_string().unwrap_or_default();
                self.report(service, &serde_json::from_str(&reading)?)
            }
            Method::Post if request.path() == MAINTENANCE => {
                // This also sets the alarm again if the runtime has given it up after too many failures.
                self.maintenance(service, |maintenance| maintenance.begin_round(now()));
                self.wake(service).await?;
                Response::empty()
            }
            Method::Post if !self.maintenance(service, |maintenance| maintenance.takes_events()) => {
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

    /// Does a turn of maintenance. The runtime calls it again if there is more to do.
    async fn alarm(&self) -> Result<Response> {
        self.alarm.set(None);
        let service = &*config::service(&self.env).await;
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
        self.wake(service).await?;
        Response::empty()
    }
}

impl Shard {
    /// Gives `ask` what core knows of this shard.
    fn maintenance<T>(&self, service: &Service, ask: impl FnOnce(&mut Maintenance) -> T) -> T {
        let make = || {
            let held = maintenance::held(&self.sql).unwrap_or_else(|error| {
                console_error!("isotherm: a shard cannot count what is not folded yet: {error}");
                Held::default()
            });
            Maintenance::new(Pace::shard(service.shards()), held, now())
        };
        ask(self.maintenance.borrow_mut().get_or_insert_with(make))
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
        self.maintenance(service, |maintenance| maintenance.stored(load, now()));
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
            Task::Expire { until, among } => maintenance::expire(&self.sql, *until, *among),
            Task::FindDays => {
                let ShardName { tenant, .. } = ShardName::of(&self.state)?;
                let tenant = Tenant::parse(tenant).map_err(|error| Error::RustError(error.to_string()))?;
                maintenance::find_days(&self.sql, service, &tenant, now())
            }
            Task::Compact { tenant, manifest } => {
                maintenance::compact(&self.sql, service, tenant, manifest.clone(), now())
            }
            Task::Keep { looked_at } => maintenance::keep(&self.sql, *looked_at),
        }
    }

    /// Sets the alarm for the next task, unless it already rings by then.
    async fn wake(&self, service: &Service) -> Result<()> {
        let now = now();
        let at = match self.maintenance(service, |maintenance| maintenance.next(now)) {
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

fn now() -> Millis {
    Millis(Date::now().as_millis())
}
