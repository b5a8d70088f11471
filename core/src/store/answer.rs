//! The shape of an answer to new events, which is known before a store is asked.

use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::rejection::Rejection;

/// The shape of the answer to a [`StorePlan`](crate::StorePlan).
#[derive(Debug)]
pub(crate) enum Answer {
    One(Slot, RequestId),
    Batch(Vec<Slot>, RequestId),
    /// To another protocol's client, which reads little but the status.
    Door(Style, Vec<Slot>, RequestId),
}

/// How an answer to another protocol's client looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Counts, and what was wrong with which event.
    Counts,
    /// Likewise. A client for browsers drops its events at 429, so it gets 503 in its place.
    NoTooMany,
    /// OTLP's: how many log records were wrong, as JSON.
    Otlp,
    /// OTLP's in Protocol Buffers.
    OtlpProtobuf,
}

/// How one sent event appears in the answer.
#[derive(Debug)]
pub(crate) enum Slot {
    /// The event was rejected before the store was asked.
    Rejected(Rejection),
    /// The event is in the plan, at index `at`. `named` says that it has a messageId, so it may have been stored
    /// before.
    New { at: usize, named: bool },
    /// The event has the same id as an earlier event in the plan, at index `at`.
    Repeated { at: usize, digest: Digest },
}
