//! Room for so much. When it is full, who has been slow for longest makes room for who comes.
//!
//! Connections have places in it while they wait for a request, and bodies while they are read. Whoever is quick is young, and safe;
//! whoever sends nothing, or a byte now and then, keeps nobody out, however many there are.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// While nobody gives way: when to look again.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// What there is.
pub(crate) struct Room {
    free: Arc<Semaphore>,
    /// Those that give way, the oldest first.
    slow: Mutex<BTreeMap<u64, Arc<Notify>>>,
    next_turn: AtomicU64,
}

/// A part of it, until this is dropped.
pub(crate) struct Place {
    room: Arc<Room>,
    turn: Mutex<Option<u64>>,
    claimed: Arc<Notify>,
    _part: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, slow: Mutex::default(), next_turn: AtomicU64::default() })
    }

    /// Takes `part` of it, and claims the places of others where that is needed. `None`: never, for the room has been closed.
    pub(crate) async fn take(self: &Arc<Self>, part: u32) -> Option<Place> {
        let place =
            |part| Place { room: Arc::clone(self), turn: Mutex::default(), claimed: Arc::default(), _part: part };
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

    fn slow(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// From now on it may be claimed.
    pub(crate) fn give_way(&self) {
        let turn = self.room.next_turn.fetch_add(1, Ordering::Relaxed);
        let former = self.turn().replace(turn);
        let mut slow = self.room.slow();
        former.map(|former| slow.remove(&former));
        slow.insert(turn, Arc::clone(&self.claimed));
    }

    /// From now on it may not.
    pub(crate) fn hold(&self) {
        if let Some(turn) = self.turn().take() {
            self.room.slow().remove(&turn);
        }
    }

    /// Is done when it is claimed: then it is to be dropped.
    pub(crate) async fn claimed(&self) {
        self.claimed.notified().await;
    }

    fn turn(&self) -> MutexGuard<'_, Option<u64>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
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
        old.give_way();
        young.give_way();
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
    async fn without_one_that_gives_way_it_waits() {
        let room = Room::new(1);
        let place = room.take(1).await.unwrap();
        place.give_way();
        place.hold();
        let mut next = pin!(room.take(1));
        assert!(timeout(SHORT, &mut next).await.is_err());
        place.give_way();
        assert!(timeout(SHORT, &mut next).await.is_err());
        timeout(SHORT, place.claimed()).await.unwrap();
        drop(place);
        assert!(timeout(SHORT, next).await.is_ok());
    }
}
