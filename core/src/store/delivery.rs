//! Messages of queues. Queues deliver at least once; an event that is delivered twice is kept once.

use sha2::{Digest as _, Sha256};

use crate::store::plan::Admission;
use crate::vocabulary::digest::first_128_bits;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::time::{Millis, Stamp};

/// What to do with a message.
#[must_use = "a message that is neither done nor delivered again is lost"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All events of the message are kept, so the queue may delete it.
    Done,
    /// The store did not keep every event: deliver the message again.
    Retry,
    /// Some of the message can never be kept, for this reason: put it into the dead-letter queue. The reason goes to a
    /// log, so it quotes nothing of the message.
    Rejected(String),
}

impl Stamp {
    /// The stamp of a message. It is the same at every delivery, so the events get the same ids.
    pub fn of_message(message_id: &str, sent_at: Millis) -> Self {
        Self { received_at: sent_at, entropy: first_128_bits(&Sha256::digest(message_id)) }
    }
}

impl Reply {
    /// What to do with the message that was the request.
    pub fn delivery(&self) -> Delivery {
        match &self.facts.first_rejected {
            _ if self.facts.events.retry > 0 => Delivery::Retry,
            Some(rejected) => Delivery::Rejected(rejected.clone()),
            None if matches!(self.status, 429 | 500..) => Delivery::Retry,
            None if self.status >= 400 => Delivery::Rejected(self.facts.code.unwrap_or("unknown").to_owned()),
            None => Delivery::Done,
        }
    }
}

impl Admission {
    /// What to do with a message whose admission gave no [`crate::StorePlan`].
    pub fn undeliverable(self) -> Delivery {
        match self {
            Self::Reply(reply) => reply.delivery(),
            Self::Plan(_) => Delivery::Rejected("a message brings events, and this one asks for some".to_owned()),
        }
    }
}
