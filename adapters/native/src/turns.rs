//! A bounded number of turns that tenants share. One tenant gets at most half of them, so a busy tenant leaves room
//! for others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A request that has no turn by then is told to come again.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// The most requests of a tenant that hold turns or wait for them. Each takes a connection, and others need some, too.
const REQUESTS: usize = 512;

/// The turns of all tenants together and of each tenant.
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    of_one: usize,
    /// The tenants that hold or wait for turns, and some that did a moment ago.
    tenants: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// Some of the turns, held until this is dropped.
pub(crate) struct Turn {
    _all: OwnedSemaphorePermit,
    _tenant: OwnedSemaphorePermit,
}

impl Turns {
    pub(crate) fn new(all: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), of_one: all / 2, tenants: Mutex::default() }
    }

    /// Waits for `many` turns: first for the tenant's own, then for those of all, so a tenant never holds more than
    /// half of them. Returns `None` if that took too long, or if many of its requests wait already.
    pub(crate) async fn take(&self, tenant: &str, many: u32) -> Option<Turn> {
        let own = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            match tenants.get(tenant) {
                Some(own) => Arc::clone(own),
                None => {
                    // Who holds or waits for a turn has a copy, so the others can be forgotten.
                    tenants.retain(|_, own| Arc::strong_count(own) > 1);
                    Arc::clone(tenants.entry(tenant.to_owned()).or_insert(Arc::new(Semaphore::new(self.of_one))))
                }
            }
        };
        // One copy is in `tenants`.
        if Arc::strong_count(&own) > REQUESTS + 1 {
            return None;
        }
        let turn = async {
            let tenant = own.acquire_many_owned(many).await.ok()?;
            let all = Arc::clone(&self.all).acquire_many_owned(many).await.ok()?;
            Some(Turn { _all: all, _tenant: tenant })
        };
        timeout(TURN_WITHIN, turn).await.ok()?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_tenant_takes_half_and_leaves_the_rest() {
        let turns = Turns::new(4);
        let flood = [turns.take("flood", 1).await.unwrap(), turns.take("flood", 1).await.unwrap()];
        let mut third = Box::pin(turns.take("flood", 1));
        assert!(timeout(Duration::from_millis(50), &mut third).await.is_err());
        let trickle = timeout(Duration::from_millis(50), turns.take("trickle", 2)).await;
        assert!(trickle.is_ok_and(|turn| turn.is_some()));
        drop(flood);
        assert!(third.await.is_some());
    }

    #[tokio::test]
    async fn a_tenant_has_a_bounded_number_of_requests_that_wait() {
        let turns = Arc::new(Turns::new(2));
        let held = turns.take("flood", 1).await.unwrap();
        let mut waiting: Vec<_> = (1..REQUESTS).map(|_| Box::pin(turns.take("flood", 1))).collect();
        for request in &mut waiting {
            assert!(timeout(Duration::ZERO, request).await.is_err());
        }
        let refused = timeout(Duration::from_millis(50), turns.take("flood", 1)).await;
        assert!(refused.is_ok_and(|turn| turn.is_none()), "one more is told to come again at once");
        drop(waiting);
        drop(held);
        assert!(turns.take("flood", 1).await.is_some());
    }

    #[tokio::test]
    async fn tenants_without_turns_are_forgotten_and_the_others_keep_their_share() {
        let turns = Turns::new(4);
        let held = turns.take("busy", 2).await.unwrap();
        for tenant in 0..1000 {
            assert!(turns.take(&tenant.to_string(), 1).await.is_some());
        }
        assert!(turns.tenants.lock().unwrap().len() <= 2);
        assert!(timeout(Duration::from_millis(50), turns.take("busy", 1)).await.is_err());
        drop(held);
        assert!(turns.take("busy", 1).await.is_some());
    }
}
