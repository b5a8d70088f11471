//! What a host has to do, in the language of the domain, and how it reports the outcome.

use serde::{Deserialize, Serialize};

use crate::reports::plan::ReportPlan;
use crate::store::answer::Answer;
use crate::store::export::ExportPlan;
use crate::store::import::ImportPlan;
use crate::store::limiter::{Limiter, Standing};
use crate::store::new_event::NewEvent;
use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::{EventId, RequestId};
use crate::vocabulary::refused::Refused;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::{Millis, Seconds};
use crate::watching::plan::{MetricsPlan, ReadyPlan};

/// What [`crate::Service::admit`] makes of a request.
#[must_use = "an admission that is dropped leaves its client without an answer"]
#[derive(Debug)]
pub enum Admission {
    /// The request is answered without the store.
    Reply(Reply),
    /// The host applies the plan, then calls its `respond`.
    Plan(Plan),
}

impl Admission {
    /// Takes the request from no allowance: a queue has accepted its events already.
    pub(crate) fn unlimited(self) -> Self {
        match self {
            Self::Plan(Plan::Store(plan)) => {
                Self::Plan(Plan::Store(StorePlan { standing: Standing::default(), ..plan }))
            }
            other => other,
        }
    }

    /// Says that the request may come again with the same stamp.
    pub(crate) fn repeatable(self) -> Self {
        match self {
            Self::Plan(Plan::Store(plan)) => Self::Plan(Plan::Store(StorePlan { may_be_repeated: true, ..plan })),
            other => other,
        }
    }

    /// Says that pages of this origin may read the answer.
    pub(crate) fn shared_with(self, origin: Option<&str>) -> Self {
        match self {
            Self::Reply(reply) => Self::Reply(reply.shared_with(origin)),
            Self::Plan(Plan::Store(plan)) => {
                Self::Plan(Plan::Store(StorePlan { shared_with: origin.map(str::to_owned), ..plan }))
            }
            other => other,
        }
    }

    /// The answer to `HEAD` is the answer to `GET` without its body. Core removes the body, because hosts differ in
    /// what they cut off.
    pub(crate) fn for_method(self, method: &str) -> Self {
        match self {
            Self::Reply(reply) => Self::Reply(reply.for_head(method == HEAD)),
            Self::Plan(Plan::Find(plan)) => Self::Plan(Plan::Find(FindPlan { is_head: method == HEAD, ..plan })),
            Self::Plan(Plan::Report(plan)) => Self::Plan(Plan::Report(plan.for_head(method == HEAD))),
            Self::Plan(Plan::Ready(plan)) => Self::Plan(Plan::Ready(ReadyPlan { is_head: method == HEAD, ..plan })),
            Self::Plan(Plan::Metrics(plan)) => {
                Self::Plan(Plan::Metrics(MetricsPlan { is_head: method == HEAD, ..plan }))
            }
            Self::Plan(Plan::Export(plan)) => Self::Plan(Plan::Export(ExportPlan { is_head: method == HEAD, ..plan })),
            other @ Self::Plan(Plan::Store(_) | Plan::Maintenance(_) | Plan::Import(_)) => other,
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
    /// Do the maintenance that is due, unless the platform's own timer does it in time.
    Maintenance(MaintenancePlan),
    /// Say whether the service should get requests.
    Ready(ReadyPlan),
    /// Tell metrics.
    Metrics(MetricsPlan),
    /// Read data to be moved to another service.
    Export(ExportPlan),
    /// Keep rollups of another service.
    Import(ImportPlan),
}

/// The outcome for one [`NewEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreOutcome {
    /// The key was free; the event is durable now.
    Stored,
    /// An event with this digest has the key. It has not expired and stays as it is.
    Existing(Digest),
    /// The event may not be durable: the client is told to send it again.
    Unavailable,
    /// The event was not kept, because the store is at its capacity: the client is told to wait and send it again.
    Overloaded,
    /// The event was not kept, because its key or its tenant has sent too many.
    Limited(Refused),
}

/// The outcome of a [`FindPlan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindOutcome {
    /// The record of the event.
    Found(String),
    /// No such event.
    Absent,
    /// The store did not answer.
    Unavailable,
}

