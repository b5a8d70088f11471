//! Reading packed events.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::codec::Reader;
use crate::formats;
use crate::packed::SHAPES;
use crate::packed::record::record;
use crate::packed::shape::ShapeId;
use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::EventId;

/// What packed bytes say of an event without its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedHead {
    /// As in [`crate::NewEvent::digest`].
    pub digest: Digest,
    /// What [`crate::Packer::pack`] was given. A request whose put is refused knows its own earlier attempt by this.
    pub put_by: u64,
}

/// Why packed bytes can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadableEvent {
    /// The shape that the event refers to is not stored.
    NoShape(ShapeId),
    /// The bytes or the key are not what this version or an earlier one wrote.
    Damaged,
}

impl fmt::Display for UnreadableEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShape(id) => write!(f, "the event cannot be read: its names are missing, item {id}"),
            Self::Damaged => f.write_str("the event cannot be read: its item is damaged"),
        }
    }
}

impl std::error::Error for UnreadableEvent {}

/// Reads packed events. It keeps shapes in mind, so a process should have only one.
#[derive(Clone, Debug, Default)]
pub struct Unpacker {
    shapes: BTreeMap<ShapeId, Vec<u8>>,
}

impl PackedHead {
    /// Reads the head of packed bytes.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn of(packed: &[u8]) -> Result<Self, UnreadableEvent> {
        Packed::read(packed).map(|packed| packed.head).ok_or(UnreadableEvent::Damaged)
    }
}

impl Unpacker {
    /// The shapes that must be read before these events. Read them consistently, and call [`Unpacker::learn`] for each
    /// that is there.
    pub fn unknown<'e>(&mut self, packed: impl IntoIterator<Item = &'e [u8]>) -> BTreeSet<ShapeId> {
        if self.shapes.len() > SHAPES {
            self.shapes.clear();
        }
        let of_shape = |packed: &'e [u8]| match Packed::read(packed)?.form {
            Form::OfShape(id, _) => Some(id).filter(|id| !self.shapes.contains_key(id)),
            Form::WithShape(..) | Form::Text(_) => None,
        };
        packed.into_iter().filter_map(of_shape).collect()
    }

    /// Takes in a stored shape. Other bytes than those that the id was made of are ignored.
    pub fn learn(&mut self, id: ShapeId, shape: Vec<u8>) {
        if ShapeId::of(&shape) == id {
            self.shapes.insert(id, shape);
        }
    }

    /// The [`crate::NewEvent::record`] of the event with this id, from its packed bytes.
    ///
    /// # Errors
    /// The bytes are damaged, or their shape is not known.
    pub fn record(&self, id: &str, packed: &[u8]) -> Result<String, UnreadableEvent> {
        let (Ok(id), Some(packed)) = (id.parse::<EventId>(), Packed::read(packed)) else {
            return Err(UnreadableEvent::Damaged);
        };
        let record = match packed.form {
            Form::OfShape(shape, values) => {
                let shape = self.shapes.get(&shape).ok_or(UnreadableEvent::NoShape(shape))?;
                record(id, shape, values)
            }
            Form::WithShape(shape, values) => record(id, shape, values),
            Form::Text(record) => Some(record.to_owned()),
        };
        record.ok_or(UnreadableEvent::Damaged)
    }
}

/// Packed bytes, cut into their parts.
struct Packed<'a> {
    head: PackedHead,
    form: Form<'a>,
}

enum Form<'a> {
    OfShape(ShapeId, &'a [u8]),
    WithShape(&'a [u8], &'a [u8]),
    Text(&'a str),
}

impl<'a> Packed<'a> {
    fn read(packed: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(packed);
        let version = reader.byte()?;
        let digest = Digest::from_bytes(*reader.take(16)?.first_chunk()?);
        let put_by = u64::from_be_bytes(*reader.take(8)?.first_chunk()?);
        let form = match version {
            formats::EVENT_OF_SHAPE => Form::OfShape(ShapeId::from_bytes(*reader.take(8)?.first_chunk()?), reader.0),
            formats::EVENT_WITH_SHAPE => Form::WithShape(reader.bytes()?, reader.0),
            formats::EVENT_AS_TEXT => Form::Text(std::str::from_utf8(reader.0).ok()?),
            _ => return None,
        };
        Some(Self { head: PackedHead { digest, put_by }, form })
    }
}
