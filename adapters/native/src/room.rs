//! A bounded amount of room. When it is full, whoever has been slow for longest makes room for newcomers.
//!
//! Connections hold places in it, and so do bodies while they are read. A quick client's place is young, and so it is
//! safe. Clients that send nothing, or a byte now and then, or do not read, keep nobody out, however many they are.
//! Strangers give way before known senders do.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How soon to look again while nobody gives way.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The room, with its free part and the places that give way.
pub(crate) struct Room {
    free: Arc<Semaphore>,
    /// Places that give way, in the order in which they do.
    slow: Mutex<BTreeMap<EvictionOrder, Arc<Notify>>>,
    next_order: AtomicU64,
}

/// Strangers are evicted first, then known senders. Within each, the oldest first.
type EvictionOrder = (Sender, u64);

/// Who a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sender {
    /// Someone who has shown no key so far.
    Stranger,
    /// Someone who may send.
    Known,
}

/// A part of the room, held until this is dropped.
pub(crate) struct Place {
    room: Arc<Room>,
    order: Mutex<Option<EvictionOrder>>,
    claimed: Arc<Notify>,
    _part: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, slow: Mutex::default(), next_order: AtomicU64::default() })
    }

    /// Takes `part` of the room, and claims other places if it must. Returns `None` only if the room has been closed.
    pub(crate) async fn take(self: &Arc<Self>, part: u32) -> Option<Place> {
        let place =
            |part| Place { room: Arc::clone(self), order: Mutex::default(), claimed: Arc::default(), _part: part };
        if let Ok(part) = Arc::clone(&self.free).try_acquire_many_owned(part) {
            return Some(place(part));
        }
        let mut part = pin!(Arc::clone(&self.free).acquire_many_owned(part));
        loop {
            let oldest = self.slow().pop_first();
            if let Some((_, oldest)) = oldest {
                oldest.notify_one();
            }
            if let Ok(part) = timeout(AGAIN_AFTER, &mut part).await {
                return part.ok().map(place);
            }
        }
    }

    fn slow(&self) -> MutexGuard<'_, BTreeMap<EvictionOrder, Arc<Notify>>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Lets others claim this place from now on.
    pub(crate) fn give_way(&self, sender: Sender) {
        let order = (sender, self.room.next_order.fetch_add(1, Ordering::Relaxed));
        let former = self.order().replace(order);
        let mut slow = self.room.slow();
        former.map(|former| slow.remove(&former));
        slow.insert(order, Arc::clone(&self.claimed));
    }

    /// Keeps others from claiming this place from now on.
    pub(crate) fn hold(&self) {
        if let Some(order) = self.order().take() {
            self.room.slow().remove(&order);
        }
    }

    /// Completes when the place is claimed. The holder must then drop it.
    pub(crate) async fn claimed(&self) {
        self.claimed.notified().await;
    }

    fn order(&self) -> MutexGuard<'_, Option<EvictionOrder>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hold();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn the_oldest_that_gives_way_is_claimed() {
        let room = Room::new(10);
        let (holds, old, young) = (room.take(3).await, room.take(3).await, room.take(4).await);
        let (holds, old, young) = (holds.unwrap(), old.unwrap(), young.unwrap());
        old.give_way(Sender::Stranger);
        young.give_way(Sender::Stranger);
        let new = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.take(3).await }
        });
        timeout(SHORT, old.claimed()).await.unwrap();
        drop(old);
        assert!(timeout(SHORT, new).await.is_ok_and(|new| new.unwrap().is_some()));
        assert!(timeout(SHORT, young.claimed()).await.is_err(), "one was enough");
        assert!(timeout(SHORT, holds.claimed()).await.is_err());
    }

    #[tokio::test]
    async fn strangers_give_way_before_known_senders() {
        let room = Room::new(2);
        let (known, stranger) = (room.take(1).await.unwrap(), room.take(1).await.unwrap());
        known.give_way(Sender::Known);
        stranger.give_way(Sender::Stranger);
        let _new = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.take(1).await }
        });
        timeout(SHORT, stranger.claimed()).await.unwrap();
        drop(stranger);
        assert!(timeout(SHORT, known.claimed()).await.is_err());
    }

    #[tokio::test]
    async fn without_one_that_gives_way_it_waits() {
        let room = Room::new(1);
        let place = room.take(1).await.unwrap();
        place.give_way(Sender::Known);
        place.hold();
        let mut next = pin!(room.take(1));
        assert!(timeout(SHORT, &mut next).await.is_err());
        place.give_way(Sender::Known);
        assert!(timeout(SHORT, &mut next).await.is_err());
        timeout(SHORT, place.claimed()).await.unwrap();
        drop(place);
        assert!(timeout(SHORT, next).await.is_ok());
    }
}
