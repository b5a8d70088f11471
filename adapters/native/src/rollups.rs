//! Rollups in SQLite: folded behind a watermark, and read for reports.
//!
//! The writer folds between its commits. Events that come faster than they are folded wait in the writer's queue.

use std::path::Path;

use anyhow::Result;
use isotherm_core::{
    Folded, KeyRange, Load, ReadBudget, RejectedRecord, ReportData, ReportPlan, Service, StepWrite, StoredPage,
    TooMuch, Unfolded, WriteLimits,
};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::{backup, log};

const REJECT: &str = "INSERT OR REPLACE INTO rejected_events (seq, tenant, reason, record) VALUES (?1, ?2, ?3, ?4)";

/// The name is for the error if the value is no integer.
const WATERMARK: &str = "SELECT page AS watermark FROM rollups WHERE tenant = '' AND key = ''";

const UNFOLDED: &str = "SELECT seq, tenant, record FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2";

const PAGES: &str = "SELECT key, page FROM rollups WHERE tenant = ?1 AND key >= ?2 AND key < ?3";

const WRITE: &str = "INSERT INTO rollups (tenant, key, page) VALUES (?1, ?2, ?3)
    ON CONFLICT (tenant, key) DO UPDATE SET page = excluded.page";

/// `+tenant` keeps SQLite from using the index on the tenant, by which it would read all of the tenant's events and
/// not only the few behind the watermark.
const TAIL: &str = "SELECT record FROM events WHERE seq > ?1 AND +tenant = ?2";

/// The number of the last folded event. Fails if what is stored there is no integer: SQLite sorts other values after all
/// integers, as if everything were folded.
pub(crate) fn watermark(connection: &Connection) -> rusqlite::Result<i64> {
    let stored = connection.prepare_cached(WATERMARK)?.query_row([], |row| row.get(0)).optional()?;
    Ok(stored.unwrap_or_default())
}

/// Backs up the next events, at most `at_most`, then folds them and moves the watermark in one transaction. Returns
/// how much was folded: nothing if no events were left.
pub(crate) fn fold(
    connection: &mut Connection,
    service: &Service,
    folder: Option<&Path>,
    mut at_most: usize,
    bytes: usize,
) -> Result<(Load, Folded)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let rows = unfolded_rows(&transaction, at_most, bytes)?;
    let records: Vec<_> = rows.iter().map(|row| Unfolded { tenant: &row.tenant, record: &row.record }).collect();
    let (taken, write) = loop {
        let step = service.fold(&records, at_most, WriteLimits::ONE_WRITER);
        let taken = step.records();
        let stored = step.ranges().map(|(tenant, ranges)| pages(&transaction, tenant.as_str(), ranges));
        let stored = stored.collect::<rusqlite::Result<_>>()?;
        match step.merge(stored) {
            Ok(write) => break (&rows[..taken], write),
            Err(TooMuch { at_most: fewer }) => at_most = fewer,
        }
    };
    let ([first, ..], [.., last]) = (taken, taken) else { return Ok(Default::default()) };
    let folded = write.folded(taken.len());
    let StepWrite { pages: written, damaged, rejected, .. } = write;
    if let Some(folder) = folder {
        // A repeated fold starts at the same event, and overwrites the files that the failed one left.
        for backup in service.backups(&format!("{:020}", first.seq), records.iter().take(taken.len()).copied()) {
            backup::write(folder, &backup)?;
        }
    }
    for (tenant, page) in damaged {
        log::line(format_args!("reports of {} are incomplete: {page}", tenant.as_str()));
    }
    for RejectedRecord { index, reason } in rejected {
        let Row { seq, tenant, record } = &taken[index];
        log::line(format_args!("event {seq} of {tenant:?} is in no report, but in rejected_events: {reason}"));
        transaction.prepare_cached(REJECT)?.execute(params![seq, tenant, reason, record])?;
    }
    let mut statement = transaction.prepare_cached(WRITE)?;
    for (tenant, page) in &written {
        statement.execute(params![tenant.as_str(), page.key, page.bytes])?;
    }
    statement.execute(params!["", "", last.seq])?;
    drop(statement);
    transaction.commit()?;
    Ok((taken.iter().map(|row| Load::of(&row.record)).sum(), folded))
}

/// A stored event.
struct Row {
    seq: i64,
    tenant: String,
    record: String,
}

