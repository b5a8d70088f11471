//! Events that came from another service together with the rollups that count them. Folding passes over them.
//!
//! The record of such an event begins with a space, which JSON allows. So every store keeps the mark without a column
//! for it, and backups have it too.

const MARK: char = ' ';

/// The record of an event that moved rollups count.
pub(crate) fn counted(record: &str) -> String {
    format!("{MARK}{record}")
}

/// Whether moved rollups count the event of this record.
pub(crate) fn is_counted(record: &str) -> bool {
    record.starts_with(MARK)
}

/// The record as clients get it.
pub(crate) fn record(record: &str) -> &str {
    record.strip_prefix(MARK).unwrap_or(record)
}
