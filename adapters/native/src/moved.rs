//! Data on the way to another service, or from one.

use isotherm_core::{Asked, Digest, ExportOutcome, ImportPlan, Millis, Moving, NewEvent, Place, Seconds, StoredPage};
use rusqlite::{Connection, Row, TransactionBehavior, params};

use crate::database::integer;
use crate::{log, rollups};

/// `+tenant` keeps SQLite from sorting all of the tenant's events.
const EVENTS: &str = "SELECT seq, id, digest, occurred_at, received_at, expires_at, record FROM events
    WHERE seq > ?1 AND seq <= ?2 AND +tenant = ?3 ORDER BY seq";

const PAGES: &str = "SELECT key, page FROM rollups WHERE tenant = ?1 AND key > ?2 ORDER BY key";

/// A damaged time is no integer, and sorts after all integers.
const OLDEST_UNFOLDED: &str = "SELECT coalesce(min(received_at) FILTER (WHERE typeof(received_at) = 'integer'), ?2)
    FROM events WHERE seq > ?1";

/// Reads the next lines of an export, as of one moment.
pub(crate) fn export(connection: &mut Connection, tenant: &str, asked: &Asked) -> rusqlite::Result<ExportOutcome> {
    let transaction = connection.transaction()?;
    let watermark = rollups::watermark(&transaction)?;
    let after = match asked.what {
        Moving::Events => asked.number(),
        Moving::Rollups => Some(0),
    };
    let Some(after) = after.filter(|_| asked.part == 0) else { return Ok(ExportOutcome::UnknownPlace) };
    let until = asked.until(after, watermark.unsigned_abs());
    let (mut export, mut more) = (asked.begin(), None);
    match asked.what {
        Moving::Events => {
            let mut statement = transaction.prepare_cached(EVENTS)?;
            let mut rows = statement.query(params![integer(after), integer(until), tenant])?;
            while !export.is_full()
                && let Some(row) = rows.next()?
            {
                let seq: i64 = row.get(0)?;
                match event_of(row) {
                    Some(event) => export.event(&event, seq),
                    None => {
                        log::line(format_args!("an export leaves out event {seq} of {tenant:?}: its row is damaged"));
                        export.leave_out(1);
                    }
                }
            }
            more = (integer(until) < watermark && !export.is_full()).then(|| until.to_string());
        }
        Moving::Rollups => {
            let mut statement = transaction.prepare_cached(PAGES)?;
            let mut rows = statement.query([tenant, &asked.after])?;
            while !export.is_full()
                && let Some(row) = rows.next()?
            {
                let bytes = row.get_ref(1)?.as_blob().unwrap_or_default().to_vec();
                match row.get(0) {
                    Ok(key) => {
                        let page = StoredPage { key, bytes };
                        export.page(&page, &page.key);
                    }
                    Err(_damaged) => {
                        log::line(format_args!("an export leaves out a page of {tenant:?}: its key is no text"))
                    }
                }
            }
        }
    }
    let oldest: i64 = transaction
        .prepare_cached(OLDEST_UNFOLDED)?
        .query_row(params![watermark, integer(asked.received_at.0)], |row| row.get(0))?;
    Ok(ExportOutcome::Read(export.end(Place {
        parts: 1,
        folded_to: Millis(oldest.unsigned_abs()),
        is_ordered: true,
        more,
    })))
}

/// The event of a row; `None` if a column is damaged.
fn event_of(row: &Row<'_>) -> Option<NewEvent> {
    let time = |column| row.get::<_, i64>(column).ok().map(i64::unsigned_abs);
    Some(NewEvent {
        id: row.get::<_, String>(1).ok()?.parse().ok()?,
        digest: Digest::from_bytes(row.get(2).ok()?),
        occurred_at: Millis(time(3)?),
        received_at: Millis(time(4)?),
        expires_at: Seconds(time(5)?),
        record: row.get(6).ok()?,
    })
}

/// Keeps another service's pages. The database has the writer wait meanwhile.
pub(crate) fn import(connection: &mut Connection, plan: &ImportPlan) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    rollups::write(&transaction, plan.tenant().as_str(), plan.pages())?;
    transaction.commit()
}
