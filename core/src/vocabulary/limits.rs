//! The limits of the contract. Each has its own error.

use crate::vocabulary::time::Millis;

/// How much one request may bring. The limits are the same on every platform, so a client that works on one works on
/// all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body, both as sent and inflated: 1 MiB.
    pub body_bytes: usize,
    /// Bytes of one event's JSON: 32 KiB.
    pub event_bytes: usize,
    /// Events in a batch: 500.
    pub batch_events: usize,
    /// Nesting depth of an event's JSON, counting the event itself as 1: 32.
    pub depth: usize,
    /// Members of `properties`: 128.
    pub properties: usize,
    /// Bytes of a name or an id: 200.
    pub name_bytes: usize,
    /// The earliest timestamp: 2000-01-01.
    pub earliest: Millis,
    /// How far ahead of the host's clock a timestamp may be: 24 hours.
    pub ahead: Millis,
}

impl Limits {
    /// The contract's limits.
    pub const CONTRACT: Self = Self {
        body_bytes: 1024 * 1024,
        event_bytes: 32 * 1024,
        batch_events: 500,
        depth: 32,
        properties: 128,
        name_bytes: 200,
        earliest: Millis(946_684_800_000),
        ahead: Millis(24 * 60 * 60 * 1000),
    };
}
