//! Gives a closed block's events out again.

use crate::blocks::block::Closed;
use crate::blocks::event::Head;
use crate::blocks::rows::BlockRow;
use crate::blocks::search::UnreadableBlock;
use crate::store::new_event::NewEvent;

/// The events of a closed block, as they were kept.
///
/// # Errors
/// The block can't be read, or it is not closed.
pub fn folded_events(block: &BlockRow) -> Result<Vec<NewEvent>, UnreadableBlock> {
    let records = Closed::read(&block.bytes).and_then(|closed| closed.records()).ok_or(UnreadableBlock(block.seq))?;
    let event = |(head, record)| {
        let Head { id, digest, occurred_at, received_at, expires_at } = head;
        NewEvent { id, digest, occurred_at, received_at, expires_at, record }
    };
    Ok(records.into_iter().map(event).collect())
}
