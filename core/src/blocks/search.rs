//! Looks for events by their ids: in the index, and then in the blocks that it names.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use crate::blocks::block::Closed;
use crate::blocks::event::Head;
use crate::blocks::part;
use crate::blocks::rows::{BlockRow, Row, RowRead};
use crate::blocks::runs;
use crate::formats;
use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::EventId;
use crate::vocabulary::time::Seconds;

/// A search for some ids. Read [`Search::reads`], then [`Search::blocks`].
#[derive(Clone, Debug, Default)]
pub struct Search {
    pub(crate) ids: Vec<EventId>,
    pub(crate) reads: Vec<RowRead>,
    /// Blocks that are known without reading.
    pub(crate) blocks: BTreeSet<u64>,
}

/// An event that a store has, as far as it is needed to tell a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Known {
    /// The event's id.
    pub id: EventId,
    /// Its digest.
    pub digest: Digest,
    /// When it expires.
    pub expires_at: Seconds,
    /// Whether it is folded. Only then it makes way after it has expired.
    pub is_folded: bool,
}

/// The stored bytes of this block, or of this row of runs, can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableBlock(pub u64);

impl fmt::Display for UnreadableBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored row {} of blocks or runs cannot be read", self.0)
    }
}

impl std::error::Error for UnreadableBlock {}

impl Search {
    /// The ids that are searched.
    pub fn ids(&self) -> &[EventId] {
        &self.ids
    }

    /// Which rows of runs to read.
    pub fn reads(&self) -> &[RowRead] {
        &self.reads
    }

    /// Which blocks to read, given the rows of [`Search::reads`]. A block that is gone has expired.
    ///
    /// # Errors
    /// A row can't be read.
    pub fn blocks(&self, rows: &[Row]) -> Result<Vec<u64>, UnreadableBlock> {
        let mut blocks = self.blocks.clone();
        for Row { number, bytes } in rows {
            blocks.extend(runs::blocks_in(bytes, &self.ids).ok_or(UnreadableBlock(*number))?);
        }
        Ok(blocks.into_iter().collect())
    }

    /// The events with these ids in closed blocks.
    ///
    /// # Errors
    /// A block can't be read.
    pub fn known(&self, blocks: &[BlockRow]) -> Result<Vec<Known>, UnreadableBlock> {
        let (mut known, ids) = (Vec::new(), BTreeSet::from_iter(&self.ids));
        for BlockRow { seq, bytes, .. } in blocks {
            let closed = Closed::read(bytes).ok_or(UnreadableBlock(*seq))?;
            let found = closed.heads().filter(|head| ids.contains(&head.id));
            known.extend(found.map(|Head { id, digest, expires_at, .. }| Known {
                id: *id,
                digest: *digest,
                expires_at: *expires_at,
                is_folded: true,
            }));
        }
        Ok(known)
    }

    /// The record of an event in these blocks that has not expired by this time.
    ///
    /// # Errors
    /// A block can't be read.
    pub fn record(&self, blocks: &[BlockRow], expired_by: Seconds) -> Result<Option<String>, UnreadableBlock> {
        let is_wanted = |head: &Head| self.ids.contains(&head.id) && head.expires_at > expired_by;
        for BlockRow { seq, count, bytes, .. } in blocks.iter().rev() {
            let found = match bytes.first() {
                Some(&formats::BLOCK) => Closed::read(bytes).and_then(|closed| closed.record(is_wanted)),
                // What can be read of a damaged block is there.
                _ => {
                    let (events, _) = part::read_block(bytes, *count);
                    Some(events.iter().find(|event| is_wanted(&event.head)).map(|event| event.record()))
                }
            };
            if let Some(record) = found.ok_or(UnreadableBlock(*seq))? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}
