//! What core asks of a store's tables of blocks and runs. A host reads and writes these rows as they are.

use crate::vocabulary::time::Seconds;

/// A row of the table of runs: a number, and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub number: u64,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Which rows of the table of runs to read, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRead {
    /// The first number.
    pub from: u64,
    /// The last number.
    pub until: u64,
    /// Whether to begin at the last number.
    pub is_backwards: bool,
    /// The most rows.
    pub limit: u32,
}

/// What to write into the table of runs: first what is gone is deleted, then rows are put in the place of others.
#[must_use = "ids that are not written are not found"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowWrites {
    /// Numbers of rows to delete.
    pub gone: Vec<u64>,
    /// Rows to put.
    pub rows: Vec<Row>,
}

/// A row of the table of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// The number of the block's first event.
    pub seq: u64,
    /// How many events it has. In an open block they are numbered one after the other.
    pub count: u64,
    /// When all its events have expired. `None` while the block is not folded.
    pub expires_at: Option<Seconds>,
    /// The content.
    pub bytes: Vec<u8>,
}
