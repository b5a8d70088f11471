//! From the batches of a queue in SQS to core's requests, and back to the answer of its event source mapping.
//!
//! A message is the body of a `POST`; what core reads of the headers, and the path, are message attributes, as the
//! integration of API Gateway with SQS sends them. Without the attribute `path` it is one event.

use std::borrow::Cow;
use std::collections::BTreeMap;

use isotherm_core::{Admission, Delivery, Millis, Plan, Request, Service, Stamp};
use serde::Deserialize;
use tokio::time::Instant;

use crate::request::{Text, known};
use crate::response::BatchAnswer;
use crate::store::Store;

/// Messages of one queue.
#[derive(Deserialize)]
pub(crate) struct Messages<'a> {
    #[serde(rename = "Records", borrow)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    body: Text<'a>,
    #[serde(borrow)]
    attributes: Attributes<'a>,
    #[serde(borrow, default)]
    message_attributes: BTreeMap<Text<'a>, MessageAttribute<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes<'a> {
    /// Milliseconds.
    #[serde(borrow)]
    sent_timestamp: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageAttribute<'a> {
    #[serde(borrow)]
    string_value: Option<Text<'a>>,
}

impl Message<'_> {
    fn attributes(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let attributes = self.message_attributes.iter();
        attributes.filter_map(|(name, value)| Some((&*name.0, &*value.string_value.as_ref()?.0)))
    }

    fn admit(&self, service: &Service, stamp: Stamp) -> Admission {
        let path = self.attributes().find_map(|(name, path)| (name == "path").then_some(path)).unwrap_or("/events");
        let (headers, body) = (&*known(self.attributes()), self.body.0.as_bytes());
        service.admit(&Request { method: "POST", path, query: "", headers, body }, stamp)
    }

    /// The same whenever it is delivered.
    fn stamp(&self) -> Stamp {
        // SQS sends a number.
        Stamp::of_message(&self.message_id, Millis(self.attributes.sent_timestamp.parse().unwrap_or_default()))
    }
}

/// Takes messages in one after the other, and answers which are to come again. One that is refused comes again too, until
/// the queue moves it to its dead-letter queue.
pub(crate) async fn drain(
    service: &Service,
    store: &Store,
    Messages { messages }: Messages<'_>,
    deadline: Instant,
) -> BatchAnswer {
    let mut failed = Vec::new();
    for message in messages {
        let stamp = message.stamp();
        let delivery = match message.admit(service, stamp) {
            Admission::Plan(Plan::Store(plan)) => {
                let outcomes = store.keep(plan.tenant(), plan.events(), stamp.entropy, deadline).await;
                plan.deliver(outcomes)
            }
            other => other.undeliverable(),
        };
        match delivery {
            Delivery::Done => continue,
            Delivery::Again => {}
            Delivery::Refused(reason) => eprintln!("message {} is refused: {reason}", message.message_id),
        }
        failed.push(message.message_id.into_owned());
    }
    BatchAnswer::new(None, failed)
}
