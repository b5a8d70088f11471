//! Group commit: how much one transaction of a single writer takes, and how much may wait for it.
//!
//! Each tenant has a queue of its own, so a tenant that floods fills only what others leave.

use crate::upkeep::Load;

/// Plans of one tenant that may wait. Waiting longer would only make the queue's memory grow.
const PLANS: usize = 512;
/// Bytes of events of one tenant that may wait.
const BYTES: usize = 32 << 20;
/// What one transaction takes of all tenants together, so that the first plans do not wait long for the last ones.
const TRANSACTION: Load = Load { events: 1024, bytes: 4 << 20 };

/// What waits of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// How many [`StorePlan`](crate::StorePlan)s.
    pub plans: usize,
    /// Their events.
    pub load: Load,
}

impl Queue {
    /// Whether a plan with these events may wait too. If not, they get
    /// [`StoreOutcome::Overloaded`](crate::StoreOutcome::Overloaded). An empty queue takes any plan.
    pub fn has_room_for(&self, load: Load) -> bool {
        self.plans == 0 || (self.plans < PLANS && self.load.bytes.saturating_add(load.bytes) <= BYTES)
    }
}

/// What one transaction takes of each of so many tenants that wait: plans until their events reach this, and one at least.
pub fn share(tenants: usize) -> Load {
    let tenants = tenants.max(1);
    Load { events: TRANSACTION.events / tenants, bytes: TRANSACTION.bytes / tenants }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_bounded_in_plans_and_in_bytes() {
        let load = Load { events: 1, bytes: 1000 };
        let queue = |plans, bytes| Queue { plans, load: Load { events: plans, bytes } };
        assert!(queue(PLANS - 1, 0).has_room_for(load) && !queue(PLANS, 0).has_room_for(load));
        assert!(queue(1, BYTES - 1000).has_room_for(load) && !queue(1, BYTES - 999).has_room_for(load));
        assert!(queue(0, 0).has_room_for(Load { events: 1, bytes: usize::MAX }));
    }

    #[test]
    fn tenants_share_a_transaction() {
        assert_eq!(share(1), TRANSACTION);
        assert_eq!(share(4), Load { events: 256, bytes: 1 << 20 });
        assert_eq!(share(usize::MAX), Load::default());
    }
}
