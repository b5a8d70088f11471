//! Maintenance of a shard: does what core asks for. A task awaits nothing but the bucket, so the runtime makes each one
//! transaction.

use isotherm_core::{Held, KeyRange, Load, Merged, Millis, Outcome, Seconds, Service, Tenant, WriteLimits};
use worker::{Result, SqlStorage, SqlStorageValue, console_error};

use crate::database::{columns, integer, other_row, whole};
use crate::rollups::{pages, write};

const HELD: &str = "SELECT count(*), coalesce(sum(octet_length(record)), 0), coalesce(min(received_at), 0),
        coalesce((SELECT done_at FROM upkeep), 0)
    FROM events WHERE seq > coalesce((SELECT page FROM rollups WHERE key = ''), 0)";

const KEEP: &str = "INSERT OR REPLACE INTO upkeep (id, done_at) VALUES (0, ?)";

/// Events expire roughly in the order in which they came, so only the oldest ones are checked.
const EXPIRE: &str = "DELETE FROM events WHERE seq IN (
    SELECT seq FROM (SELECT seq, expires_at FROM events ORDER BY seq LIMIT ?) WHERE expires_at <= ?)
    AND seq <= coalesce((SELECT page FROM rollups WHERE key = ''), 0)";

/// Counts what the shard holds, for core.
pub(crate) fn held(sql: &SqlStorage) -> Result<Held> {
    let row = sql.exec(HELD, None)?.raw().next().transpose()?.ok_or_else(other_row)?;
    let [events, bytes, oldest, looked_at] = columns(row)?.map(whole);
    let unfolded = Load { events: events as usize, bytes: bytes as usize };
    Ok(Held { unfolded, oldest: Millis(oldest), looked_at: Millis(looked_at) })
}

/// Deletes events that expire by `until`, among the `among` oldest ones.
pub(crate) fn expire(sql: &SqlStorage, Seconds(until): Seconds, among: usize) -> Result<Outcome> {
    sql.exec(EXPIRE, vec![SqlStorageValue::Integer(among as i64), integer(until)])?;
    let row = sql.exec("SELECT changes()", None)?.raw().next().transpose()?.ok_or_else(other_row)?;
    let [events] = columns(row)?.map(whole);
    Ok(Outcome::Expired(events as usize))
}

/// Finds the days to compact.
pub(crate) fn find_days(sql: &SqlStorage, service: &Service, tenant: &Tenant, now: Millis) -> Result<Outcome> {
    let manifests = pages(sql, &[service.manifests()])?;
    let days = service.compactions(&manifests, now).iter().map(|day| (tenant.clone(), day.manifest())).collect();
    Ok(Outcome::Found(days))
}

/// Stores the time when days were last looked for.
pub(crate) fn keep(sql: &SqlStorage, Millis(looked_at): Millis) -> Result<Outcome> {
    sql.exec(KEEP, vec![integer(looked_at)])?;
    Ok(Outcome::Done)
}

/// Compacts the day that this manifest names.
pub(crate) fn compact(
    sql: &SqlStorage,
    service: &Service,
    tenant: &Tenant,
    manifest: KeyRange,
    now: Millis,
) -> Result<Outcome> {
    for compaction in service.compactions(&pages(sql, &[manifest])?, now) {
        let stored = pages(sql, &compaction.ranges())?;
        let Merged { pages, damaged, .. } = compaction.merge(stored, WriteLimits::ONE_WRITER);
        for page in damaged {
            console_error!("isotherm: reports of {} are incomplete: {page}", tenant.as_str());
        }
        write(sql, pages)?;
    }
    Ok(Outcome::Done)
}
