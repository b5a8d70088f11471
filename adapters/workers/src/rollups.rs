//! Rollups in a shard: folded behind a watermark, and read for reports.
//!
//! Nothing is awaited here, so the runtime makes the statements of a fold one transaction, and those of a report see one
//! moment.

use isotherm_core::{KeyRange, Reading, ReportData, Service, StoredPage, UnreadablePage};
use worker::{Error, Result, SqlStorage, SqlStorageValue, console_error};

/// Events of one fold. Requests wait while a shard folds, so it folds a few milliseconds at a time.
pub(crate) const EVENTS_PER_FOLD: usize = 512;

/// Pages of rollups. The row with the empty key holds the watermark in the place of a page: the `seq` of the last event that
/// is in them.
pub(crate) const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS rollups (key TEXT PRIMARY KEY, page BLOB NOT NULL) WITHOUT ROWID";

const UNFOLDED: &str = "SELECT seq, record FROM events
    WHERE seq > coalesce((SELECT page FROM rollups WHERE key = ''), 0) ORDER BY seq LIMIT ?";

const PAGES: &str = "SELECT key, page FROM rollups WHERE key >= ? AND key < ?";

const WRITE: &str = "INSERT OR REPLACE INTO rollups (key, page) VALUES (?, ?)";

const TAIL: &str = "SELECT record FROM events WHERE seq > coalesce((SELECT page FROM rollups WHERE key = ''), 0)";

/// Folds the next events and moves the watermark. How many events there were.
pub(crate) fn fold(sql: &SqlStorage, service: &Service) -> Result<usize> {
    let mut watermark = None;
    let mut records = Vec::new();
    for row in sql.exec(UNFOLDED, vec![SqlStorageValue::Integer(EVENTS_PER_FOLD as i64)])?.raw() {
        let [seq, SqlStorageValue::String(record)] = columns(row?)? else { return Err(other_row()) };
        watermark = Some(seq);
        records.push(record);
    }
    let Some(watermark) = watermark else { return Ok(0) };
    let fold = service.fold(records.iter().map(String::as_str));
    for (_, problem) in fold.unreadable() {
        console_error!("isotherm: an event is in no report: {problem}");
    }
    let stored = pages(sql, &fold.ranges())?;
    let written = fold.settle(stored).map_err(unreadable)?;
    for StoredPage { key, bytes } in written {
        sql.exec(WRITE, vec![key.into(), SqlStorageValue::Blob(bytes)])?;
    }
    sql.exec(WRITE, vec!["".into(), watermark])?;
    Ok(records.len())
}

/// What a report needs of this shard.
pub(crate) fn read(sql: &SqlStorage, reading: &Reading) -> Result<ReportData> {
    let marks = pages(sql, reading.marks().as_slice())?;
    let pages = pages(sql, &reading.ranges(&marks).map_err(unreadable)?)?;
    let mut tail = Vec::new();
    for row in sql.exec(TAIL, None)?.raw() {
        let [SqlStorageValue::String(record)] = columns(row?)? else { return Err(other_row()) };
        tail.push(record);
    }
    Ok(ReportData { pages, tail, as_of: None })
}

fn pages(sql: &SqlStorage, ranges: &[KeyRange]) -> Result<Vec<StoredPage>> {
    let mut pages = Vec::new();
    for KeyRange { from, until } in ranges {
        for row in sql.exec(PAGES, vec![from.as_str().into(), until.as_str().into()])?.raw() {
            let [SqlStorageValue::String(key), SqlStorageValue::Blob(bytes)] = columns(row?)? else {
                return Err(other_row());
            };
            pages.push(StoredPage { key, bytes });
        }
    }
    Ok(pages)
}

fn columns<const COUNT: usize>(row: Vec<SqlStorageValue>) -> Result<[SqlStorageValue; COUNT]> {
    row.try_into().map_err(|_other| other_row())
}

fn unreadable(page: UnreadablePage) -> Error {
    Error::RustError(page.to_string())
}

fn other_row() -> Error {
    Error::RustError("a shard's statement gave another row than it was written for".to_owned())
}
