//! Maintenance: does the tasks that core asks for, each in one transaction.

use std::path::Path;

use anyhow::Result;
use isotherm_core::{
    ExpiryOrder, Folded, Held, KeyRange, Load, Merged, Millis, Outcome, Seconds, Service, StoredPage, Task, Tenant,
    WriteLimits,
};
use rusqlite::{Connection, TransactionBehavior, params};

use crate::database::integer;
use crate::log;
use crate::rollups::{self, text};
use crate::watch::Watch;

/// A damaged time is no integer, and sorts after all integers.
const HELD: &str = "SELECT count(*), coalesce(sum(octet_length(record)), 0),
        coalesce(min(received_at) FILTER (WHERE typeof(received_at) = 'integer'), 0),
        coalesce((SELECT looked_at FROM upkeep), 0),
        EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'events_by_expiry')
    FROM events WHERE seq > ?1";

const NOTE_ROUND: &str = "INSERT OR REPLACE INTO upkeep (id, looked_at) VALUES (0, ?1)";

/// Events expire roughly in the order in which they came, so only the oldest ones are checked.
const EXPIRE: &str = "DELETE FROM events WHERE seq IN (
    SELECT seq FROM (SELECT seq, expires_at FROM events ORDER BY seq LIMIT ?1) WHERE expires_at <= ?2)
    AND seq <= ?3";

/// Made once events of some types are kept longer than others, and kept for good.
const BY_EXPIRY: &str = "CREATE INDEX IF NOT EXISTS events_by_expiry ON events (expires_at)";

const EXPIRE_BY_EXPIRY: &str = "DELETE FROM events WHERE seq IN (
    SELECT seq FROM events INDEXED BY events_by_expiry WHERE expires_at <= ?2
    AND seq <= ?3 ORDER BY expires_at LIMIT ?1)";

/// All tenants that have rollups, whether they have keys or not. Each is looked up by the index, so that not all rows
/// are read.
const TENANTS: &str = "WITH RECURSIVE tenants (name) AS (
    SELECT min(tenant) FROM rollups WHERE tenant > ''
    UNION ALL SELECT (SELECT min(tenant) FROM rollups WHERE tenant > name) FROM tenants WHERE name IS NOT NULL
) SELECT name FROM tenants WHERE name IS NOT NULL";

/// Counts what the database holds, for core.
pub(crate) fn held(connection: &Connection) -> rusqlite::Result<Held> {
    connection.query_row(HELD, [rollups::watermark(connection)?], |row| {
        let time = |column| row.get::<_, i64>(column).map(|time| Millis(time.unsigned_abs()));
        let unfolded = Load { events: row.get(0)?, bytes: row.get(1)? };
        let expiry = if row.get(4)? { ExpiryOrder::Time } else { ExpiryOrder::Arrival };
        Ok(Held { unfolded, oldest: time(2)?, looked_at: time(3)?, expiry })
    })
}

/// Performs a task.
pub(crate) fn perform(
    connection: &mut Connection,
    service: &Service,
    backup: Option<&Path>,
    task: &Task,
    now: Millis,
    watch: &Watch,
) -> Result<Outcome> {
    service.known()?;
    Ok(match task {
        Task::Count => Outcome::Counted(held(connection)?),
        Task::Fold { events, bytes } => {
            let (load, folded) = rollups::fold(connection, service, backup, *events, *bytes)?;
            watch.folded(service, &folded);
            Outcome::Folded(load)
        }
        Task::Expire { until: Seconds(until), among, order } => {
            let expire = match order {
                ExpiryOrder::Arrival => EXPIRE,
                ExpiryOrder::Time => {
                    connection.execute(BY_EXPIRY, [])?;
                    EXPIRE_BY_EXPIRY
                }
            };
            let watermark = rollups::watermark(connection)?;
            Outcome::Expired(connection.execute(expire, params![among, integer(*until), watermark])?)
        }
        Task::FindDays => Outcome::Found(days(connection, service, now)?),
        Task::Compact { tenant, manifest } => {
            compact(connection, service, tenant, manifest, now, watch)?;
            Outcome::Done
        }
        Task::NoteRound { began: Millis(began) } => {
            connection.execute(NOTE_ROUND, [integer(*began)])?;
            Outcome::Done
        }
    })
}

/// Finds the days to compact. Each day is named by its manifest.
fn days(connection: &Connection, service: &Service, now: Millis) -> Result<Vec<(Tenant, KeyRange)>> {
    let tenants =
        connection.prepare_cached(TENANTS)?.query_map([], |row| text(row, 0))?.collect::<Result<Vec<_>, _>>()?;
    let mut days = Vec::new();
    for tenant in tenants.into_iter().filter_map(|name| Tenant::parse(name).ok()) {
        rollups::each_page(connection, tenant.as_str(), &[service.manifests()], &mut |manifest| {
            days.extend(service.compactions(&[manifest], now).iter().map(|day| (tenant.clone(), day.manifest())));
            true
        })?;
    }
    Ok(days)
}

fn compact(
    connection: &mut Connection,
    service: &Service,
    tenant: &Tenant,
    manifest: &KeyRange,
    now: Millis,
    watch: &Watch,
) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // A fold may have happened since the manifest was read.
    let manifests = rollups::pages(&transaction, tenant.as_str(), std::slice::from_ref(manifest))?;
    for compaction in service.compactions(&manifests, now) {
        let (mut budget, ranges) = (compaction.budget(), compaction.ranges());
        let mut takes = |page: &StoredPage| budget.takes_page(page);
        let stored = rollups::pages_while(&transaction, tenant.as_str(), &ranges, &mut takes)?;
        let merged = compaction.merge(stored, WriteLimits::ONE_WRITER);
        Folded::damage(&merged).iter().for_each(|damage| watch.folded(service, damage));
        let Merged { pages, damaged, .. } = merged;
        for page in damaged {
            log::line(format_args!("reports of {} are incomplete: {page}", tenant.as_str()));
        }
        rollups::write(&transaction, tenant.as_str(), &pages)?;
    }
    Ok(transaction.commit()?)
}
