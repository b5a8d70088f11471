//! Maintenance: does what core asks for. It runs beside the answer to a request after which a whole fold waits, and
//! when a cron asks for it.
//!
//! Several instances may do the same task at once. Pages are written only if the watermark still stands where it stood
//! before the task read. Expired events are deleted only if they are folded.

use std::cell::{Cell, RefCell};

use isotherm_core::{
    CRON, Condition, ExpiryOrder, Folded, Held, KeyRange, Load, Maintenance, Merged, Millis, Next, Outcome, Pace,
    Patience, Seconds, Service, StoredPage, Task, Tenant, WriteLimits,
};
use spin_sdk::sqlite::{Error, RowResult, Value};
use spin_sdk::time::sleep;
use spin_sdk::wasip3::spawn;

use crate::database::{Database, integer};
use crate::request::now;
use crate::rollups::{self, IS_DAMAGED, WATERMARK, damaged, each_page, pages, pages_while, rows_of, write};
use crate::watch;

const REJECTED: &str = "SELECT count(*) FROM rejected_events";

const NOTE_ROUND: &str = "INSERT OR REPLACE INTO upkeep (id, looked_at) VALUES (0, ?)";

/// Made once events of some types are kept longer than others, and kept for good.
const BY_EXPIRY: &str = "CREATE INDEX IF NOT EXISTS events_by_expiry ON events (expires_at)";

/// All tenants that have rollups, whether they have keys or not. Each is looked up by the index, so that not all rows
/// are read.
const TENANTS: &str = "WITH RECURSIVE tenants (name) AS (
    SELECT min(tenant) FROM rollups WHERE tenant > ''
    UNION ALL SELECT (SELECT min(tenant) FROM rollups WHERE tenant > name) FROM tenants WHERE name IS NOT NULL
) SELECT name FROM tenants WHERE name IS NOT NULL";

thread_local! {
    /// What this instance knows of its store. `None` until it has asked the database.
    static MAINTENANCE: RefCell<Option<Maintenance>> = const { RefCell::new(None) };
    static HAS_TURN: Cell<bool> = const { Cell::new(false) };
}

/// One request of this instance holds it at a time: otherwise all its requests would get the same task.
struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        (!HAS_TURN.replace(true)).then_some(Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        HAS_TURN.set(false);
    }
}

/// Lends the machine to a closure. Do not hold it across an await: other requests record their events in it meanwhile.
/// Returns `None` if this instance has no machine yet.
fn known<T>(ask: impl FnOnce(&mut Maintenance) -> T) -> Option<T> {
    MAINTENANCE.with_borrow_mut(|maintenance| maintenance.as_mut().map(ask))
}

/// Returns whether the store accepts new events. If it was full when it was last read, this request reads it again and
/// folds first. Requests that come meanwhile wait for that, as long as a request may take.
///
/// A new instance asks the database first. Otherwise instances that get one request each would fill the store without a
/// bound.
pub(crate) async fn takes_events(database: &Database<'_>, service: &Service) -> Result<bool, Error> {
    if MAINTENANCE.with_borrow(Option::is_none) {
        ask(database, service).await?;
    }
    let is_full = || known(|maintenance| !maintenance.takes_events()).unwrap_or_default();
    let mut patience = Patience::default();
    while is_full() {
        if let Some(turn) = Turn::take() {
            do_turn(&turn, service).await?;
            break;
        }
        let Some(pause) = patience.pause(database.since_arrival()) else { break };
        sleep(pause).await;
    }
    Ok(!is_full())
}

/// Notes how much was stored. If a whole fold waits, a turn of maintenance follows beside the answer.
pub(crate) fn stored(service: &'static Service, load: Load) {
    let is_due = known(|maintenance| {
        maintenance.stored(load, now());
        maintenance.is_outdated(now()) || maintenance.has_whole_fold()
    });
    if is_due.unwrap_or_default()
        && let Some(turn) = Turn::take()
    {
        spawn(async move {
            let done = async {
                if ask(&Database::open(service).await?, service).await?.has_whole_fold() {
                    do_turn(&turn, service).await?;
                }
                Ok::<_, Error>(())
            };
            if let Err(error) = done.await {
                eprintln!("isotherm: what the store holds cannot be read: {error}");
            }
        });
    }
}

