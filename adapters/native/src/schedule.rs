//! What is done every now and then: hours are compacted to days, and expired events go.

use anyhow::Result;
use isotherm_core::{KeyRange, Merged, Millis, Service, WriteLimits};
use rusqlite::{Connection, TransactionBehavior, params};

use crate::{log, rollups};

/// The oldest events that one step looks at.
const EVENTS_PER_STEP: usize = 10_000;

/// An event stays until it is folded. Those that expire first have come first.
const EXPIRE: &str = "DELETE FROM events WHERE seq IN (
    SELECT seq FROM (SELECT seq, expires_at FROM events ORDER BY seq LIMIT ?1) WHERE expires_at <= ?2
        AND seq <= coalesce((SELECT page FROM rollups WHERE tenant = '' AND key = ''), 0))";

/// Whoever has rollups, whether there are keys or not. Each is looked up by the index, so that not all rows are read.
const TENANTS: &str = "WITH RECURSIVE tenants (name) AS (
    SELECT min(tenant) FROM rollups WHERE tenant > ''
    UNION ALL SELECT (SELECT min(tenant) FROM rollups WHERE tenant > name) FROM tenants WHERE name IS NOT NULL
) SELECT name FROM tenants WHERE name IS NOT NULL";

/// What is left to do of what was due.
#[derive(Default)]
pub(crate) struct Pass {
    /// Where the marks of the days stand that are to be compacted, with their tenants.
    days: Option<Vec<(String, KeyRange)>>,
}

impl Pass {
    /// Does a part of what is due, in one transaction. Whether there may be more to do.
    pub(crate) fn step(&mut self, connection: &mut Connection, service: &Service, now: Millis) -> Result<bool> {
        // Before anything that may fail.
        if connection.execute(EXPIRE, params![EVENTS_PER_STEP, i64::try_from(now.0 / 1000)?])? > 0 {
            return Ok(true);
        }
        let Some(days) = &mut self.days else {
            self.days = Some(due(connection, service, now)?);
            return Ok(true);
        };
        let Some((tenant, mark)) = days.pop() else {
            self.days = None;
            return Ok(false);
        };
        // It is not tried again in this pass when it fails, and so holds up no other.
        compact(connection, service, &tenant, mark, now)?;
        Ok(true)
    }
}

fn due(connection: &Connection, service: &Service, now: Millis) -> Result<Vec<(String, KeyRange)>> {
    let tenants =
        connection.prepare_cached(TENANTS)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let mut days = Vec::new();
    for tenant in tenants {
        let marks = rollups::pages(connection, &tenant, &[service.marks()])?;
        days.extend(service.compactions(&marks, now).iter().map(|compaction| (tenant.clone(), compaction.mark())));
    }
    Ok(days)
}

fn compact(connection: &mut Connection, service: &Service, tenant: &str, mark: KeyRange, now: Millis) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Something may have been folded since the mark was read.
    let marks = rollups::pages(&transaction, tenant, &[mark])?;
    for compaction in service.compactions(&marks, now) {
        let stored = rollups::pages(&transaction, tenant, &compaction.ranges())?;
        let Merged { pages, damaged, .. } = compaction.settle(stored, WriteLimits::ONE_WRITER);
        for page in damaged {
            log::line(format_args!("reports of {tenant} are incomplete: {page}"));
        }
        rollups::write(&transaction, tenant, &pages)?;
    }
    Ok(transaction.commit()?)
}
