//! DynamoDB's table of events: conditional writes of single items, a TTL that deletes days late, and a stream of all
//! changes.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use isotherm_core::{EventId, Millis, NewEvent, Seconds, ShapeId, StoredShape, Unpacker, UnreadableEvent};

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
    pub(crate) content: Content,
}

/// The bytes of an item.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A packed event.
    Event(Rc<[u8]>),
    /// A shape of packed events.
    Shape(Rc<[u8]>),
    /// A pulse, or something that somebody else has written.
    Other,
}

impl Content {
    /// The packed event, if the item is one.
    pub(crate) fn event(&self) -> Option<&Rc<[u8]>> {
        match self {
            Self::Event(packed) => Some(packed),
            Self::Shape(_) | Self::Other => None,
        }
    }
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
    pub(crate) fn put_new(&mut self, tenant: &str, event: &NewEvent, packed: &Rc<[u8]>) -> Result<(), Item> {
        let key = Self::key(tenant, event.id);
        if let Some(item) = self.items.get(&key) {
            return Err(item.clone());
        }
        if let Err(twice) = self.world.truth.borrow_mut().keep(tenant, event, self.world.now()) {
            self.world.violated(twice);
        }
        self.world.figures.borrow_mut().events += 1;
        self.put(key, Item { expires_at: event.expires_at, content: Content::Event(Rc::clone(packed)) });
        Ok(())
    }

    /// `PutItem` of a shape, which lengthens its life at most. Returns what is stored then; `None` if its key has another
    /// shape.
    pub(crate) fn put_shape(&mut self, shape: &StoredShape) -> Option<StoredShape> {
        let key = shape.id.to_string();
        let mut expires_at = shape.expires_at;
        if let Some(item) = self.items.get(&key) {
            let is_same = matches!(&item.content, Content::Shape(stored) if **stored == *shape.bytes);
            expires_at = is_same.then(|| expires_at.max(item.expires_at))?;
        }
        let content = Content::Shape(shape.bytes.clone().into());
        self.put(key, Item { expires_at, content });
        Some(StoredShape { expires_at, ..shape.clone() })
    }

    /// A stored shape.
    pub(crate) fn shape(&self, id: ShapeId) -> Option<&[u8]> {
        match &self.items.get(&id.to_string())?.content {
            Content::Shape(shape) => Some(shape),
            Content::Event(_) | Content::Other => None,
        }
    }

    /// The record of a packed event, with the shapes that are stored now.
    pub(crate) fn record(&self, key: &str, packed: &[u8]) -> Result<String, UnreadableEvent> {
        let mut unpacker = Unpacker::default();
        for id in unpacker.unknown([packed]) {
            self.shape(id).into_iter().for_each(|shape| unpacker.learn(id, shape.to_vec()));
        }
        unpacker.record(key.split_once('#').map_or("", |(_, id)| id), packed)
    }

    /// `PutItem` without a condition.
    pub(crate) fn put(&mut self, key: String, item: Item) {
        let image = Image { event: item.content.event().cloned() };
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
        if item.content.event().is_some() {
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
