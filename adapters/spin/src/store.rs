//! Events in spin:sqlite.
//!
//! A batch is one INSERT, which SQLite applies as a whole or not at all. So no transaction stays open when the
//! instance ends early, and no other request on a connection that the runtime shares can slip into one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use isotherm_core::{
    Condition, Digest, ExportOutcome, ExportPlan, FindOutcome, FindPlan, Holder, ImportPlan, Limiter, Load, NewEvent,
    ReportOutcome, ReportPlan, RequestId, Seconds, Service, StoreOutcome, StorePlan,
};
use spin_sdk::sqlite::{Error, RowResult, Value};

use crate::database::{Database, integer, list};
use crate::{maintenance, moved, rollups};

thread_local! {
    /// What keys and tenants have sent to this instance.
    static LIMITER: RefCell<Limiter> = RefCell::default();
}

/// Keeps the new events of a plan. Returns the outcome of each event; none if their key or tenant has sent too many.
pub(crate) async fn store(service: &'static Service, plan: &mut StorePlan) -> Vec<StoreOutcome> {
    if plan.is_limited() && !LIMITER.with_borrow_mut(|limiter| plan.take_from(limiter)) {
        return Vec::new();
    }
    let outcomes = try_store(service, plan).await.unwrap_or_else(|error| {
        eprintln!("isotherm: {}: events cannot be stored: {error}", plan.request_id());
        vec![StoreOutcome::Unavailable; plan.events().len()]
    });
    LIMITER.with_borrow_mut(|limiter| plan.give_back(limiter, &outcomes));
    outcomes
}

/// Looks one event up.
pub(crate) async fn find(service: &Service, plan: &FindPlan) -> FindOutcome {
    match try_find(service, plan).await {
        Ok(Some(record)) => FindOutcome::Found(record),
        Ok(None) => FindOutcome::Absent,
        Err(error) => {
            eprintln!("isotherm: {}: an event cannot be looked up: {error}", plan.request_id());
            FindOutcome::Unavailable
        }
    }
}

/// Reads the data for a report.
pub(crate) async fn report(service: &Service, plan: &ReportPlan) -> ReportOutcome {
    let read = async { rollups::read(&Database::open(service).await?, plan).await };
    match read.await {
        Ok(data) => ReportOutcome::Read(vec![data]),
        Err(error) => {
            eprintln!("isotherm: {}: a report cannot be read: {error}", plan.request_id());
            ReportOutcome::Unavailable
        }
    }
}

/// Reads the next lines of an export.
pub(crate) async fn export(service: &Service, plan: &ExportPlan) -> ExportOutcome {
    match moved::export(service, plan.tenant().as_str(), plan.asked()).await {
        Ok(read) => read,
        Err(error) => {
            eprintln!("isotherm: {}: an export cannot be read: {error}", plan.request_id());
            ExportOutcome::Unavailable
        }
    }
}

/// Keeps another service's rollups. Returns whether they are durable.
pub(crate) async fn import(service: &Service, plan: &ImportPlan) -> bool {
    let kept = moved::import(service, plan).await;
    kept.inspect_err(|error| eprintln!("isotherm: {}: rollups cannot be kept: {error}", plan.request_id())).is_ok()
}

/// The condition of the database; `None` if it does not answer.
pub(crate) async fn condition(service: &Service, request_id: RequestId) -> Option<Condition> {
    match maintenance::condition(service).await {
        Ok(condition) => Some(condition),
        Err(error) => {
            eprintln!("isotherm: {request_id}: the database does not answer: {error}");
            None
        }
    }
}

/// Does the maintenance that is due. Returns whether all of it could be done.
pub(crate) async fn maintain(service: &'static Service) -> bool {
    maintenance::visit(service).await.unwrap_or_else(|error| {
        eprintln!("isotherm: what is due cannot be done: {error}");
        false
    })
}

