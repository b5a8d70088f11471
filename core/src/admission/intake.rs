//! The events of one request, on their way into a plan.

use std::collections::{BTreeMap, btree_map};

use crate::admission::event::Event;
use crate::store::answer::{Answer, Slot};
use crate::store::plan::{Admission, NewEvent, Plan, StorePlan};
use crate::vocabulary::id::EventId;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Stamp;

/// Collects the events of one request, at most one per key.
pub(crate) struct Intake {
    tenant: Tenant,
    stamp: Stamp,
    events: Vec<NewEvent>,
    /// The index in `events` of each event that has a messageId.
    named: BTreeMap<EventId, usize>,
}

impl Intake {
    pub(crate) fn new(tenant: Tenant, stamp: Stamp) -> Self {
        Self { tenant, stamp, events: Vec::new(), named: BTreeMap::new() }
    }

    /// Takes an event, and returns its place in the answer.
    pub(crate) fn take(&mut self, event: Event<'_>) -> Slot {
        let next = self.events.len();
        let Some(id) = event.named_id(&self.tenant) else {
            let unnamed = next - self.named.len();
            self.events.push(event.keep(EventId::sequential(self.stamp, unnamed), self.stamp));
            return Slot::New { at: next, named: false };
        };
        let event = event.keep(id, self.stamp);
        match self.named.entry(id) {
            btree_map::Entry::Occupied(first) => Slot::Repeated { at: *first.get(), digest: event.digest },
            btree_map::Entry::Vacant(place) => {
                place.insert(next);
                self.events.push(event);
                Slot::New { at: next, named: true }
            }
        }
    }

    /// The plan for all events, which is answered in this shape.
    pub(crate) fn plan(self, answer: Answer) -> Admission {
        let Self { tenant, events, .. } = self;
        let plan = StorePlan { tenant, events, answer, may_be_repeated: false, shared_with: None };
        // Without events the store has nothing to do, so the reply is made here.
        if plan.events.is_empty() {
            Admission::Reply(plan.respond(Vec::new()))
        } else {
            Admission::Plan(Plan::Store(plan))
        }
    }
}
