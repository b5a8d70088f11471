//! An event on its way into a store, or out of it.

use serde::{Deserialize, Serialize};

use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::EventId;
use crate::vocabulary::time::{Millis, Seconds};

/// One event to keep durably under (tenant, id), unless an event that has not expired has that key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// The key, together with the tenant.
    pub id: EventId,
    /// Tells a repetition from a conflict. The store keeps it beside the event and returns it when the key is taken.
    pub digest: Digest,
    /// When the event happened according to the client, or else when it was received.
    pub occurred_at: Millis,
    /// When the event was received.
    pub received_at: Millis,
    /// When the store may delete the event.
    pub expires_at: Seconds,
    /// The event as JSON, as `GET /events/{eventId}` answers it: at most some 124 kB. It is opaque to the host.
    pub record: String,
}

impl NewEvent {
    /// The event of a stored record, which says its id and times. `None` if the record is no event.
    pub fn of_record(record: String, digest: Digest, expires_at: Seconds) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head<'a> {
            event_id: &'a str,
            timestamp: &'a str,
            received_at: &'a str,
        }
        let head: Head<'_> = serde_json::from_str(&record).ok()?;
        let id = head.event_id.parse().ok()?;
        let occurred_at = Millis::from_rfc3339(head.timestamp).ok()?;
        let received_at = Millis::from_rfc3339(head.received_at).ok()?;
        Some(Self { id, digest, occurred_at, received_at, expires_at, record })
    }
}
