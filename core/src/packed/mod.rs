//! Events as few bytes, for stores that bill each byte: DynamoDB.
//!
//! ```text
//! NewEvent ─▶ Packer::pack ─▶ bytes ─▶ the host's store ─▶ bytes ─▶ Unpacker::record ─▶ record
//!               └─▶ shapes ─▶ the host's store ─▶ Unpacker::learn ──────┘
//! ```
//!
//! A record repeats what the key and the head of its event say, and the names of its properties, which most events of a
//! type have in common. Packed bytes leave out the former. The latter are a *shape*, which is stored once:
//!
//! ```text
//! event of a stored shape    1 · digest · put by · id of the shape · values
//! event with its own shape   2 · digest · put by · shape · values
//! event of any other form    3 · digest · put by · record
//! values                     received at · how much earlier it occurred · [messageId] · userId · each property's value
//! shape                      1 · whether events have a messageId · event type · names of the properties
//! ```
//!
//! A packer stores a shape once it has seen it twice, so names that are always new cost no writes. An event refers to a
//! shape only after the shape is stored, and the shape expires later than the event. Until then, and if the shape can't
//! be stored, events carry it themselves.

mod packer;
mod record;
mod shape;
mod unpacker;

pub use packer::Packer;
pub use shape::{ShapeId, StoredShape};
pub use unpacker::{PackedHead, Unpacker, UnreadableEvent};

pub(crate) use shape::SHAPE_KEY;

/// The most shapes that a packer keeps in mind, and that an unpacker keeps from one batch to the next.
const SHAPES: usize = 256;