async fn try_store(service: &'static Service, plan: &StorePlan) -> Result<Vec<StoreOutcome>, Error> {
    let database = Database::open(service).await?;
    let tenant = plan.tenant().as_str();
    let ids: Vec<String> = plan.events().iter().map(|event| event.id.to_string()).collect();
    if !maintenance::takes_events(&database, service).await? {
        return Ok(vec![StoreOutcome::Overloaded; ids.len()]);
    }
    let mut stored = insert(&database, tenant, &ids, plan.events()).await?;
    let mut existing = BTreeMap::new();
    if stored.len() < ids.len() {
        let taken = |(id, _): &(&String, &NewEvent)| !stored.contains(*id);
        let (taken, events): (Vec<&String>, Vec<&NewEvent>) = ids.iter().zip(plan.events()).filter(taken).unzip();
        let mut expired = Vec::new();
        for (id, digest, expires_at) in kept(&database, tenant, &taken).await? {
            if digest.is_none() {
                eprintln!("isotherm: the stored event {id} of {tenant} has no digest that can be read");
            }
            match plan.holder(digest, expires_at) {
                Holder::Stays(outcome) => drop(existing.insert(id, outcome)),
                Holder::MakesWay => {
                    let event = taken.iter().zip(&events).find(|(taken, _)| ***taken == id);
                    expired.extend(event.map(|(_, event)| ((*event).clone(), id)));
                }
            }
        }
        if !expired.is_empty() {
            let (events, ids): (Vec<NewEvent>, Vec<String>) = expired.into_iter().unzip();
            make_way(&database, tenant, &ids, plan.expired_by()).await?;
            // An expired event that is not folded yet has stayed, so the second INSERT leaves it out. Its client asks
            // again later.
            stored.extend(insert(&database, tenant, &ids, &events).await?);
        }
    }
    let is_new = |(id, event): (&String, &NewEvent)| stored.contains(id).then(|| Load::of(&event.record));
    maintenance::stored(service, ids.iter().zip(plan.events()).filter_map(is_new).sum());
    let outcome = |id| match existing.get(id) {
        _ if stored.contains(id) => StoreOutcome::Stored,
        Some(outcome) => *outcome,
        None => StoreOutcome::Unavailable,
    };
    Ok(ids.iter().map(outcome).collect())
}

/// Inserts events. Returns the ids of the new ones.
async fn insert(
    database: &Database<'_>,
    tenant: &str,
    ids: &[String],
    events: &[NewEvent],
) -> Result<BTreeSet<String>, Error> {
    let rows = list(events.len(), "(?1, ?, ?, ?, ?, ?, ?)");
    let statement = format!(
        "INSERT INTO events (tenant, id, digest, occurred_at, received_at, expires_at, record) VALUES {rows} \
         ON CONFLICT (tenant, id) DO NOTHING RETURNING id"
    );
    let parameters = || {
        let events = ids.iter().zip(events).flat_map(|(id, event)| {
            [
                Value::text(id),
                Value::blob(event.digest.to_bytes()),
                integer(event.occurred_at.0),
                integer(event.received_at.0),
                integer(event.expires_at.0),
                Value::text(&event.record),
            ]
        });
        iter::once(Value::text(tenant)).chain(events).collect()
    };
    let rows = database.query(&statement, &parameters).await?;
    Ok(rows.iter().filter_map(|row| row.get::<&str>(0)).map(str::to_owned).collect())
}

/// The events that were there before: their ids, digests and expiry times. What is damaged is `None`.
async fn kept(
    database: &Database<'_>,
    tenant: &str,
    ids: &[&String],
) -> Result<Vec<(String, Option<Digest>, Option<Seconds>)>, Error> {
    let ids_of = list(ids.len(), "?");
    let statement = format!("SELECT id, digest, expires_at FROM events WHERE tenant = ?1 AND id IN ({ids_of})");
    let parameters = || iter::once(tenant).chain(ids.iter().map(|id| id.as_str())).map(Value::text).collect();
    let rows = database.query(&statement, &parameters).await?;
    let kept = |row: &RowResult| {
        let digest = row.get::<&[u8]>(1).and_then(|digest| digest.try_into().ok()).map(Digest::from_bytes);
        let expires_at = row.get::<i64>(2).map(|at| Seconds(at.unsigned_abs()));
        Some((row.get::<&str>(0)?.to_owned(), digest, expires_at))
    };
    Ok(rows.iter().filter_map(kept).collect())
}

/// Deletes expired events that are folded.
async fn make_way(database: &Database<'_>, tenant: &str, ids: &[String], expired_by: Seconds) -> Result<(), Error> {
    let statement = format!(
        "DELETE FROM events WHERE tenant = ?1 AND id IN ({}) AND expires_at <= {} AND seq <= {} AND NOT {}",
        list(ids.len(), "?"),
        expired_by.0,
        rollups::WATERMARK,
        rollups::IS_DAMAGED
    );
    let parameters = || iter::once(tenant).chain(ids.iter().map(String::as_str)).map(Value::text).collect();
    database.query(&statement, &parameters).await.map(drop)
}

async fn try_find(service: &Service, plan: &FindPlan) -> Result<Option<String>, Error> {
    let database = Database::open(service).await?;
    let parameters =
        || vec![Value::text(plan.tenant().as_str()), Value::text(plan.id().to_string()), integer(plan.expired_by().0)];
    let find = "SELECT record FROM events WHERE tenant = ?1 AND id = ?2 AND expires_at > ?3";
    let rows = database.query(find, &parameters).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let record = row.get::<&str>(0).ok_or_else(|| Error::Io("its record is no text".to_owned()))?;
    Ok(Some(record.to_owned()))
}
