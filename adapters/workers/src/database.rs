//! A shard's tables, and how their rows are read.

use worker::{Error, Result, SqlStorage, SqlStorageValue};

/// `seq` is the order in which events became durable, and in which they are folded into reports. A number is never
/// given again, even when the last event has expired: an event with a `seq` below the watermark would never be
/// folded.
const EVENTS: &str = "CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    record TEXT NOT NULL
)";

/// Pages of rollups. The row with the empty key holds the watermark instead of a page: the `seq` of the last event
/// that is in the pages.
const ROLLUPS: &str = "CREATE TABLE IF NOT EXISTS rollups (key TEXT PRIMARY KEY, page BLOB NOT NULL) WITHOUT ROWID";

/// Stored records that are not valid events, and so are in no report.
const REJECTED_EVENTS: &str =
    "CREATE TABLE IF NOT EXISTS rejected_events (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL, record TEXT NOT NULL)";

/// The last time when days were looked for and all of them compacted. Existing shards call the column `done_at`.
const UPKEEP: &str = "CREATE TABLE IF NOT EXISTS upkeep (id INTEGER PRIMARY KEY CHECK (id = 0), done_at INTEGER)";

/// Makes missing tables.
pub(crate) fn create(sql: &SqlStorage) -> Result<()> {
    [EVENTS, ROLLUPS, REJECTED_EVENTS, UPKEEP].iter().try_for_each(|table| sql.exec(table, None).map(drop))
}

/// The columns of a row.
pub(crate) fn columns<const COUNT: usize>(row: Vec<SqlStorageValue>) -> Result<[SqlStorageValue; COUNT]> {
    row.try_into().map_err(|_other| other_row())
}

/// The error for a row that no statement here gives.
pub(crate) fn other_row() -> Error {
    Error::RustError("a shard's statement gave another row than it was written for".to_owned())
}

/// The only text of a row.
pub(crate) fn text(row: Option<Result<Vec<SqlStorageValue>>>) -> Result<Option<String>> {
    match row.transpose()?.as_deref() {
        None => Ok(None),
        Some([SqlStorageValue::String(text)]) => Ok(Some(text.clone())),
        Some(_) => Err(other_row()),
    }
}

/// Reads a whole number. Any other value counts as 0.
pub(crate) fn whole(value: SqlStorageValue) -> u64 {
    match value {
        SqlStorageValue::Integer(number) => number.try_into().unwrap_or_default(),
        _ => 0,
    }
}

pub(crate) fn integer(value: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
