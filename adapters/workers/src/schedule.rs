//! What is done every now and then: hours are compacted to days, and expired events go.

use std::time::Duration;

use isotherm_core::{Merged, Millis, Service, WriteLimits};
use worker::{Result, SqlStorage, SqlStorageValue, console_error};

use crate::rollups::{pages, write};

/// Days that are compacted at once: requests wait meanwhile. Most often one is over; a month of events may have come late.
const DAYS_AT_ONCE: usize = 31;
/// The oldest events that are looked at for their expiry.
const EVENTS_AT_ONCE: i64 = 10_000;
/// How often a shard looks for what is due.
pub(crate) const EVERY: Duration = Duration::from_secs(60 * 60);

/// When what is due was done last.
pub(crate) const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS upkeep (id INTEGER PRIMARY KEY CHECK (id = 0), done_at INTEGER)";

const DUE: &str = "SELECT coalesce((SELECT done_at FROM upkeep), 0) <= ?";

const DONE: &str = "INSERT OR REPLACE INTO upkeep (id, done_at) VALUES (0, ?)";

/// An event stays until it is folded. Those that expire first have come first: to look through all would cost their reading.
const EXPIRE: &str = "DELETE FROM events WHERE expires_at <= ?
    AND seq IN (SELECT seq FROM events
        WHERE seq <= (SELECT page FROM rollups WHERE key = '') ORDER BY seq LIMIT ?)";

/// Whether something may be due.
pub(crate) fn is_due(sql: &SqlStorage, now: Millis) -> Result<bool> {
    let before = SqlStorageValue::Integer(integer(now.0.saturating_sub(EVERY.as_millis() as u64)));
    Ok(is_true(sql.exec(DUE, vec![before])?.raw().next().transpose()?))
}

/// Does a part of what is due, and says whether there may be more. Nothing is awaited, so the runtime makes it one transaction.
pub(crate) fn step(sql: &SqlStorage, service: &Service, tenant: &str, now: Millis) -> Result<bool> {
    let seconds = SqlStorageValue::Integer(integer(now.0 / 1000));
    sql.exec(EXPIRE, vec![seconds, SqlStorageValue::Integer(EVENTS_AT_ONCE)])?;
    if is_true(sql.exec("SELECT changes() > 0", None)?.raw().next().transpose()?) {
        return Ok(true);
    }
    let marks = pages(sql, &[service.marks()])?;
    let compactions = service.compactions(&marks, now);
    let has_more = compactions.len() > DAYS_AT_ONCE;
    for compaction in compactions.into_iter().take(DAYS_AT_ONCE) {
        let stored = pages(sql, &compaction.ranges())?;
        let Merged { pages, damaged, .. } = compaction.settle(stored, WriteLimits::ONE_WRITER);
        for page in damaged {
            console_error!("isotherm: reports of {tenant} are incomplete: {page}");
        }
        write(sql, pages)?;
    }
    sql.exec(DONE, vec![SqlStorageValue::Integer(integer(now.0))])?;
    Ok(has_more)
}

fn is_true(row: Option<Vec<SqlStorageValue>>) -> bool {
    matches!(row.as_deref(), Some([SqlStorageValue::Integer(1)]))
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
