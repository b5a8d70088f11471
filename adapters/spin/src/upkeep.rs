//! Upkeep: does what core asks for, in a request that has stored enough for a fold, and when a cron asks for it.
//!
//! Several instances may do the same at once: what a task writes is written only if the watermark stands where it stood before
//! the task read.

use std::cell::RefCell;

use isotherm_core::{
    CRON, Held, KeyRange, Load, Merged, Millis, Outcome, Pace, Seconds, Service, Task, Tenant, Upkeep, WriteLimits,
};
use spin_sdk::sqlite::{Error, RowResult, Value};

use crate::request::now;
use crate::rollups::{self, WATERMARK, pages, rows_of, write};
use crate::store::{Database, integer};

/// When days were last looked for.
pub(crate) const TABLE: &str =
    "CREATE TABLE upkeep (id INTEGER PRIMARY KEY CHECK (id = 0), looked_at INTEGER NOT NULL)";

const LOOKED: &str = "INSERT OR REPLACE INTO upkeep (id, looked_at) VALUES (0, ?)";

/// Whoever has rollups, whether there are keys or not. Each is looked up by the index, so that not all rows are read.
const TENANTS: &str = "WITH RECURSIVE tenants (name) AS (
    SELECT min(tenant) FROM rollups WHERE tenant > ''
    UNION ALL SELECT (SELECT min(tenant) FROM rollups WHERE tenant > name) FROM tenants WHERE name IS NOT NULL
) SELECT name FROM tenants WHERE name IS NOT NULL";

thread_local! {
    /// What this instance knows, for as long as core believes it.
    static UPKEEP: RefCell<Option<Upkeep>> = const { RefCell::new(None) };
}

/// Says whether the store accepts new events. A store at its bound is folded first.
pub(crate) async fn takes_events(database: &Database<'_>, service: &Service) -> Result<bool, Error> {
    ask(database).await?;
    if !with(|upkeep| upkeep.takes_events()) {
        turn(database, service).await;
    }
    Ok(with(|upkeep| upkeep.takes_events()))
}

/// Takes in that so much is new, and does a turn of upkeep where that is pressing.
pub(crate) async fn stored(database: &Database<'_>, service: &Service, load: Load) {
    let is_pressing = with(|upkeep| {
        upkeep.stored(load, now());
        upkeep.is_pressing()
    });
    if is_pressing {
        turn(database, service).await;
    }
}

/// Does all that is due, or as much of it as a cron waits for. Whether nothing failed.
pub(crate) async fn visit(database: &Database<'_>, service: &Service) -> Result<bool, Error> {
    UPKEEP.take();
    ask(database).await?;
    let (started, mut is_done) = (now(), true);
    while now().0.saturating_sub(started.0) < CRON.as_millis() as u64 {
        match step(database, service).await {
            Some(is_task_done) => is_done &= is_task_done,
            None => break,
        }
    }
    Ok(is_done)
}

async fn turn(database: &Database<'_>, service: &Service) {
    for _ in 0..with(|upkeep| upkeep.turn()) {
        if step(database, service).await.is_none() {
            break;
        }
    }
}

/// Does the next task: whether it succeeded; `None` where there is nothing to do.
async fn step(database: &Database<'_>, service: &Service) -> Option<bool> {
    let task = with(|upkeep| upkeep.next(now()));
    if matches!(task, Task::Sleep { .. }) {
        return None;
    }
    let done = perform(database, service, &task).await;
    if let Err(error) = &done {
        eprintln!("isotherm: {}: {error}", task.failure());
    }
    let is_done = done.is_ok();
    with(|upkeep| upkeep.done(done.unwrap_or_else(|_| task.failed()), now()));
    Some(is_done)
}

/// Asks the database what it holds, where this instance does not know.
async fn ask(database: &Database<'_>) -> Result<(), Error> {
    if UPKEEP.with_borrow(|upkeep| upkeep.as_ref().is_some_and(|upkeep| !upkeep.is_outdated(now()))) {
        return Ok(());
    }
    let statement = format!(
        "SELECT count(*), coalesce(sum(octet_length(record)), 0), coalesce((SELECT looked_at FROM upkeep), 0) \
         FROM events WHERE seq > {WATERMARK}"
    );
    let rows = database.query(&statement, &Vec::new).await?;
    let whole = |column| rows.first().and_then(|row| row.get::<i64>(column)).unwrap_or_default().unsigned_abs();
    let unfolded = Load { events: whole(0) as usize, bytes: whole(1) as usize };
    UPKEEP.set(Some(Upkeep::new(Pace::INSTANCE, Held { unfolded, looked_at: Millis(whole(2)) }, now())));
    Ok(())
}

fn with<T>(work: impl FnOnce(&mut Upkeep) -> T) -> T {
    UPKEEP.with_borrow_mut(|upkeep| {
        work(upkeep.get_or_insert_with(|| Upkeep::new(Pace::INSTANCE, Held::default(), now())))
    })
}

async fn perform(database: &Database<'_>, service: &Service, task: &Task) -> Result<Outcome, Error> {
    Ok(match task {
        Task::Fold { events, bytes } => Outcome::Folded(rollups::fold(database, service, *events, *bytes).await?),
        Task::Expire { until: Seconds(until), among } => {
            // Events expire about in the order in which they came, so the oldest ones are looked at.
            let expire = format!(
                "DELETE FROM events WHERE seq <= {WATERMARK} AND seq IN (SELECT seq FROM \
                 (SELECT seq, expires_at FROM events ORDER BY seq LIMIT {among}) WHERE expires_at <= {until}) RETURNING 1"
            );
            Outcome::Expired(database.query(&expire, &Vec::new).await?.len())
        }
        Task::Look { keep } => {
            let now = now();
            let mut days = Vec::new();
            let tenants = database.query(TENANTS, &Vec::new).await?;
            let name = |row: &RowResult| Tenant::parse(row.get::<&str>(0)?.to_owned()).ok();
            for tenant in tenants.iter().filter_map(name) {
                let marks = pages(database, tenant.as_str(), &[service.marks()]).await?;
                days.extend(service.compactions(&marks, now).iter().map(|day| (tenant.clone(), day.mark())));
            }
            database.query(LOOKED, &|| vec![integer(keep.0)]).await?;
            Outcome::Looked(days)
        }
        Task::Compact { tenant, mark } => {
            compact(database, service, tenant, mark).await?;
            Outcome::Compacted
        }
        Task::Sleep { .. } => Outcome::Compacted,
    })
}

async fn compact(database: &Database<'_>, service: &Service, tenant: &Tenant, mark: &KeyRange) -> Result<(), Error> {
    // Before the mark is read: what is folded meanwhile moves it, and then nothing is written.
    let rows = database.query(&format!("SELECT {WATERMARK}"), &Vec::new).await?;
    let watermark = rows.first().and_then(|row| row.get::<i64>(0)).unwrap_or_default();
    let marks = pages(database, tenant.as_str(), std::slice::from_ref(mark)).await?;
    for compaction in service.compactions(&marks, now()) {
        let stored = pages(database, tenant.as_str(), &compaction.ranges()).await?;
        let Merged { pages, damaged, .. } = compaction.settle(stored, WriteLimits::ONE_WRITER);
        for page in damaged {
            eprintln!("isotherm: reports of {} are incomplete: {page}", tenant.as_str());
        }
        let written: Vec<Value> = rows_of(tenant.as_str(), pages).collect();
        write(database, written, watermark).await?;
    }
    Ok(())
}
