//! Reports: a query says what to read, and what was read is merged into rows. What is read, merged and answered is bounded.

mod answer;
mod calendar;
mod cursor;
mod data;
mod names;
mod query;
mod reading;
mod table;
mod zone;

use crate::config::Tenant;
use crate::id::RequestId;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::rollup::observation::Dimensions;
use crate::time::Stamp;

pub(crate) use data::{ITEM_BYTES, READ_BYTES};
pub use data::{ReadBudget, ReportData, UnreadablePages};
pub(crate) use query::{Kind, Query};
pub use reading::Reading;

/// Read the rollups that a report needs, and the events that are not folded yet, as of one moment.
#[must_use = "a plan that is not applied and settled leaves its client without an answer"]
#[derive(Debug)]
pub struct ReportPlan {
    tenant: Tenant,
    query: Box<Query>,
    dimensions: Dimensions,
    reading: Reading,
    stamp: Stamp,
    /// Whether the reply goes without its body.
    is_head: bool,
}

/// What became of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// All of it, from every shard.
    Read(Vec<ReportData>),
    /// The store did not answer.
    Later,
}

/// The reply to a report, and what its host has to log.
#[must_use = "a reply that is dropped leaves its client without an answer"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The reply.
    pub reply: Reply,
    /// What could not be read, where there is any.
    pub unreadable: UnreadablePages,
}

impl ReportPlan {
    pub(crate) fn new(
        tenant: Tenant,
        kind: Kind,
        query: &str,
        dimensions: &Dimensions,
        stamp: Stamp,
    ) -> Result<Self, Refusal> {
        let query = Box::new(Query::parse(kind, query, stamp.received_at)?);
        let reading = Reading::of(&query);
        Ok(Self { tenant, query, dimensions: dimensions.clone(), reading, stamp, is_head: false })
    }

    pub(crate) fn for_head(self, is_head: bool) -> Self {
        Self { is_head, ..self }
    }

    /// The request for it, as its answer names it.
    pub fn request_id(&self) -> RequestId {
        RequestId::of(self.stamp)
    }

    /// Whose events it counts.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Which pages it needs.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The reply, from what the host read. It takes some time and memory: a host that answers several requests at once does
    /// this where it reads.
    pub fn settle(self, outcome: ReportOutcome) -> Settled {
        let answer = match outcome {
            ReportOutcome::Read(shards) => answer::reply(&self.query, &self.dimensions, shards, self.stamp),
            ReportOutcome::Later => Err(Refusal::Unavailable),
        };
        let mut settled = answer.unwrap_or_else(|refusal| Settled {
            reply: refusal.reply(RequestId::of(self.stamp)),
            unreadable: UnreadablePages::default(),
        });
        settled.reply = settled.reply.for_head(self.is_head);
        settled
    }
}
