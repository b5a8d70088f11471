//! The plan of a report: what to read, and the reply once it is read.

use crate::reports::answer::{ReportReply, reply};
use crate::reports::data::{ReportData, UnreadablePages};
use crate::reports::kind::Kind;
use crate::reports::query::Query;
use crate::reports::reading::Reading;
use crate::rollups::observation::Dimensions;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Stamp;

/// Read the rollups that a report needs and the events that are not folded yet, as of one moment.
#[must_use = "a plan that is neither applied nor answered leaves its client without an answer"]
#[derive(Debug)]
pub struct ReportPlan {
    tenant: Tenant,
    query: Box<Query>,
    dimensions: Dimensions,
    reading: Reading,
    stamp: Stamp,
    /// Whether the reply has no body.
    is_head: bool,
}

/// The outcome of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// Everything was read, from every shard.
    Read(Vec<ReportData>),
    /// The store did not answer.
    Unavailable,
}

impl ReportPlan {
    pub(crate) fn new(
        tenant: Tenant,
        kind: Kind,
        query: &str,
        dimensions: &Dimensions,
        stamp: Stamp,
    ) -> Result<Self, Rejection> {
        let query = Box::new(Query::parse(kind, query, stamp.received_at)?);
        let reading = Reading::of(&query);
        Ok(Self { tenant, query, dimensions: dimensions.clone(), reading, stamp, is_head: false })
    }

    pub(crate) fn for_head(self, is_head: bool) -> Self {
        Self { is_head, ..self }
    }

    /// The id of the request, as its answer shows it.
    pub fn request_id(&self) -> RequestId {
        RequestId::of(self.stamp)
    }

    /// The tenant whose events the report counts.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The pages that the report needs.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The reply, given what the host read. This takes some time and memory, so a host that answers several requests at
    /// once calls it in the same place where it reads.
    pub fn respond(self, outcome: ReportOutcome) -> ReportReply {
        let answer = match outcome {
            ReportOutcome::Read(shards) => reply(&self.query, &self.dimensions, shards, self.stamp),
            ReportOutcome::Unavailable => Err(Rejection::Unavailable),
        };
        let mut report = answer.unwrap_or_else(|rejection| ReportReply {
            reply: rejection.reply(RequestId::of(self.stamp)),
            unreadable: UnreadablePages::default(),
        });
        report.reply = report.reply.for_head(self.is_head);
        report
    }
}
