//! The shapes of packed events: items of the table of events, which many events refer to.
//!
//! | attribute | type | |
//! | --- | --- | --- |
//! | `pk` | S | core's key, which no tenant has |
//! | `shape` | B | |
//! | `ttl` | N | seconds: long after the events that refer to it |

use std::pin::pin;
use std::sync::{MutexGuard, PoisonError};

use anyhow::Result;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use isotherm_core::{Packer, ShapeId, StoredShape, Unpacker};

use crate::aws::DYNAMODB;
use crate::put::{Put, SHAPE, Taken};
use crate::store::{CONCURRENCY, Store};

impl Store {
    /// Puts shapes. A put that fails is not made again: its events carry their shape themselves, and a later request
    /// puts it.
    pub(crate) async fn put_shapes(&self, shapes: Vec<StoredShape>) {
        let put = async |shape: StoredShape| (Put::of_shape(&self.table, &shape).attempt().await, shape);
        let mut all = pin!(stream::iter(shapes.into_iter().map(put)).buffer_unordered(CONCURRENCY));
        while let Some((put, shape)) = all.next().await {
            match put {
                Ok(None) => self.packer().is_stored(&shape),
                Ok(Some(Taken { is_same_shape: true, expires_at: Some(expires_at), .. })) => {
                    self.packer().is_stored(&StoredShape { expires_at, ..shape });
                }
                other => eprintln!("{} is not put: {other:?}", shape.id),
            }
        }
    }

    /// Reads the shapes of packed events that this process does not know yet, with strongly consistent reads.
    pub(crate) async fn learn_shapes<'e>(&self, packed: impl IntoIterator<Item = &'e [u8]>) -> Result<()> {
        let unknown = self.unpacker().unknown(packed);
        let read = async |id: ShapeId| {
            let get = DYNAMODB.get_item().table_name(&self.table).key("pk", AttributeValue::S(id.to_string()));
            anyhow::Ok((id, get.consistent_read(true).send().await?.item))
        };
        let mut all = pin!(stream::iter(unknown.into_iter().map(read)).buffer_unordered(CONCURRENCY));
        while let Some((id, item)) = all.try_next().await? {
            // Core says of which events the shape is missing.
            if let Some(AttributeValue::B(shape)) = item.and_then(|mut item| item.remove(SHAPE)) {
                self.unpacker().learn(id, shape.into_inner());
            }
        }
        Ok(())
    }

    pub(crate) fn packer(&self) -> MutexGuard<'_, Packer> {
        self.packer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn unpacker(&self) -> MutexGuard<'_, Unpacker> {
        self.unpacker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
