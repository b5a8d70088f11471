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
    /// Blocks that are known without reading, each with the id that it may have.
    pub(crate) named: Vec<(u64, EventId)>,
}

/// What a search has found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The events that the store has.
    pub known: Vec<Known>,
    /// Ids that the store may have: the row or block that would show it can't be read. Ids that only the index's first row
    /// had, or a row that merging has given up, count as new.
    pub unsure: Vec<EventId>,
    /// What can't be read.
    pub damaged: Vec<UnreadableBlock>,
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
    pub fn blocks(&self, rows: &[Row]) -> Vec<u64> {
        let blocks: BTreeSet<u64> = self.named(rows).into_iter().map(|(block, _)| block).collect();
        blocks.into_iter().collect()
    }

    /// The blocks that the readable rows name, each with the id that it may have.
    fn named(&self, rows: &[Row]) -> Vec<(u64, EventId)> {
        let in_rows = rows.iter().filter_map(|row| runs::named_in(&row.bytes, &self.ids));
        self.named.iter().copied().chain(in_rows.flatten()).collect()
    }

    /// The events with these ids in closed blocks, given the rows of [`Search::reads`] and the blocks of
    /// [`Search::blocks`]. Damage makes only those ids unsure that the damaged bytes would tell of.
    pub fn known(&self, rows: &[Row], blocks: &[BlockRow]) -> Found {
        let (mut found, ids) = (Found::default(), BTreeSet::from_iter(&self.ids));
        for Row { number, .. } in rows.iter().filter(|row| !runs::is_row(&row.bytes)) {
            let is_told = |id: &&EventId| runs::is_told_by(*number, rows, **id);
            found.unsure.extend(self.ids.iter().filter(is_told));
            found.damaged.push(UnreadableBlock(*number));
        }
        for BlockRow { seq, bytes, .. } in blocks {
            let Some(closed) = Closed::read(bytes) else {
                let may_have = self.named(rows).into_iter().filter(|(block, _)| block == seq);
                found.unsure.extend(may_have.map(|(_, id)| id));
                found.damaged.push(UnreadableBlock(*seq));
                continue;
            };
            let heads = closed.heads().filter(|head| ids.contains(&head.id));
            found.known.extend(heads.map(|Head { id, digest, expires_at, .. }| Known {
                id: *id,
                digest: *digest,
                expires_at: *expires_at,
                is_folded: true,
            }));
        }
        found
    }

    /// The record of an event in these blocks that has not expired by this time. Rows and blocks are those of
    /// [`Search::known`].
    ///
    /// # Errors
    /// It is in no block, and a row or a block can't be read.
    pub fn record(
        &self,
        rows: &[Row],
        blocks: &[BlockRow],
        expired_by: Seconds,
    ) -> Result<Option<String>, UnreadableBlock> {
        let is_wanted = |head: &Head| self.ids.contains(&head.id) && head.expires_at > expired_by;
        let mut damaged = rows.iter().find(|row| !runs::is_row(&row.bytes)).map(|row| row.number);
        for BlockRow { seq, count, bytes, .. } in blocks.iter().rev() {
            let found = match bytes.first() {
                Some(&formats::BLOCK) => Closed::read(bytes).and_then(|closed| closed.record(is_wanted)),
                // What can be read of a damaged block is there.
                _ => {
                    let (events, unreadable) = part::read_block(bytes, *count);
                    let record = events.iter().find(|event| is_wanted(&event.head)).map(|event| event.record());
                    (record.is_some() || unreadable.is_none()).then_some(record)
                }
            };
            match found {
                Some(Some(record)) => return Ok(Some(record)),
                Some(None) => {}
                None => damaged = Some(*seq),
            }
        }
        damaged.map_or(Ok(None), |number| Err(UnreadableBlock(number)))
    }
}
