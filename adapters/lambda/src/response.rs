//! From core's reply to the answer that API Gateway and Function URLs understand, and what event source mappings do.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::Reply;
use lambda_runtime::Error;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::request::Payload;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    headers: BTreeMap<&'static str, String>,
    /// None ever. Payload 1.0 has no such field, and cargo-lambda's emulator takes no answer of payload 2.0 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<[String; 0]>,
    body: String,
    is_base64_encoded: bool,
}

/// The answer to a request that came as `payload`.
pub(crate) fn from_reply(reply: Reply, payload: Payload) -> Result<Box<RawValue>, Error> {
    let (body, is_base64_encoded) = match String::from_utf8(reply.body) {
        Ok(text) => (text, false),
        Err(binary) => (STANDARD.encode(binary.as_bytes()), true),
    };
    let cookies = (payload == Payload::V2).then_some([]);
    let headers = reply.headers.into_iter().collect();
    Ok(to_raw_value(&Answer { status_code: reply.status, headers, cookies, body, is_base64_encoded })?)
}

/// The answer to a batch of a stream or of a queue: what is to be delivered again.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchAnswer {
    /// Is handed to the next invocation of the window; there is nothing to hand over.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Box<RawValue>>,
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

impl BatchAnswer {
    /// What failed: of a stream the number of the first record that is not folded, of a queue the ids of messages.
    pub(crate) fn new(state: Option<&RawValue>, failed: impl IntoIterator<Item = String>) -> Self {
        let failure = |item_identifier| BatchItemFailure { item_identifier };
        Self { state: state.map(ToOwned::to_owned), batch_item_failures: failed.into_iter().map(failure).collect() }
    }
}
