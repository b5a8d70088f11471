//! Shapes: what events of one kind have in common, stored once.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::vocabulary::time::{RETENTION, Seconds};

/// The prefix of the keys of shapes. No event's key has it, because no tenant's name is empty.
pub(crate) const SHAPE_KEY: &str = "#shape-";
/// A longer shape stays in its event: such shapes are rare, and would take much memory.
pub(super) const SHAPE_BYTES: usize = 2048;
/// An item's expiry is a multiple of a day, so that it is mostly the same when the item is stored again.
const DAY: u64 = 24 * 60 * 60;

/// The id of a shape: 64 bits of SHA-256 over its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShapeId(u64);

/// A shape to put into the table of events, unless its key has other bytes. It is not an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredShape {
    /// The item's id.
    pub id: ShapeId,
    /// The item's content.
    pub bytes: Vec<u8>,
    /// When the item may be deleted: long after every event that refers to it.
    pub expires_at: Seconds,
}

impl ShapeId {
    pub(super) fn of(shape: &[u8]) -> Self {
        let hash = Sha256::digest(shape);
        Self(hash.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

/// The item's key in the store of events.
impl fmt::Display for ShapeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SHAPE_KEY}{:016x}", self.0)
    }
}

impl StoredShape {
    /// A shape for events that expire at this time or earlier.
    pub(super) fn new(id: ShapeId, bytes: &[u8], Seconds(events_expire_at): Seconds) -> Self {
        let expires_at = events_expire_at.saturating_add(RETENTION.0).div_ceil(DAY).saturating_mul(DAY);
        Self { id, bytes: bytes.to_owned(), expires_at: Seconds(expires_at) }
    }
}
