//! Values of rows.

use worker::{Error, Result, SqlStorage, SqlStorageValue};

/// The first row that a statement selects.
pub(crate) fn first(sql: &SqlStorage, statement: &str, bindings: Vec<SqlStorageValue>) -> Result<Vec<SqlStorageValue>> {
    sql.exec(statement, bindings)?.raw().next().transpose()?.ok_or_else(other_row)
}

pub(crate) fn columns<const COUNT: usize>(row: Vec<SqlStorageValue>) -> Result<[SqlStorageValue; COUNT]> {
    row.try_into().map_err(|_other| other_row())
}

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

/// Reads bytes. Any other value counts as none, which core finds unreadable.
pub(crate) fn blob(value: SqlStorageValue) -> Vec<u8> {
    if let SqlStorageValue::Blob(bytes) = value { bytes } else { Vec::new() }
}

pub(crate) fn integer(value: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