/// Does all that is due, or as much of it as a cron waits for. Returns whether nothing failed.
pub(crate) async fn visit(service: &Service) -> Result<bool, Error> {
    service.known().map_err(|error| Error::Io(error.to_string()))?;
    let Some(_turn) = Turn::take() else { return Ok(true) };
    ask(&Database::open(service).await?, service).await?;
    let (started, mut is_done) = (now(), true);
    known(|maintenance| maintenance.begin_round(started));
    while now().0.saturating_sub(started.0) < CRON.as_millis() as u64 {
        match step(service).await? {
            Some(is_task_done) => is_done &= is_task_done,
            None => break,
        }
    }
    Ok(is_done)
}

/// Reads the condition of the database.
pub(crate) async fn condition(service: &Service) -> Result<Condition, Error> {
    let database = Database::open(service).await?;
    let condition = ask(&database, service).await?.condition(now());
    let rows = database.query(REJECTED, &Vec::new).await?;
    let rejected = rows.first().and_then(|row| row.get::<i64>(0)).unwrap_or_default();
    Ok(condition.with_rejected(rejected.unsigned_abs()))
}

async fn do_turn(_turn: &Turn, service: &Service) -> Result<(), Error> {
    let tasks = ask(&Database::open(service).await?, service).await?.tasks_a_turn();
    for _ in 0..tasks {
        if step(service).await?.is_none() {
            break;
        }
    }
    Ok(())
}

/// Does the next task. Returns whether it succeeded, or `None` if there is nothing to do.
async fn step(service: &Service) -> Result<Option<bool>, Error> {
    let Some(Next::Do(task)) = known(|maintenance| maintenance.next(now())) else { return Ok(None) };
    // Each task has its own time to wait for a locked database.
    match perform(&Database::open(service).await?, service, &task).await {
        Ok(outcome) => {
            known(|maintenance| maintenance.done(outcome, now()));
            Ok(Some(true))
        }
        Err(error) => {
            eprintln!("isotherm: {}: {error}", task.failure());
            known(|maintenance| maintenance.failed(&task, now()));
            Ok(Some(false))
        }
    }
}

/// Asks the database what it holds. Tasks that this instance has begun go on.
async fn ask(database: &Database<'_>, service: &Service) -> Result<Maintenance, Error> {
    let held = held(database).await?;
    let pace = Pace::INSTANCE.with_expiry(service.expiry_order());
    let maintenance = MAINTENANCE.take().map_or_else(
        || Maintenance::new(pace, held, now()),
        |mut maintenance| {
            maintenance.refresh(held, now());
            maintenance.set_pace(pace);
            maintenance
        },
    );
    MAINTENANCE.set(Some(maintenance.clone()));
    Ok(maintenance)
}

/// Counts what the database holds, for core.
async fn held(database: &Database<'_>) -> Result<Held, Error> {
    let statement = format!(
        "SELECT count(*), coalesce(sum(octet_length(record)), 0), coalesce(min(received_at), 0), \
         coalesce((SELECT looked_at FROM upkeep), 0), \
         EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'events_by_expiry'), {IS_DAMAGED} \
         FROM events WHERE seq > {WATERMARK}"
    );
    let rows = database.query(&statement, &Vec::new).await?;
    let whole = |column| rows.first().and_then(|row| row.get::<i64>(column)).unwrap_or_default().unsigned_abs();
    if whole(5) != 0 {
        return Err(damaged());
    }
    let unfolded = Load { events: whole(0) as usize, bytes: whole(1) as usize };
    let expiry = if whole(4) > 0 { ExpiryOrder::Time } else { ExpiryOrder::Arrival };
    Ok(Held { unfolded, oldest: Millis(whole(2)), looked_at: Millis(whole(3)), expiry })
}

