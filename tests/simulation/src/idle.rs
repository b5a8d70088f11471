//! What the environments of a function remember from one request to the next.

use std::cell::RefCell;

use crate::world::World;

/// The most environments that wait for a request.
const ENVIRONMENTS: usize = 3;

/// The memory of each environment that waits for a request. An environment that ends within a request is not given
/// back.
pub(crate) struct Idle<T>(RefCell<Vec<T>>);

impl<T> Default for Idle<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Default> Idle<T> {
    /// Takes an environment for a request, now and then a new one.
    pub(crate) fn take(&self, world: &World) -> T {
        let mut idle = self.0.borrow_mut();
        if idle.is_empty() || world.one_in(20) {
            return T::default();
        }
        let any = world.below(idle.len() as u64) as usize;
        idle.swap_remove(any)
    }

    /// Lets an environment wait for the next request.
    pub(crate) fn give_back(&self, mind: T) {
        let mut idle = self.0.borrow_mut();
        idle.push(mind);
        idle.truncate(ENVIRONMENTS);
    }
}
