//! Data on the way to another service, or from one.

use isotherm_core::{
    Asked, Digest, ExportOutcome, ImportPlan, Millis, Moving, NewEvent, Place, Seconds, Service, StoredPage,
};
use spin_sdk::sqlite::{Error, RowResult, Value};

use crate::database::{Database, integer, list};
use crate::rollups::{self, WATERMARK};

/// `+tenant` keeps SQLite from sorting all of the tenant's events.
const EVENTS: &str = "SELECT seq, id, digest, occurred_at, received_at, expires_at, record FROM events
    WHERE seq > ?1 AND seq <= ?2 AND +tenant = ?3 ORDER BY seq";

const PAGES: &str = "SELECT key, page FROM rollups WHERE tenant = ?1 AND key > ?2 ORDER BY key";

/// Reads the next lines of an export. What is folded between two statements is left for a later export.
pub(crate) async fn export(service: &Service, tenant: &str, asked: &Asked) -> Result<ExportOutcome, Error> {
    let after = match asked.what {
        Moving::Events => asked.number(),
        Moving::Rollups => Some(0),
    };
    let Some(after) = after.filter(|_| asked.part == 0) else { return Ok(ExportOutcome::UnknownPlace) };
    let database = Database::open(service).await?;
    // A damaged time is no integer, and sorts after all integers.
    let folded = format!(
        "SELECT {WATERMARK}, coalesce(min(received_at) FILTER (WHERE typeof(received_at) = 'integer'), ?1) \
         FROM events WHERE seq > {WATERMARK}"
    );
    let folded = database.query(&folded, &|| vec![integer(asked.received_at.0)]).await?;
    let folded = folded.first().and_then(|row| Some((row.get::<i64>(0)?, row.get::<i64>(1)?)));
    let (watermark, oldest) = folded.ok_or_else(rollups::damaged)?;
    let until = asked.until(after, watermark.unsigned_abs());
    let (mut export, mut more) = (asked.begin(), None);
    match asked.what {
        Moving::Events => {
            let parameters = || vec![integer(after), integer(until), Value::text(tenant)];
            let add = |row: RowResult| {
                match event_of(&row) {
                    Some((seq, event)) => export.event(&event, seq),
                    None => {
                        let seq = row.get::<i64>(0).unwrap_or_default();
                        eprintln!("isotherm: an export leaves out event {seq} of {tenant}: its row is damaged");
                        export.leave_out(1);
                    }
                }
                !export.is_full()
            };
            database.query_while(EVENTS, &parameters, add).await?;
            more = (until < watermark.unsigned_abs() && !export.is_full()).then(|| until.to_string());
        }
        Moving::Rollups => {
            let parameters = || vec![Value::text(tenant), Value::text(&asked.after)];
            let add = |row: RowResult| {
                if let Some(page) = rollups::page_of(&row) {
                    export.page(&page, &page.key);
                }
                !export.is_full()
            };
            database.query_while(PAGES, &parameters, add).await?;
        }
    }
    Ok(ExportOutcome::Read(export.end(Place {
        parts: 1,
        folded_to: Millis(oldest.unsigned_abs()),
        is_ordered: true,
        more,
    })))
}

/// An event with its number; `None` if a column is damaged.
fn event_of(row: &RowResult) -> Option<(i64, NewEvent)> {
    let time = |column| row.get::<i64>(column).map(i64::unsigned_abs);
    let event = NewEvent {
        id: row.get::<&str>(1)?.parse().ok()?,
        digest: Digest::from_bytes(row.get::<&[u8]>(2)?.try_into().ok()?),
        occurred_at: Millis(time(3)?),
        received_at: Millis(time(4)?),
        expires_at: Seconds(time(5)?),
        record: row.get::<&str>(6)?.to_owned(),
    };
    Some((row.get(0)?, event))
}

/// Keeps another service's pages, in one statement.
pub(crate) async fn import(service: &Service, plan: &ImportPlan) -> Result<(), Error> {
    let pages: Vec<StoredPage> = plan.pages().cloned().collect();
    let write = format!(
        "INSERT INTO rollups (tenant, key, page) VALUES {} ON CONFLICT (tenant, key) DO UPDATE SET page = excluded.page",
        list(pages.len(), "(?, ?, ?)")
    );
    let rows: Vec<Value> = rollups::rows_of(plan.tenant().as_str(), pages).collect();
    Database::open(service).await?.query(&write, &|| rows.clone()).await.map(drop)
}
