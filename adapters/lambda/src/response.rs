//! Turns core's reply into the answer that API Gateway and Function URLs understand.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::Reply;
use serde::Serialize;

use crate::request::Payload;

/// The library's own type is not used: it has fields that payload 1.0 does not know.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    status_code: u16,
    headers: BTreeMap<&'static str, String>,
    /// Always empty. Payload 1.0 has no such field, and cargo-lambda's emulator rejects an answer of payload 2.0
    /// without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<[String; 0]>,
    body: String,
    is_base64_encoded: bool,
}

/// The answer to a request that came in the shape `payload`.
pub(crate) fn from_reply(reply: Reply, payload: Payload) -> Answer {
    let (body, is_base64_encoded) = match String::from_utf8(reply.body) {
        Ok(text) => (text, false),
        Err(binary) => (STANDARD.encode(binary.as_bytes()), true),
    };
    let cookies = (payload == Payload::V2).then_some([]);
    Answer { status_code: reply.status, headers: reply.headers.into_iter().collect(), cookies, body, is_base64_encoded }
}
