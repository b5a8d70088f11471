//! From core's reply to the answer that API Gateway and Function URLs understand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::Reply;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::request::Payload;

/// What an invocation answers.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// To a warming ping: core's JSON as it is.
    Warm(&'static RawValue),
    /// To an HTTP request.
    Http(Http),
}

/// The answer to an HTTP request, in the shape of its payload.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Http {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Single>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<Multiple>,
    body: String,
    is_base64_encoded: bool,
}

type Headers = Vec<(&'static str, String)>;

/// Payload 2.0: name to value.
struct Single(Headers);

impl Serialize for Single {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Payload 1.0: name to values.
struct Multiple(Headers);

impl Serialize for Multiple {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, [value])))
    }
}

impl Answer {
    /// The answer to a request that came as `payload`.
    pub(crate) fn http(reply: Reply, payload: Payload) -> Self {
        let Reply { status, headers, body } = reply;
        let (body, is_base64_encoded) = match String::from_utf8(body) {
            Ok(text) => (text, false),
            Err(binary) => (STANDARD.encode(binary.as_bytes()), true),
        };
        let (headers, multi_value_headers) = match payload {
            Payload::V2 => (Some(Single(headers)), None),
            Payload::V1 => (None, Some(Multiple(headers))),
        };
        Self::Http(Http { status_code: status, headers, multi_value_headers, body, is_base64_encoded })
    }
}
