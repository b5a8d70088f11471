//! Messages of queues, which deliver at least once: what is delivered twice is kept once.

use sha2::{Digest as _, Sha256};

use crate::id::first_128_bits;
use crate::plan::Admission;
use crate::reply::Reply;
use crate::time::{Millis, Stamp};

/// What is to become of a message.
#[must_use = "a message that is neither done nor delivered again is lost"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All its events are kept: the queue may forget it.
    Done,
    /// The store did not take all of it: to be delivered again.
    Again,
    /// It never will be taken, or not all of it: for the dead-letter queue, and why.
    Refused(String),
}

impl Stamp {
    /// The stamp of a message: the same whenever it is delivered, so that its events get the same ids.
    pub fn of_message(message_id: &str, sent_at: Millis) -> Self {
        Self { received_at: sent_at, entropy: first_128_bits(&Sha256::digest(message_id)) }
    }
}

impl Admission {
    /// What is to become of a message whose admission came to no [`crate::StorePlan`].
    pub fn undeliverable(self) -> Delivery {
        match self {
            Self::Reply(Reply { status: 429 | 500.., .. }) => Delivery::Again,
            Self::Reply(Reply { body, .. }) => Delivery::Refused(String::from_utf8_lossy(&body).into_owned()),
            Self::Plan(_) => Delivery::Refused("a message brings events, and this one asks for some".to_owned()),
        }
    }
}
