//! SQS's protocol on this machine, as far as functions and API Gateway use it: `SendMessage` in JSON.

use std::collections::BTreeMap;
use std::convert::Infallible;

use anyhow::Result;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::environment::{ACCOUNT, uuid};
use super::queues::{NewMessage, Queues, md5};
use crate::server::{Server, free_port};

use crate::lines::log;

/// The largest request in bytes: a message, and the overhead of JSON.
const REQUEST_BYTES: usize = 8 * 1024 * 1024;

/// Serves the queues.
pub(crate) async fn start(queues: Queues) -> Result<Server> {
    let answer = move |request| {
        let queues = queues.clone();
        async move { Ok::<_, Infallible>(answer(&queues, request).await) }
    };
    Server::start(free_port().await?, service_fn(answer))
}

/// The URL of a queue at this endpoint.
pub(crate) fn url(endpoint: &str, queue: &str) -> String {
    format!("{endpoint}/{ACCOUNT}/{queue}")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: String,
    message_body: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, MessageAttribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MessageAttribute {
    string_value: String,
}

async fn answer(queues: &Queues, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let target = request.headers().get("x-amz-target").cloned();
    if target.is_none_or(|target| target != "AmazonSQS.SendMessage") {
        return refusal("UnsupportedOperation", "this queue only takes SendMessage, in JSON");
    }
    let Ok(body) = Limited::new(request.into_body(), REQUEST_BYTES).collect().await else {
        return refusal("InvalidParameterValue", "the request is too large, or broke off");
    };
    let SendMessage { queue_url, message_body, message_attributes } = match serde_json::from_slice(&body.to_bytes()) {
        Ok(send) => send,
        Err(error) => return refusal("InvalidParameterValue", &error.to_string()),
    };
    let Some(queue) = Queues::named(queue_url.rsplit('/').next().unwrap_or_default()) else {
        return refusal("QueueDoesNotExist", "there is no such queue");
    };
    let attributes = message_attributes.into_iter().map(|(name, value)| (name, value.string_value)).collect();
    send(queues, queue, NewMessage { body: message_body, attributes }, |body| body).await
}

/// The direct integration of API Gateway, `SQS-SendMessage`. Its answer wraps SQS's answer in an envelope.
pub(crate) async fn integrate(queues: &Queues, queue: &'static str, message: NewMessage) -> Response<Full<Bytes>> {
    let in_envelope = |result| {
        let metadata = json!({ "RequestId": uuid() });
        json!({ "SendMessageResponse": { "SendMessageResult": result, "ResponseMetadata": metadata } })
    };
    send(queues, queue, message, in_envelope).await
}

async fn send(
    queues: &Queues,
    queue: &'static str,
    message: NewMessage,
    shape: impl FnOnce(Value) -> Value,
) -> Response<Full<Bytes>> {
    let md5 = md5(&message.body);
    match queues.send(queue, message).await {
        Ok(Some(id)) => json_of(StatusCode::OK, shape(json!({ "MessageId": id, "MD5OfMessageBody": md5 }))),
        Ok(None) => refusal("InvalidParameterValue", "a message must have 1 character to 1 MiB"),
        Err(error) => {
            log!("SQS: {error:#}");
            json_of(StatusCode::INTERNAL_SERVER_ERROR, json!({ "__type": "com.amazonaws.sqs#InternalError" }))
        }
    }
}

/// An error that the client must fix.
pub(crate) fn refusal(code: &str, message: &str) -> Response<Full<Bytes>> {
    json_of(StatusCode::BAD_REQUEST, json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": message }))
}

fn json_of(status: StatusCode, body: Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/x-amz-json-1.0"));
    response
}
