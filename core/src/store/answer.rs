//! The shape of an answer to new events, which is known before a store is asked.

use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;

/// The shape of the answer to a [`StorePlan`](crate::StorePlan).
#[derive(Debug)]
pub(crate) enum Answer {
    One(Slot, RequestId),
    Batch(Vec<Slot>, RequestId),
    /// To another protocol's client, which reads little but the status.
    Door(Style, Vec<Slot>, RequestId),
}

impl Answer {
    /// The answer that makes the client send all of its events again.
    pub(crate) fn again(&self, rejection: &Rejection) -> Reply {
        match self {
            Self::One(_, request) | Self::Batch(_, request) => rejection.reply(*request),
            Self::Door(style, _, request) => style.again(rejection, *request),
        }
    }
}

/// After so many seconds an SDK sends again what was not taken. Some SDKs drop events after three more requests. With
/// this pause they outlive a minute.
pub(crate) const SDK_RETRY_SECONDS: u32 = 25;

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

impl Style {
    /// The answer that makes such a client send all of its events again.
    pub(crate) fn again(self, rejection: &Rejection, request: RequestId) -> Reply {
        let seconds = match (self, rejection) {
            (_, Rejection::Limited(refused)) => refused.retry_after,
            // Their exporters have ten seconds for a request and all of its repetitions.
            (Self::Otlp | Self::OtlpProtobuf, _) => 1,
            _ => SDK_RETRY_SECONDS,
        };
        let reply = rejection.again_after(request, seconds);
        if self == Self::NoTooMany { Reply { status: 503, ..reply } } else { reply }
    }
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
