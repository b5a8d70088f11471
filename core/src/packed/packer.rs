//! Packing events, and deciding which shapes to store.

use std::collections::BTreeMap;

use crate::codec::Writer;
use crate::formats;
use crate::packed::SHAPES;
use crate::packed::record::{Parts, record};
use crate::packed::shape::{SHAPE_BYTES, ShapeId, StoredShape};
use crate::store::new_event::NewEvent;
use crate::vocabulary::time::Seconds;

/// How much longer than its event a stored shape must last. SQS may deliver an event 14 days after it was received.
/// With a short retention the event has then expired before it is stored, but it must still be folded, and its shape
/// read.
const LATE: Seconds = Seconds(15 * 24 * 60 * 60);

/// Packs events. It keeps in mind which shapes are stored, so a process should have only one.
#[derive(Clone, Debug, Default)]
pub struct Packer {
    /// The shapes that were seen last.
    shapes: BTreeMap<Vec<u8>, Seen>,
    /// The number of events seen.
    clock: u64,
}

/// A shape that was seen once or more often.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: ShapeId,
    last_at: u64,
    /// When the stored shape expires; `None` if it is not known to be stored.
    stored_until: Option<Seconds>,
}

impl Seen {
    /// True if the stored shape lasts longer than an event, even a late one.
    fn outlives(&self, event: &NewEvent) -> bool {
        self.stored_until.is_some_and(|until| until.0 > event.expires_at.0.saturating_add(LATE.0))
    }
}

impl Packer {
    /// Looks at new events. Returns the shapes to store, before these events or beside them: those that were seen
    /// before and are not stored, or expire too early.
    pub fn shapes(&mut self, events: &[NewEvent]) -> Vec<StoredShape> {
        let mut to_store: BTreeMap<ShapeId, StoredShape> = BTreeMap::new();
        for event in events {
            let shape = Parts::of(&event.record).map(|parts| parts.shape());
            let Some(shape) = shape.filter(|shape| shape.len() <= SHAPE_BYTES) else { continue };
            self.clock += 1;
            match self.shapes.get_mut(&shape) {
                Some(seen) => {
                    seen.last_at = self.clock;
                    if !seen.outlives(event) {
                        to_store.insert(seen.id, StoredShape::new(seen.id, &shape, event.expires_at));
                    }
                }
                None => self.see(shape),
            }
        }
        to_store.into_values().collect()
    }

    /// Notes a new shape. If there is no room, it replaces the shape that was seen longest ago.
    fn see(&mut self, shape: Vec<u8>) {
        if self.shapes.len() >= SHAPES {
            let oldest = self.shapes.iter().min_by_key(|(_, seen)| seen.last_at);
            if let Some(oldest) = oldest.map(|(shape, _)| shape.clone()) {
                self.shapes.remove(&oldest);
            }
        }
        let seen = Seen { id: ShapeId::of(&shape), last_at: self.clock, stored_until: None };
        self.shapes.insert(shape, seen);
    }

    /// Call this once a shape of [`Packer::shapes`] is stored.
    pub fn is_stored(&mut self, shape: &StoredShape) {
        if let Some(seen) = self.shapes.get_mut(&shape.bytes) {
            seen.stored_until = Some(shape.expires_at);
        }
    }

    /// The bytes to store for an event. `put_by` is some random bits of the request that stores it, see
    /// [`crate::PackedHead::put_by`].
    pub fn pack(&self, event: &NewEvent, put_by: u64) -> Vec<u8> {
        let head = |version: u8| {
            let mut bytes = Vec::with_capacity(256);
            bytes.push(version);
            bytes.extend_from_slice(&event.digest.to_bytes());
            bytes.extend_from_slice(&put_by.to_be_bytes());
            Writer(bytes)
        };
        let Some((shape, values)) = split(event) else {
            let mut packed = head(formats::EVENT_AS_TEXT);
            packed.0.extend_from_slice(event.record.as_bytes());
            return packed.0;
        };
        let mut packed = match self.shapes.get(&shape).filter(|seen| seen.outlives(event)) {
            Some(Seen { id, .. }) => {
                let mut packed = head(formats::EVENT_OF_SHAPE);
                packed.0.extend_from_slice(&id.to_bytes());
                packed
            }
            None => {
                let mut packed = head(formats::EVENT_WITH_SHAPE);
                packed.bytes(&shape);
                packed
            }
        };
        packed.0.extend_from_slice(&values);
        packed.0
    }
}

/// The shape and the values of an event. `None` if they don't give its record back byte for byte. The check takes a
/// microsecond. It turns a packing bug into larger storage instead of a lost event.
fn split(event: &NewEvent) -> Option<(Vec<u8>, Vec<u8>)> {
    let parts = Parts::of(&event.record)?;
    let (shape, mut values) = (parts.shape(), Writer::default());
    parts.write_values(event, &mut values);
    (record(event.id, &shape, &values.0)? == event.record).then_some((shape, values.0))
}
