//! Blocks of events: how a store keeps many events in few rows. Some stores bill the rows that are written, whatever
//! their size.
//!
//! ```text
//! StorePlan::parts ─▶ Keep ─▶ Blocks::keep ─▶ BlockWrite: one row, appended to or new
//!                                 │
//!            open blocks ◀────────┘
//!                 │  fold
//!                 ▼
//!            OpenBlocks ─▶ Blocks::close ─▶ closed blocks, and their ids in the index
//! ```
//!
//! Each event has a number, its `seq`, and a block has that of its first event. What is numbered up to the watermark is
//! folded. Events behind it are in open blocks, which grow. Their ids are in memory, which is read from these blocks
//! when it is lost. A fold closes the blocks that it has folded: it deflates their records together, and puts their ids
//! into an index of sorted runs.
//!
//! Core decides what is written; a host reads and writes rows.

mod block;
mod event;
mod export;
mod fold;
mod keep;
mod memory;
mod part;
mod rows;
mod runs;
mod search;

pub use export::folded_events;
pub use fold::{BlockWrites, OpenBlocks};
pub use keep::{Keep, Kept, Part};
pub use memory::{BlockWrite, Blocks, StoredBlocks};
pub use rows::{BlockRow, Row, RowRead, RowWrites};
pub use runs::Spill;
pub use search::{Found, Known, Search, UnreadableBlock};

#[cfg(test)]
mod tests;
