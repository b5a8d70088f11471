//! The cases. Each is a function of the platform, and uses only events of its own.

pub mod access;
pub mod batches;
pub mod bodies;
pub mod bounds;
pub mod clients;
pub mod concurrency;
pub mod dashboard;
pub mod events;
pub mod lifetime;
pub mod limits;
pub mod moves;
pub mod reports;
pub mod routes;
pub mod sdks;
pub mod store;
pub mod watching;

use serde_json::{Value, json};

use crate::client::Answer;

/// An event that no other case sends.
pub(crate) fn named(message_id: &str) -> Value {
    json!({"messageId": message_id, "userId": "u", "eventType": "t", "properties": {"of": message_id}})
}

/// An event without a messageId.
pub(crate) fn unnamed() -> Value {
    json!({"userId": "u", "eventType": "t", "properties": {}})
}

#[track_caller]
pub(crate) fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.text("code").as_str()), (status, code), "{answer:?}");
}

/// The counts of a batch's answer: accepted, duplicate, invalid, retry.
#[track_caller]
pub(crate) fn counts(answer: &Answer) -> [u64; 4] {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    ["accepted", "duplicate", "invalid", "retry"].map(|name| body[name].as_u64().unwrap())
}
