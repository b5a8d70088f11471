//! The events of one request, on their way into a plan.

use std::collections::{BTreeMap, btree_map};

use crate::admission::config::Config;
use crate::admission::event::Event;
use crate::admission::request::Request;
use crate::admission::scope::Caller;
use crate::store::answer::{Answer, Slot};
use crate::store::limiter::Standing;
use crate::store::new_event::NewEvent;
use crate::store::plan::{Admission, Plan, StorePlan};
use crate::vocabulary::id::EventId;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::{Millis, Stamp};

/// Collects the events of one request, at most one per key.
pub(crate) struct Intake<'c> {
    config: &'c Config,
    tenant: Tenant,
    key: &'c str,
    /// The word by which a bot was recognised.
    bot: Option<&'c str>,
    stamp: Stamp,
    events: Vec<NewEvent>,
    /// The index in `events` of each event that has a messageId.
    named: BTreeMap<EventId, usize>,
}

impl<'c> Intake<'c> {
    pub(crate) fn new(
        config: &'c Config,
        Caller { tenant, key }: Caller<'c>,
        head: &Request<'_>,
        stamp: Stamp,
    ) -> Self {
        let bot = config.bots.word(head.header("user-agent"));
        Self { config, tenant, key, bot, stamp, events: Vec::new(), named: BTreeMap::new() }
    }

    pub(crate) fn received_at(&self) -> Millis {
        self.stamp.received_at
    }

    /// Takes an event, and returns its place in the answer.
    pub(crate) fn take(&mut self, mut event: Event<'_>) -> Result<Slot, Rejection> {
        event.apply(self.config, &self.tenant, self.bot)?;
        let retention = &self.config.retention;
        let next = self.events.len();
        let Some(id) = event.named_id(&self.tenant) else {
            let unnamed = next - self.named.len();
            self.events.push(event.keep(EventId::sequential(self.stamp, unnamed), self.stamp, retention));
            return Ok(Slot::New { at: next, named: false });
        };
        let event = event.keep(id, self.stamp, retention);
        match self.named.entry(id) {
            btree_map::Entry::Occupied(first) => Ok(Slot::Repeated { at: *first.get(), digest: event.digest }),
            btree_map::Entry::Vacant(place) => {
                place.insert(next);
                self.events.push(event);
                Ok(Slot::New { at: next, named: true })
            }
        }
    }

    /// The plan for all events, which is answered in this shape.
    pub(crate) fn plan(self, answer: Answer) -> Admission {
        let Self { config, tenant, key, events, .. } = self;
        let standing = Standing::new(config.allowances.of(key, tenant.as_str()));
        let key = if standing.rules.is_empty() { String::new() } else { key.to_owned() };
        let plan = StorePlan { tenant, events, answer, may_be_repeated: false, shared_with: None, key, standing };
        // Without events the store has nothing to do, so the reply is made here.
        if plan.events.is_empty() {
            Admission::Reply(plan.respond(Vec::new()))
        } else {
            Admission::Plan(Plan::Store(plan))
        }
    }
}
