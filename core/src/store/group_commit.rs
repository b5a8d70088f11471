//! Group commit: how many plans one transaction of a single writer takes, and how many may wait for it.
//!
//! Each tenant has its own queue, so a tenant that floods the service fills only its own.

use crate::store::load::Load;

/// The most plans of one tenant that may wait. A longer queue would only use more memory.
const PLANS: usize = 512;
/// The most bytes of one tenant's events that may wait.
const BYTES: usize = 32 << 20;
/// What one transaction takes of all tenants together. It is small, so that the first plans do not wait long for the
/// last ones.
const TRANSACTION: Load = Load::usual(1024);

/// The plans of one tenant that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// The number of [`StorePlan`](crate::StorePlan)s.
    pub plans: usize,
    /// Their events.
    pub load: Load,
}

impl Queue {
    /// Whether a plan with these events may wait too. If not, its events get
    /// [`StoreOutcome::Overloaded`](crate::StoreOutcome::Overloaded). An empty queue takes any plan.
    pub fn has_room_for(&self, load: Load) -> bool {
        self.plans == 0 || (self.plans < PLANS && self.load.bytes.saturating_add(load.bytes) <= BYTES)
    }
}

/// How much one transaction takes of each of `tenants` waiting tenants: plans until their events reach this load, but
/// at least one.
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
        assert_eq!(share(4), Load { events: 256, bytes: 256 << 10 });
        assert_eq!(share(usize::MAX), Load::default());
    }
}