/// Keep new events of one tenant, each under its own key, and report the outcome of each.
#[must_use = "a plan that is neither applied nor answered leaves its client without an answer"]
#[derive(Debug)]
pub struct StorePlan {
    pub(crate) tenant: Tenant,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) answer: Answer,
    pub(crate) may_be_repeated: bool,
    /// The origin whose pages may read the answer.
    pub(crate) shared_with: Option<String>,
    /// The id of the key that the events came with; empty if nothing limits it.
    pub(crate) key: String,
    pub(crate) standing: Standing,
}

impl StorePlan {
    /// Whether the configuration limits how many events may come. Then [`StorePlan::take_from`] is asked before the
    /// store is.
    pub fn is_limited(&self) -> bool {
        !self.standing.rules.is_empty()
    }

    /// Takes the plan's events from what its key and its tenant may send. If this is `false`, store nothing, and
    /// [`respond`](StorePlan::respond) without outcomes.
    #[must_use]
    pub fn take_from(&mut self, limiter: &mut Limiter) -> bool {
        let received_at = self.received_at();
        limiter.take(&mut self.standing, self.events.len(), received_at, 1);
        self.standing.refused.is_none()
    }

    /// Gives back what [`StorePlan::take_from`] took for events that a full store has not kept: their client sends them
    /// again, and would pay twice. `outcomes` are as for [`respond`](StorePlan::respond).
    pub fn give_back(&mut self, limiter: &mut Limiter, outcomes: &[StoreOutcome]) {
        let overloaded = outcomes.iter().filter(|outcome| **outcome == StoreOutcome::Overloaded).count();
        let received_at = self.received_at();
        if overloaded > 0 {
            limiter.give_back(&mut self.standing, overloaded, received_at);
        }
    }

    pub(crate) fn received_at(&self) -> Millis {
        self.request_id().received_at()
    }

    /// The tenant of the events.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// A stored event that expires by this time has expired: a new event may take its key. A store that folds behind a
    /// watermark deletes an expired event only once it is folded. Until then the outcome is
    /// [`StoreOutcome::Unavailable`].
    pub fn expired_by(&self) -> Seconds {
        self.received_at().to_seconds()
    }

    /// The id of the request that brought the events, as its answer shows it.
    pub fn request_id(&self) -> RequestId {
        match &self.answer {
            Answer::One(_, request_id) | Answer::Batch(_, request_id) | Answer::Door(_, _, request_id) => *request_id,
        }
    }

    /// Whether the request may have been applied before, with the same stamp. If not, the store has none of the ids that
    /// were made for this request.
    pub fn may_be_repeated(&self) -> bool {
        self.may_be_repeated
    }

    /// The events to keep: 1 to 1,000, with distinct ids.
    pub fn events(&self) -> &[NewEvent] {
        &self.events
    }
}

/// Look up one event of a tenant. The read must see every write that was answered before.
#[must_use = "a plan that is neither applied nor answered leaves its client without an answer"]
#[derive(Debug)]
pub struct FindPlan {
    pub(crate) tenant: Tenant,
    pub(crate) id: EventId,
    pub(crate) request_id: RequestId,
    pub(crate) received_at: Millis,
    /// Whether the reply has no body.
    pub(crate) is_head: bool,
}

impl FindPlan {
    /// The tenant of the event.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The id of the event.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// The id of the request that looks the event up, as its answer shows it.
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// A stored event that expires by this time is [`FindOutcome::Absent`].
    pub fn expired_by(&self) -> Seconds {
        self.received_at.to_seconds()
    }
}

/// Fold, compact and expire what is due. An operator's cron asks for this where the platform has no timer of its own.
#[must_use = "a plan that is neither applied nor answered leaves its client without an answer"]
#[derive(Debug)]
pub struct MaintenancePlan {
    pub(crate) request_id: RequestId,
}

impl MaintenancePlan {
    /// The answer. `is_done` is true once the work is done or left to the platform's own timer. Otherwise the work has
    /// failed, and the cron should ask again.
    pub fn respond(self, is_done: bool) -> Reply {
        if is_done { Reply::ok() } else { Rejection::Unavailable.reply(self.request_id) }
    }
}