/// Reads a value that is not text as text, so that core rejects it.
pub(crate) fn text(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<String> {
    let bytes = row.get_ref(column)?;
    let bytes = bytes.as_bytes_or_null().ok().flatten().unwrap_or_default();
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// The next events behind the watermark.
fn unfolded_rows(connection: &Connection, at_most: usize, most_bytes: usize) -> rusqlite::Result<Vec<Row>> {
    let watermark = watermark(connection)?;
    let mut statement = connection.prepare_cached(UNFOLDED)?;
    let mut rows = statement.query(params![watermark, at_most])?;
    let (mut unfolded, mut bytes) = (Vec::new(), 0);
    while bytes < most_bytes
        && let Some(row) = rows.next()?
    {
        let row = Row { seq: row.get(0)?, tenant: text(row, 1)?, record: text(row, 2)? };
        bytes += row.record.len();
        unfolded.push(row);
    }
    Ok(unfolded)
}

pub(crate) fn write<'p>(
    connection: &Connection,
    tenant: &str,
    pages: impl IntoIterator<Item = &'p StoredPage>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(WRITE)?;
    pages.into_iter().try_for_each(|page| statement.execute(params![tenant, page.key, page.bytes]).map(|_| ()))
}

/// Reads the data for a report, as of one moment.
pub(crate) fn read(connection: &mut Connection, plan: &ReportPlan) -> Result<ReportData> {
    Ok(read_within(connection, plan, plan.reading().budget(1))?.unwrap_or_else(ReportData::too_large))
}

/// Returns `None` if the data exceed the budget.
fn read_within(
    connection: &mut Connection,
    plan: &ReportPlan,
    mut budget: ReadBudget,
) -> rusqlite::Result<Option<ReportData>> {
    let transaction = connection.transaction()?;
    let (tenant, reading) = (plan.tenant().as_str(), plan.reading());
    let mut takes = |page: &StoredPage| budget.takes_page(page);
    let Some(manifests) = pages_while(&transaction, tenant, reading.manifests().as_slice(), &mut takes)? else {
        return Ok(None);
    };
    let Some(pages) = pages_while(&transaction, tenant, &reading.ranges(&manifests), &mut takes)? else {
        return Ok(None);
    };
    let mut tail: Vec<String> = Vec::new();
    let watermark = watermark(&transaction)?;
    for record in transaction.prepare_cached(TAIL)?.query_map(params![watermark, tenant], |row| text(row, 0))? {
        tail.push(record?);
        if !tail.last().is_some_and(|record| budget.takes_record(record)) {
            return Ok(None);
        }
    }
    Ok(Some(ReportData { pages, tail, ..ReportData::default() }))
}

pub(crate) fn pages(connection: &Connection, tenant: &str, ranges: &[KeyRange]) -> rusqlite::Result<Vec<StoredPage>> {
    pages_while(connection, tenant, ranges, &mut |_| true).map(Option::unwrap_or_default)
}

/// Reads the pages in these ranges. Stops and returns `None` as soon as `takes` rejects a page.
pub(crate) fn pages_while(
    connection: &Connection,
    tenant: &str,
    ranges: &[KeyRange],
    takes: &mut dyn FnMut(&StoredPage) -> bool,
) -> rusqlite::Result<Option<Vec<StoredPage>>> {
    let mut pages = Vec::new();
    let is_whole = each_page(connection, tenant, ranges, &mut |page| {
        let is_taken = takes(&page);
        pages.push(page);
        is_taken
    })?;
    Ok(is_whole.then_some(pages))
}

/// Gives the pages in these ranges to `take`, one by one. Stops and returns `false` as soon as it does.
pub(crate) fn each_page(
    connection: &Connection,
    tenant: &str,
    ranges: &[KeyRange],
    take: &mut dyn FnMut(StoredPage) -> bool,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(PAGES)?;
    for KeyRange { from, until } in ranges {
        let page = |row: &rusqlite::Row<'_>| {
            // A value that is not a BLOB is read as an empty page, which core sets apart, and so is one whose key is damaged.
            let page = row.get_ref(1)?.as_blob().unwrap_or_default();
            let bytes = if row.get_ref(0)?.as_str().is_ok() { page.to_vec() } else { Vec::new() };
            Ok(StoredPage { key: text(row, 0)?, bytes })
        };
        for page in statement.query_map([tenant, from, until], page)? {
            if !take(page?) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of a report must not grow with the number of events.
    #[test]
    fn the_tail_is_read_from_the_watermark_on() {
        let connection = Connection::open_in_memory().unwrap();
        crate::database::create(&connection).unwrap();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {TAIL}")).unwrap();
        let steps = plan.query_map(params![0, ""], |row| row.get::<_, String>("detail")).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        assert!(steps.iter().any(|step| step == "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"), "{steps:?}");
    }
}