async fn perform(database: &Database<'_>, service: &Service, task: &Task) -> Result<Outcome, Error> {
    Ok(match task {
        Task::Count => Outcome::Counted(held(database).await?),
        Task::Fold { events, bytes } => match rollups::fold(database, service, *events, *bytes).await? {
            Some(load) => Outcome::Folded(load),
            // Another instance has folded, so this one's count is outdated.
            None => Outcome::Counted(held(database).await?),
        },
        Task::Expire { until: Seconds(until), among, order } => {
            let expired = match order {
                ExpiryOrder::Arrival => {
                    let oldest = format!("SELECT seq, expires_at FROM events ORDER BY seq LIMIT {among}");
                    format!("SELECT seq FROM ({oldest}) WHERE expires_at <= {until}")
                }
                ExpiryOrder::Time => {
                    database.query(BY_EXPIRY, &Vec::new).await?;
                    format!(
                        "SELECT seq FROM events INDEXED BY events_by_expiry WHERE expires_at <= {until} \
                         AND seq <= {WATERMARK} ORDER BY expires_at LIMIT {among}"
                    )
                }
            };
            let expire = format!(
                "DELETE FROM events WHERE NOT {IS_DAMAGED} AND seq <= {WATERMARK} AND seq IN ({expired}) RETURNING 1"
            );
            Outcome::Expired(database.query(&expire, &Vec::new).await?.len())
        }
        Task::FindDays => {
            let now = now();
            let mut days = Vec::new();
            let tenants = database.query(TENANTS, &Vec::new).await?;
            let name = |row: &RowResult| Tenant::parse(row.get::<&str>(0)?.to_owned()).ok();
            for tenant in tenants.iter().filter_map(name) {
                let of_manifest = |manifest| {
                    let due = service.compactions(&[manifest], now);
                    days.extend(due.iter().map(|day| (tenant.clone(), day.manifest())));
                    true
                };
                each_page(database, tenant.as_str(), &[service.manifests()], of_manifest).await?;
            }
            Outcome::Found(days)
        }
        Task::Compact { tenant, manifest } => {
            compact(database, service, tenant, manifest).await?;
            Outcome::Done
        }
        Task::NoteRound { began: Millis(began) } => {
            database.query(NOTE_ROUND, &|| vec![integer(*began)]).await?;
            Outcome::Done
        }
    })
}

async fn compact(
    database: &Database<'_>,
    service: &Service,
    tenant: &Tenant,
    manifest: &KeyRange,
) -> Result<(), Error> {
    // Read before the manifest: a fold after this moves the watermark, and then nothing is written.
    let rows = database.query(&format!("SELECT {WATERMARK}"), &Vec::new).await?;
    let watermark = rows.first().and_then(|row| row.get::<i64>(0)).ok_or_else(damaged)?;
    let manifests = pages(database, tenant.as_str(), std::slice::from_ref(manifest)).await?;
    for compaction in service.compactions(&manifests, now()) {
        let mut budget = compaction.budget();
        let takes = |page: &StoredPage| budget.takes_page(page);
        let stored = pages_while(database, tenant.as_str(), &compaction.ranges(), takes).await?;
        let merged = compaction.merge(stored, WriteLimits::ONE_WRITER);
        Folded::damage(&merged).iter().for_each(|damage| watch::folded(service, damage));
        let Merged { pages, damaged, .. } = merged;
        for page in damaged {
            eprintln!("isotherm: reports of {} are incomplete: {page}", tenant.as_str());
        }
        let written: Vec<Value> = rows_of(tenant.as_str(), pages).collect();
        // A day that is not written, because a fold came between, is found again in the next round.
        let _written = write(database, written, watermark).await?;
    }
    Ok(())
}
