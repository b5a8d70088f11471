//! How far a lane is folded.

use crate::codec::{Reader, Writer};
use crate::formats;
use crate::rollups::stored::{StoredPage, UnreadablePage};
use crate::vocabulary::time::Millis;

/// A lane without a shard is forgotten after this many milliseconds without a fold, once its days are compacted.
const SILENCE_MS: u64 = 2 * 24 * 60 * 60 * 1000;

/// How far a lane is folded. It is stored as bytes beside the lane's pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    pub(crate) shard: LaneShard,
    /// The number of the last record in the pages; empty if they hold nothing from the shard.
    pub(crate) sequence_number: String,
    /// Everything written before this time to the shard or its ancestors is in pages.
    pub(crate) folded_to: Millis,
    /// The key of a pulse that came through the shard; empty if there is none.
    pub(crate) pulse: String,
}

/// Which shard is folded into a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LaneShard {
    /// Unknown, because version 1 stored no id: the lane's name is a hash of the shard's id.
    Unsaid,
    /// No shard: the next shard that needs a lane takes this one.
    Free,
    /// The shard with this id.
    Id(String),
}

impl LaneShard {
    /// The shard with this id. An empty id means that the lane is free, because no shard has one.
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

    /// Reads a stored watermark.
    ///
    /// # Errors
    /// [`UnreadablePage`] if the bytes are not a watermark.
    pub fn read(stored: &StoredPage) -> Result<Self, UnreadablePage> {
        Self::parse(&stored.bytes).ok_or_else(|| UnreadablePage { key: stored.key.clone() })
    }

    /// Reads only what [`Watermark::to_bytes`] writes. A conditional write compares bytes, so a lane whose watermark has
    /// the same meaning in other bytes could never be written again.
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
        let watermark = Self { shard, sequence_number, folded_to, pulse };
        (watermark.to_bytes() == bytes).then_some(watermark)
    }

    /// Layout of version 1: the version; the time up to which the lane is folded, in milliseconds; the last record's
    /// number. Version 2 adds the shard's id, empty if there is none, and the key of a pulse. A watermark keeps version
    /// 1 until its shard is known.
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

    /// Takes the lane from its shard.
    pub(crate) fn free(&mut self) {
        *self = Self::of(LaneShard::Free, self.folded_to);
    }

    /// Whether the lane is abandoned, so that its watermark can be forgotten once its days are compacted.
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

/// The lane of a shard in version 1: FNV-1a of the shard's id, as 8 hexadecimal digits.
pub(crate) fn lane_of_version_1(shard_id: &str) -> String {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    format!("{:08x}", shard_id.bytes().fold(0x811c_9dc5, hash))
}
