//! What operators' tools ask: whether the service should get requests, and its metrics.

use crate::maintenance::condition::Condition;
use crate::vocabulary::facts::Facts;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Stamp;
use crate::watching::metrics::{Metrics, text};

/// Ask the store for its condition. A probe asks this every few seconds, without a key, so it has to be cheap: of many
/// shards, only [`ReadyPlan::shard`] is asked.
#[must_use = "a plan that is neither applied nor answered leaves its client without an answer"]
#[derive(Debug)]
pub struct ReadyPlan {
    pub(crate) stamp: Stamp,
    pub(crate) tenants: Vec<Tenant>,
    /// Whether the reply has no body.
    pub(crate) is_head: bool,
}

impl ReadyPlan {
    /// The id of the request, as its answer shows it.
    pub fn request_id(&self) -> RequestId {
        RequestId::of(self.stamp)
    }

    /// The shard to ask, where tenants have this many shards each. It is another one each time, so that a probe gets to
    /// all of them.
    pub fn shard(&self, shards: u32) -> Option<(&Tenant, u32)> {
        let (draw, tenants) = (self.stamp.entropy as u64, self.tenants.len().max(1) as u64);
        let tenant = self.tenants.get(usize::try_from(draw % tenants).ok()?)?;
        Some((tenant, (draw / tenants % u64::from(shards.max(1))) as u32))
    }

    /// The reply, given the condition of the store; `None` if it did not answer.
    pub fn respond(self, condition: Option<Condition>) -> Reply {
        let problem = match condition {
            None => Some("the store does not answer".to_owned()),
            Some(condition) => condition.stuck(),
        };
        let reply = problem.map_or_else(Reply::ok, |problem| Rejection::NotReady(problem).reply(self.request_id()));
        reply.for_head(self.is_head)
    }
}

/// Tell the metrics of this process, if it counts any, and the condition of every store.
#[must_use = "a plan that is neither applied nor answered leaves its client without an answer"]
#[derive(Debug)]
pub struct MetricsPlan {
    pub(crate) request_id: RequestId,
    /// Whether the reply has no body.
    pub(crate) is_head: bool,
}

impl MetricsPlan {
    /// The id of the request, as its answer shows it.
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The reply, given the conditions of all stores, or `None` if one did not answer. Without its stores a process can
    /// still tell what it has counted.
    pub fn respond(self, metrics: Option<&Metrics>, conditions: Option<Vec<Condition>>) -> Reply {
        let reply = if metrics.is_none() && conditions.is_none() {
            Rejection::Unavailable.reply(self.request_id)
        } else {
            Reply {
                status: 200,
                headers: vec![("content-type", "text/plain; version=0.0.4; charset=utf-8".to_owned())],
                body: text(metrics, &conditions.unwrap_or_default()).into_bytes(),
                facts: Facts::default(),
            }
        };
        reply.for_head(self.is_head)
    }
}
