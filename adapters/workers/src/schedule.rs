//! What is done every now and then: hours are compacted to days, and expired events go.

use isotherm_core::{Millis, Service};
use worker::{Result, SqlStorage, SqlStorageValue};

use crate::rollups::{pages, unreadable, write};

/// Days that are compacted at once: requests wait meanwhile. Most often one is over; a month of events may have come late.
const DAYS_AT_ONCE: usize = 31;
/// The oldest events that are looked at for their expiry.
const EVENTS_AT_ONCE: i64 = 10_000;

/// An event stays until it is folded. Those that expire first have come first: to look through all would cost their reading.
const EXPIRE: &str = "DELETE FROM events WHERE expires_at <= ?
    AND seq IN (SELECT seq FROM events
        WHERE seq <= (SELECT page FROM rollups WHERE key = '') ORDER BY seq LIMIT ?)";

/// Does a part of what is due. Nothing is awaited, so the runtime makes it one transaction.
pub(crate) fn step(sql: &SqlStorage, service: &Service, now: Millis) -> Result<()> {
    let seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
    sql.exec(EXPIRE, vec![SqlStorageValue::Integer(seconds), SqlStorageValue::Integer(EVENTS_AT_ONCE)])?;
    let marks = pages(sql, &[service.marks()])?;
    for compaction in service.compactions(&marks, now).map_err(unreadable)?.into_iter().take(DAYS_AT_ONCE) {
        let stored = pages(sql, &compaction.ranges())?;
        write(sql, compaction.settle(stored).map_err(unreadable)?)?;
    }
    Ok(())
}
