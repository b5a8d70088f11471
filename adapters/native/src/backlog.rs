//! Plans that wait for the writer, in one queue for each tenant.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isotherm_core::Load;
use isotherm_core::group_commit::{self, Queue};

/// The waiting plans of each tenant, in the order in which they came.
pub(crate) struct Backlog<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    tenants: BTreeMap<String, Waiting<T>>,
    is_closed: bool,
}

struct Waiting<T> {
    plans: VecDeque<(Load, T)>,
    load: Load,
}

impl<T> Waiting<T> {
    fn queue(&self) -> Queue {
        Queue { plans: self.plans.len(), load: self.load }
    }
}

/// Why a plan was not taken. Each variant gives the plan back.
pub(crate) enum Untaken<T> {
    Full(T),
    Closed(T),
}

/// What the writer gets from [`Backlog::take`].
pub(crate) enum Taken<T> {
    /// The plans of one transaction.
    Group(Vec<T>),
    /// Nothing has come in time.
    Nothing,
    /// Nothing is left, and nothing more can come.
    Closed,
}

impl<T> Backlog<T> {
    pub(crate) fn new() -> Self {
        let state = State { tenants: BTreeMap::new(), is_closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Queues a plan behind those of its tenant.
    pub(crate) fn push(&self, tenant: &str, load: Load, plan: T) -> Result<(), Untaken<T>> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Untaken::Closed(plan));
        }
        if !state.tenants.contains_key(tenant) {
            state.tenants.insert(tenant.to_owned(), Waiting { plans: VecDeque::new(), load: Load::default() });
        }
        match state.tenants.get_mut(tenant) {
            Some(waiting) if waiting.queue().has_room_for(load) => {
                waiting.load = waiting.load + load;
                waiting.plans.push_back((load, plan));
            }
            _ => return Err(Untaken::Full(plan)),
        }
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for plans, and takes an equal share of each waiting tenant. A tenant that floods the queue fills only
    /// what others leave.
    pub(crate) fn take(&self, wait: Duration) -> Taken<T> {
        let is_empty = |state: &mut State<T>| state.tenants.is_empty() && !state.is_closed;
        let waited = self.arrived.wait_timeout_while(self.state(), wait, is_empty);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.tenants.is_empty() {
            return if state.is_closed { Taken::Closed } else { Taken::Nothing };
        }
        let share = group_commit::share(state.tenants.len());
        let mut group = Vec::new();
        state.tenants.retain(|_, waiting| {
            let mut taken = Load::default();
            // Takes at least one plan of each tenant, however many tenants wait.
            while (taken.events == 0 || (taken.events < share.events && taken.bytes < share.bytes))
                && let Some((load, plan)) = waiting.plans.pop_front()
            {
                taken = taken + load;
                waiting.load = waiting.load - load;
                group.push(plan);
            }
            !waiting.plans.is_empty()
        });
        Taken::Group(group)
    }

    /// Closes the backlog to new plans. Waiting plans can still be taken.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.arrived.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(backlog: &Backlog<(&'static str, usize)>, tenant: &'static str, events: usize, number: usize) -> bool {
        backlog.push(tenant, Load { events, bytes: events * 1000 }, (tenant, number)).is_ok()
    }

    fn take(backlog: &Backlog<(&'static str, usize)>) -> Vec<(&'static str, usize)> {
        match backlog.take(Duration::ZERO) {
            Taken::Group(group) => group,
            Taken::Nothing | Taken::Closed => Vec::new(),
        }
    }

    #[test]
    fn a_full_queue_is_its_tenants_own() {
        let backlog = Backlog::new();
        assert_eq!((0..1000).filter(|number| push(&backlog, "flood", 1, *number)).count(), 512);
        assert!(push(&backlog, "trickle", 1, 0));
    }

    #[test]
    fn what_waits_has_a_bound_in_bytes() {
        let backlog = Backlog::new();
        let taken = (0..1000).filter(|number| push(&backlog, "flood", 500, *number)).count();
        assert_eq!(taken, (32 << 20) / 500_000);
        take(&backlog);
        assert!(push(&backlog, "flood", 500, 0));
    }

    #[test]
    fn each_commit_takes_from_everyone_who_waits_in_order() {
        let backlog = Backlog::new();
        for number in 0..60 {
            assert!(push(&backlog, "flood", 500, number) && push(&backlog, "flood, too", 500, number));
        }
        assert!(push(&backlog, "trickle", 1, 0) && push(&backlog, "trickle", 1, 1));
        let group = take(&backlog);
        assert!(group.contains(&("trickle", 0)) && group.contains(&("trickle", 1)));
        assert!(group.len() <= 2 + group_commit::share(1).events / 500, "{group:?}");
        let mut rest = group;
        while rest.len() < 122 {
            rest.extend(take(&backlog));
        }
        let floods: Vec<_> = rest.iter().filter(|(tenant, _)| *tenant == "flood").map(|(_, number)| *number).collect();
        assert!(floods.is_sorted() && floods.len() == 60);
    }

    #[test]
    fn what_waits_when_it_is_closed_is_still_taken() {
        let backlog = Backlog::new();
        assert!(push(&backlog, "t", 1, 0));
        backlog.close();
        assert!(!push(&backlog, "t", 1, 1));
        assert_eq!(take(&backlog), [("t", 0)]);
        assert!(matches!(backlog.take(Duration::from_secs(60)), Taken::Closed));
    }
}
