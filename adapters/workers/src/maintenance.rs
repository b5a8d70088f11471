//! Maintenance of a shard: does what core asks for. [`crate::shard::Shard`] runs tasks of several writes in a
//! transaction, because an error does not undo the statements before it.

use isotherm_core::{
    Blocks, ExpiryOrder, Folded, Held, KeyRange, Load, Merged, Millis, Outcome, Service, Tenant, WriteLimits,
};
use worker::{Result, SqlStorage, console_error};

use crate::database::{columns, first, integer, whole};
use crate::rollups::{each_page, pages, pages_while, write};
use crate::{blocks, watch};

const HELD: &str = "SELECT coalesce((SELECT done_at FROM upkeep), 0),
    EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'blocks_by_expiry')";

/// The unfolded rows of the table `events`.
const UNFOLDED_ROWS: &str = "SELECT count(*), coalesce(sum(octet_length(record)), 0), coalesce(min(received_at), 0)
    FROM events WHERE seq > ?";

const REJECTED: &str = "SELECT count(*) FROM rejected_events";

const NOTE_ROUND: &str = "INSERT OR REPLACE INTO upkeep (id, done_at) VALUES (0, ?)";

/// How many records no report counts.
pub(crate) fn rejected(sql: &SqlStorage) -> Result<u64> {
    let [rejected] = columns(first(sql, REJECTED, vec![])?)?;
    Ok(whole(rejected))
}

/// Counts what the shard holds, for core.
pub(crate) fn held(sql: &SqlStorage, memory: &Blocks) -> Result<Held> {
    let [looked_at, is_indexed] = columns(first(sql, HELD, vec![])?)?.map(whole);
    let expiry = if is_indexed > 0 { ExpiryOrder::Time } else { ExpiryOrder::Arrival };
    let mut rows = Held { looked_at: Millis(looked_at), expiry, ..Held::default() };
    if memory.has_rows() {
        let [events, bytes, oldest] =
            columns(first(sql, UNFOLDED_ROWS, vec![integer(blocks::watermark(sql)?)])?)?.map(whole);
        rows.unfolded = Load { events: events as usize, bytes: bytes as usize };
        rows.oldest = Millis(oldest);
    }
    Ok(memory.held(rows))
}

/// Finds the days to compact.
pub(crate) fn find_days(sql: &SqlStorage, service: &Service, tenant: &Tenant, now: Millis) -> Result<Outcome> {
    let mut days = Vec::new();
    each_page(sql, &[service.manifests()], &mut |manifest| {
        days.extend(service.compactions(&[manifest], now).iter().map(|day| (tenant.clone(), day.manifest())));
        true
    })?;
    Ok(Outcome::Found(days))
}

/// Stores when the finished round of maintenance began.
pub(crate) fn note_round(sql: &SqlStorage, Millis(began): Millis) -> Result<Outcome> {
    sql.exec(NOTE_ROUND, vec![integer(began)])?;
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
        let mut budget = compaction.budget();
        let stored = pages_while(sql, &compaction.ranges(), &mut |page| budget.takes_page(page))?;
        let merged = compaction.merge(stored, WriteLimits::ONE_WRITER);
        Folded::damage(&merged).iter().for_each(|damage| watch::folded(service, damage));
        let Merged { pages, damaged, .. } = merged;
        for page in damaged {
            console_error!("isotherm: reports of {} are incomplete: {page}", tenant.as_str());
        }
        write(sql, pages)?;
    }
    Ok(Outcome::Done)
}
