//! What is done every now and then: hours are compacted to days, and expired events go.

use anyhow::Result;
use isotherm_core::{Millis, Service};
use rusqlite::{Connection, TransactionBehavior, params};

use crate::rollups;

/// The oldest events that one step looks at.
const EVENTS_PER_STEP: usize = 10_000;

/// An event stays until it is folded. Those that expire first have come first.
const EXPIRE: &str = "DELETE FROM events WHERE seq IN (
    SELECT seq FROM (SELECT seq, expires_at FROM events ORDER BY seq LIMIT ?1) WHERE expires_at <= ?2
        AND seq <= coalesce((SELECT page FROM rollups WHERE tenant = '' AND key = ''), 0))";

/// Does a part of what is due, in one transaction. Whether there may be more to do.
pub(crate) fn step(connection: &mut Connection, service: &Service, Millis(now): Millis) -> Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for tenant in service.tenants() {
        let tenant = tenant.as_str();
        let marks = rollups::pages(&transaction, tenant, &[service.marks()])?;
        let Some(compaction) = service.compactions(&marks, Millis(now))?.into_iter().next() else { continue };
        let stored = rollups::pages(&transaction, tenant, &compaction.ranges())?;
        rollups::write(&transaction, tenant, &compaction.settle(stored)?)?;
        transaction.commit()?;
        return Ok(true);
    }
    let expired = transaction.execute(EXPIRE, params![EVENTS_PER_STEP, i64::try_from(now / 1000)?])?;
    transaction.commit()?;
    Ok(expired > 0)
}
