//! DynamoDB's table of events: conditional writes of single items, a TTL that deletes days late, and a stream of all
//! changes.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use isotherm_core::{Digest, EventId, Millis, NewEvent, Seconds};

use crate::stream::{Image, Stream};
use crate::world::World;

/// The table, with its stream.
pub(crate) struct Table {
    world: Rc<World>,
    items: BTreeMap<String, Item>,
    expiries: BTreeSet<(Seconds, String)>,
    pub(crate) stream: Stream,
}

/// An item of the table.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) expires_at: Seconds,
    /// `None` for a pulse, or for an item that somebody else has written.
    pub(crate) event: Option<StoredEvent>,
}

#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub(crate) digest: Digest,
    pub(crate) record: Rc<str>,
    /// The request that put the item.
    pub(crate) put_by: u128,
}

impl Table {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        Self { world: Rc::clone(world), items: BTreeMap::new(), expiries: BTreeSet::new(), stream: Stream::new(world) }
    }

    pub(crate) fn key(tenant: &str, id: EventId) -> String {
        format!("{tenant}#{id}")
    }

    /// `PutItem` of an event, unless its key is taken.
    ///
    /// # Errors
    /// The item that already has the key.
    pub(crate) fn put_new(&mut self, tenant: &str, event: &NewEvent, put_by: u128) -> Result<(), Item> {
        let key = Self::key(tenant, event.id);
        if let Some(item) = self.items.get(&key) {
            return Err(item.clone());
        }
        if let Err(twice) = self.world.truth.borrow_mut().keep(tenant, event, self.world.now()) {
            self.world.violated(twice);
        }
        self.world.figures.borrow_mut().events += 1;
        let NewEvent { digest, expires_at, record, .. } = event.clone();
        let event = StoredEvent { digest, record: record.into(), put_by };
        self.put(key, Item { expires_at, event: Some(event) });
        Ok(())
    }

    /// `PutItem` without a condition.
    pub(crate) fn put(&mut self, key: String, item: Item) {
        let image = Image { record: item.event.as_ref().map(|event| Rc::clone(&event.record)) };
        self.expiries.insert((item.expires_at, key.clone()));
        let was = self.items.insert(key.clone(), item);
        if let Some(was) = &was {
            self.expiries.remove(&(was.expires_at, key.clone()));
            let expires_at = self.items.get(&key).map_or(Seconds(0), |item| item.expires_at);
            self.expiries.insert((expires_at, key.clone()));
        }
        self.stream.write(key, Some(image), was.is_none());
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Item> {
        self.items.get(key)
    }

    /// `DeleteItem` if the item has expired by then.
    pub(crate) fn delete_expired(&mut self, key: &str, by: Seconds) {
        let Some(item) = self.items.get(key).filter(|item| item.expires_at <= by) else { return };
        self.expiries.remove(&(item.expires_at, key.to_owned()));
        if item.event.is_some() {
            self.world.figures.borrow_mut().deleted += 1;
        }
        self.items.remove(key);
        self.stream.write(key.to_owned(), None, false);
    }

    /// Deletes some expired items, as the TTL does.
    pub(crate) fn expire(&mut self, now: Millis) {
        let until = (Seconds(now.0 / 1000), String::new());
        let expired: Vec<_> = self.expiries.range(..until).filter(|_| self.world.one_in(30)).cloned().collect();
        expired.iter().for_each(|(expires_at, key)| self.delete_expired(key, *expires_at));
    }
}
