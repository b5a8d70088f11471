//! The shards of a stream that wait for their first batch, and so for a lane.

use std::collections::BTreeMap;

use crate::codec::{Reader, Writer};
use crate::formats;
use crate::vocabulary::time::Millis;

/// A shard without folded records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The parent. This shard counts as folded as far as the parent is.
    pub(super) parent: Option<String>,
    /// The time to which its ancestors are folded, if they have no lane any more. For a shard that a new store listed,
    /// it is when the stream was created; 0 if neither is known.
    pub(super) folded_to: Millis,
}

/// A shard is folded to its end: its waiting children can't look it up any more, so they get `folded_to`.
pub(super) fn leave(waiting: &mut BTreeMap<String, Waiting>, shard_id: &str, folded_to: Millis) {
    for child in waiting.values_mut().filter(|child| child.parent.as_deref() == Some(shard_id)) {
        *child = Waiting { parent: None, folded_to };
    }
}

/// Layout of version 1: the version; the number of shards; then for each shard its id, its parent's id or the empty
/// text, and the time to which it is folded, in milliseconds.
pub(super) fn write(waiting: &BTreeMap<String, Waiting>) -> Vec<u8> {
    let mut writer = Writer(vec![formats::WAITING]);
    writer.length(waiting.len());
    for (id, Waiting { parent, folded_to }) in waiting {
        writer.text(id);
        writer.text(parent.as_deref().unwrap_or_default());
        writer.unsigned(folded_to.0);
    }
    writer.0
}

/// Reads a list; `None` if the bytes are not a valid one.
pub(super) fn read(bytes: &[u8]) -> Option<BTreeMap<String, Waiting>> {
    let mut reader = Reader(bytes);
    reader.byte().filter(|version| *version == formats::WAITING)?;
    let mut waiting = BTreeMap::new();
    for _ in 0..reader.small::<usize>()? {
        let (id, parent) = (reader.text()?.to_owned(), reader.text()?.to_owned());
        let folded_to = Millis(reader.small()?);
        waiting.insert(id, Waiting { parent: Some(parent).filter(|parent| !parent.is_empty()), folded_to });
    }
    reader.is_empty().then_some(waiting)
}
