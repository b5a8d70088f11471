//! What a host has to do, in the language of the domain, and what it says of having done it.

use serde::{Deserialize, Serialize};

use crate::config::Tenant;
use crate::event::Digest;
use crate::id::{EventId, RequestId};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::report::ReportPlan;
use crate::settle::Answer;
use crate::time::{Millis, Seconds};

/// What [`crate::Service::admit`] makes of a request.
#[must_use = "an admission that is dropped leaves its client without an answer"]
#[derive(Debug)]
pub enum Admission {
    /// Answered without touching the store.
    Reply(Reply),
    /// The host applies the plan, then calls its `settle`.
    Plan(Plan),
}

impl Admission {
    /// The answer to `HEAD` is that to `GET` without its body. Core decides it, for hosts differ in what they cut off.
    pub(crate) fn for_method(self, method: &str) -> Self {
        match self {
            Self::Reply(reply) => Self::Reply(reply.for_head(method == HEAD)),
            Self::Plan(Plan::Find(plan)) => Self::Plan(Plan::Find(FindPlan { is_head: method == HEAD, ..plan })),
            Self::Plan(Plan::Report(plan)) => Self::Plan(Plan::Report(plan.for_head(method == HEAD))),
            other @ Self::Plan(Plan::Store(_) | Plan::Upkeep(_)) => other,
        }
    }
}

/// The method whose answers have no body.
pub(crate) const HEAD: &str = "HEAD";

/// Work on the store. Applying a plan twice is the same as applying it once.
#[derive(Debug)]
pub enum Plan {
    /// Keep new events.
    Store(StorePlan),
    /// Look one event up.
    Find(FindPlan),
    /// Read what a report needs.
    Report(ReportPlan),
    /// Do what is due, if nothing else here does it in time.
    Upkeep(UpkeepPlan),
}

/// One event to keep under (tenant, id), durably, unless that key is taken by one that has not expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// The key, together with the tenant.
    pub id: EventId,
    /// Tells a repetition from a conflict: kept beside the event and given back when the key is taken.
    pub digest: Digest,
    /// When it happened, as the client says, or when it was received.
    pub occurred_at: Millis,
    /// When it was received.
    pub received_at: Millis,
    /// When the store may forget it.
    pub expires_at: Seconds,
    /// The event as JSON, as `GET /events/{eventId}` answers it; opaque to the host.
    pub record: String,
}

/// What became of one [`NewEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreOutcome {
    /// The key was free; the event is durable now.
    Stored,
    /// The key was taken by an event with this digest, which has not expired and stays as it is.
    Existing(Digest),
    /// Not known to be durable: the client is told to send it again.
    Later,
    /// Not kept, for the store has as much to do as it can: the client is told to wait, and to send it again.
    Overloaded,
}

/// What [`FindPlan`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindOutcome {
    /// The record of that event.
    Found(String),
    /// No such event.
    Absent,
    /// The store did not answer.
    Later,
}

/// Keep new events of one tenant, each under its own key, and say what became of each.
#[must_use = "a plan that is not applied and settled leaves its client without an answer"]
#[derive(Debug)]
pub struct StorePlan {
    pub(crate) tenant: Tenant,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) answer: Answer,
}

impl StorePlan {
    /// Whose events they are.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// A stored event that expires by then has expired: it makes way for a new one under its key. A store that folds behind a
    /// watermark deletes it only once it is folded. Until then the outcome is [`StoreOutcome::Later`].
    pub fn expired_by(&self) -> Seconds {
        self.events.first().map_or(Seconds(0), |event| event.received_at.to_seconds())
    }

    /// The request that brought them, as its answer names it.
    pub fn request_id(&self) -> RequestId {
        match &self.answer {
            Answer::One(_, request_id) | Answer::Batch(_, request_id) => *request_id,
        }
    }

    /// The events to keep: 1 to 500, no id twice.
    pub fn events(&self) -> &[NewEvent] {
        &self.events
    }
}

/// Look up one event of a tenant, as it is after every write that was answered before.
#[must_use = "a plan that is not applied and settled leaves its client without an answer"]
#[derive(Debug)]
pub struct FindPlan {
    pub(crate) tenant: Tenant,
    pub(crate) id: EventId,
    pub(crate) request_id: RequestId,
    pub(crate) received_at: Millis,
    /// Whether the reply goes without its body.
    pub(crate) is_head: bool,
}

impl FindPlan {
    /// Whose event it is.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Its id.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// The request that looks it up, as its answer names it.
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// A stored event that expires by then is [`FindOutcome::Absent`].
    pub fn expired_by(&self) -> Seconds {
        self.received_at.to_seconds()
    }
}

/// Fold, compact and expire what is due: what an operator's cron asks for where the platform has no timer of its own.
#[must_use = "a plan that is not applied and settled leaves its client without an answer"]
#[derive(Debug)]
pub struct UpkeepPlan {
    pub(crate) request_id: RequestId,
}

impl UpkeepPlan {
    /// The answer, once it is done, or is left to the platform's own timer; otherwise it has failed, and is to be asked for again.
    pub fn settle(self, is_done: bool) -> Reply {
        if is_done { Reply::ok() } else { Refusal::Unavailable.reply(self.request_id) }
    }
}
