//! Turns batches of an SQS queue into core's requests, and the results into the answer for the event source mapping.
//!
//! A message is the body of a `POST`. Message attributes carry the path, the headers that core reads, and as `key`
//! the id of the key that the gateway's authoriser found; the integration of API Gateway with SQS sends them so. A
//! message without the attribute `path` is one event. Messages from before keys had ids have `authorization` and no
//! `key`.

use anyhow::{Context as _, Result, bail};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use isotherm_core::{Admission, Delivery, Millis, Plan, Request, Service, Stamp};
use tokio::time::Instant;

use crate::failure::InvalidEvent;
use crate::request::known;
use crate::store::Store;
use crate::watch;

/// Takes messages in one after another, and answers which ones to deliver again. A refused message comes again too,
/// until the queue moves it to its dead-letter queue.
pub(crate) async fn drain(
    service: &Service,
    store: &Store,
    batch: SqsEvent,
    deadline: Instant,
) -> Result<SqsBatchResponse> {
    let mut answer = SqsBatchResponse::default();
    for message in batch.records {
        let SqsMessage { message_id: Some(id), body: Some(body), attributes, message_attributes, .. } = message else {
            bail!(InvalidEvent(NO_MESSAGE));
        };
        let attribute = |name: &str| {
            let all = message_attributes.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
            all.filter_map(|(sent, value)| Some((sent, value.string_value.as_deref()?))).min().map(|(_, value)| value)
        };
        // The message's own id and time: they are the same at every delivery.
        let sent_at = Millis(attributes.get("SentTimestamp").context(InvalidEvent(NO_MESSAGE))?.parse()?);
        let stamp = Stamp::of_message(&id, sent_at);
        let (path, headers) =
            (attribute("path").unwrap_or("/events"), known(|name| attribute(name).map(str::to_owned)));
        let request = Request { method: "POST", path, query: "", headers: &headers, body: body.as_bytes() };
        let (key, began) = (attribute("key"), Instant::now());
        let answered = match service.admit_message(&request, key, stamp) {
            Admission::Plan(Plan::Store(plan)) => {
                let outcomes = store.keep(&plan, stamp.entropy, deadline).await;
                Ok(plan.respond(outcomes))
            }
            Admission::Reply(reply) => Ok(reply),
            other => Err(other.undeliverable()),
        };
        let delivery = answered.map_or_else(
            |undeliverable| undeliverable,
            |reply| {
                let delivery = reply.delivery();
                watch::delivered(service, &request, key, stamp, reply, began);
                delivery
            },
        );
        match delivery {
            Delivery::Done => continue,
            Delivery::Retry => {}
            Delivery::Rejected(reason) => eprintln!("message {id} is refused: {reason}"),
        }
        answer.add_failure(id);
    }
    Ok(answer)
}

const NO_MESSAGE: &str = "the event is no batch of an SQS queue: it has a message without id, body or time";
