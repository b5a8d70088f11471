//! Events that come through a queue. A message is a request that was written down.
//!
//! ```text
//! {"path": "/events", "key": "<a key's id>", "contentType": "application/json", "body": "…"}
//! ```
//!
//! `body` is text. The other fields are optional, except the id of a key where there are keys: whoever sends to the
//! queue vouches for it. Messages from before keys had ids have `"authorization": "Bearer …"` instead. A message is
//! acknowledged once all its events are kept. Any other message is delivered again. After as many deliveries as the
//! queue is configured for, it goes to the dead-letter queue.

use isotherm_core::{Admission, Delivery, Millis, Plan, Request, Service, Stamp};
use worker::js_sys::{JSON, Reflect};
use worker::wasm_bindgen::JsValue;
use worker::{Date, Env, MessageExt, RawMessage, console_error};

use crate::{store, watch};

/// The path of a message that names none.
const PATH: &str = "/events";

/// Delivers one message and tells the queue the outcome.
pub(crate) async fn take(env: &Env, service: &Service, message: RawMessage) {
    let delivery = match Message::read(&message.body()) {
        Ok(read) => deliver(env, service, &read, &message).await,
        Err(flaw) => Delivery::Rejected(flaw.to_owned()),
    };
    match delivery {
        Delivery::Done => message.ack(),
        Delivery::Retry => message.retry(),
        Delivery::Rejected(reason) => {
            console_error!("isotherm: message {} is refused: {reason}", message.id());
            // Retrying is the runtime's only way to the dead-letter queue.
            message.retry();
        }
    }
}

async fn deliver(env: &Env, service: &Service, read: &Message, message: &RawMessage) -> Delivery {
    let stamp = Stamp::of_message(&message.id(), Millis(message.timestamp().as_millis()));
    let (request, key, began) = (read.request(), read.key.as_deref(), Millis(Date::now().as_millis()));
    let reply = match service.admit_message(&request, key, stamp) {
        Admission::Plan(Plan::Store(plan)) => {
            let outcomes = store::store(env, service.shards(), &plan).await;
            plan.respond(outcomes)
        }
        Admission::Reply(reply) => reply,
        other => return other.undeliverable(),
    };
    let delivery = reply.delivery();
    watch::delivered(service, &request, key, stamp, reply, began);
    delivery
}

/// A message as its producer wrote it.
struct Message {
    path: Option<String>,
    key: Option<String>,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Message {
    /// Reads a message that was sent as text, or as JSON, which the runtime has parsed. The runtime's own errors quote
    /// the message.
    fn read(body: &JsValue) -> Result<Self, &'static str> {
        let parsed = match body.as_string() {
            Some(text) => JSON::parse(&text).map_err(|_quotes| "it is no JSON")?,
            None => body.clone(),
        };
        let member = |name: &str| {
            let member = Reflect::get(&parsed, &name.into()).map_err(|_quotes| "it is no object")?;
            Ok::<_, &str>(member.as_string())
        };
        let mut headers = Vec::new();
        for (name, header) in [("authorization", "authorization"), ("contentType", "content-type")] {
            headers.extend(member(name)?.map(|value| (header, value)));
        }
        Ok(Self { path: member("path")?, key: member("key")?, headers, body: member("body")?.unwrap_or_default() })
    }

    fn request(&self) -> Request<'_> {
        let path = self.path.as_deref().unwrap_or(PATH);
        Request { method: "POST", path, query: "", headers: &self.headers, body: self.body.as_bytes() }
    }
}
