//! A shard's tables, and how their rows are read.

use worker::{Error, Result, SqlStorage, SqlStorageValue};

/// Blocks of events by the number of their first one. Events are numbered in the order in which they became durable, and
/// in which they are folded into reports. Numbers are never given again: an event with a number below the watermark
/// would never be folded. `expires_at` is there once a block is folded.
const BLOCKS: &str = "CREATE TABLE IF NOT EXISTS blocks (
    seq INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    expires_at INTEGER,
    bytes BLOB NOT NULL
)";

/// The index of the ids in folded blocks.
const RUNS: &str = "CREATE TABLE IF NOT EXISTS runs (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)";

/// Pages of rollups. The row with the empty key holds the watermark instead of a page: the number of the last
/// event that is in the pages.
const ROLLUPS: &str = "CREATE TABLE IF NOT EXISTS rollups (key TEXT PRIMARY KEY, page BLOB NOT NULL) WITHOUT ROWID";

/// Stored records that are not valid events, and so are in no report.
const REJECTED_EVENTS: &str =
    "CREATE TABLE IF NOT EXISTS rejected_events (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL, record TEXT NOT NULL)";

/// The last time when days were looked for and all of them compacted. Existing shards call the column `done_at`.
const UPKEEP: &str = "CREATE TABLE IF NOT EXISTS upkeep (id INTEGER PRIMARY KEY CHECK (id = 0), done_at INTEGER)";

/// The object's name. A runtime need not tell it to an alarm.
const NAME: &str = "CREATE TABLE IF NOT EXISTS name (id INTEGER PRIMARY KEY CHECK (id = 0), name TEXT NOT NULL)";

/// Makes missing tables.
pub(crate) fn create(sql: &SqlStorage) -> Result<()> {
    [BLOCKS, RUNS, ROLLUPS, REJECTED_EVENTS, UPKEEP, NAME].iter().try_for_each(|table| sql.exec(table, None).map(drop))
}

/// Notes the object's name, unless it is noted.
pub(crate) fn keep_name(sql: &SqlStorage, name: String) -> Result<()> {
    sql.exec("INSERT OR IGNORE INTO name (id, name) VALUES (0, ?)", vec![SqlStorageValue::String(name)]).map(drop)
}

/// The noted name of the object.
pub(crate) fn name(sql: &SqlStorage) -> Result<String> {
    match columns(first(sql, "SELECT name FROM name", Vec::new())?)? {
        [SqlStorageValue::String(name)] => Ok(name),
        [_] => Err(other_row()),
    }
}

/// The first row that a statement selects.
pub(crate) fn first(sql: &SqlStorage, statement: &str, bindings: Vec<SqlStorageValue>) -> Result<Vec<SqlStorageValue>> {
    sql.exec(statement, bindings)?.raw().next().transpose()?.ok_or_else(other_row)
}

/// The columns of a row.
pub(crate) fn columns<const COUNT: usize>(row: Vec<SqlStorageValue>) -> Result<[SqlStorageValue; COUNT]> {
    row.try_into().map_err(|_other| other_row())
}

/// The error for a row that no statement here gives.
pub(crate) fn other_row() -> Error {
    Error::RustError("a shard's statement gave another row than it was written for".to_owned())
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

/// Reads bytes. Any other value counts as none, which core finds unreadable.
pub(crate) fn blob(value: SqlStorageValue) -> Vec<u8> {
    if let SqlStorageValue::Blob(bytes) = value { bytes } else { Vec::new() }
}
