//! How far a lane is folded.

use crate::formats;
use crate::rollup::codec::{Reader, Writer};
use crate::rollup::fold::{StoredPage, UnreadablePage};
use crate::time::Millis;

/// A lane without a shard that was not folded for so long is forgotten, once its days are compacted.
const SILENCE_MS: u64 = 2 * 24 * 60 * 60 * 1000;

/// How far a lane is folded. Stored beside the lane's pages, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    pub(crate) shard: LaneShard,
    /// Of the last record in the pages; empty: nothing of the shard is in them.
    pub(crate) sequence_number: String,
    /// Everything that was written to the shard or its ancestors before is in pages.
    pub(crate) folded_to: Millis,
    /// The key of a pulse that came through the shard, or empty.
    pub(crate) pulse: String,
}

/// Which shard is folded into a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LaneShard {
    /// Version 1 did not say: the lane's name is a hash of the shard's id.
    Unsaid,
    /// None any more: the next shard that needs a lane takes this one.
    Free,
    /// The one with this id.
    Id(String),
}

impl LaneShard {
    /// The shard with this id; no shard has an empty one.
    pub(crate) fn of(id: &str) -> Self {
        if id.is_empty() { Self::Free } else { Self::Id(id.to_owned()) }
    }
}

impl Watermark {
    /// The watermark of a lane before its first fold.
    pub fn start() -> Self {
        Self::of(LaneShard::Free, Millis(0))
    }

    /// The watermark of a shard before its first record. Its ancestors are folded up to `folded_to`.
    pub(crate) fn of(shard: LaneShard, folded_to: Millis) -> Self {
        Self { shard, sequence_number: String::new(), folded_to, pulse: String::new() }
    }

    /// The one that is stored.
    ///
    /// # Errors
    /// [`UnreadablePage`] where the page is no watermark.
    pub fn read(stored: &StoredPage) -> Result<Self, UnreadablePage> {
        Self::parse(&stored.bytes).ok_or_else(|| UnreadablePage { key: stored.key.clone() })
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let version = reader.byte()?;
        let folded_to = Millis(reader.small()?);
        let sequence_number = reader.text()?.to_owned();
        let (shard, pulse) = match version {
            formats::WATERMARK_BY_HASH => (LaneShard::Unsaid, String::new()),
            formats::WATERMARK => (LaneShard::of(reader.text()?), reader.text()?.to_owned()),
            _ => return None,
        };
        Some(Self { shard, sequence_number, folded_to, pulse })
    }

    /// Version 1: the version; to when it is folded, milliseconds; the last record's number. Version 2: likewise; the shard's id,
    /// empty where there is none; the key of a pulse. A watermark is of version 1 until its shard is known.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(if self.shard == LaneShard::Unsaid { formats::WATERMARK_BY_HASH } else { formats::WATERMARK });
        writer.unsigned(self.folded_to.0);
        writer.text(&self.sequence_number);
        match &self.shard {
            LaneShard::Unsaid => return writer.0,
            LaneShard::Free => writer.text(""),
            LaneShard::Id(id) => writer.text(id),
        }
        writer.text(&self.pulse);
        writer.0
    }

    /// The shard whose records the lane takes.
    pub(crate) fn shard_id(&self) -> Option<&str> {
        match &self.shard {
            LaneShard::Id(id) => Some(id),
            LaneShard::Unsaid | LaneShard::Free => None,
        }
    }

    /// Gives the lane to nobody.
    pub(crate) fn free(&mut self) {
        *self = Self::of(LaneShard::Free, self.folded_to);
    }

    /// Whether the lane is left, so that its watermark can be forgotten once its days are compacted.
    pub fn has_ended(&self, received_at: Millis) -> bool {
        let ended = self.folded_to.0.checked_add(SILENCE_MS).is_some_and(|ended| ended <= received_at.0);
        self.shard_id().is_none() && ended
    }

    /// Whether a record of the lane's shard is in the pages already. Numbers of more digits are greater.
    pub(crate) fn covers(&self, sequence_number: &str) -> bool {
        let last = self.sequence_number.as_str();
        (sequence_number.len(), sequence_number) <= (last.len(), last)
    }
}
