//! From core's reply to the answer that API Gateway and Function URLs understand.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::Reply;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::request::Payload;
use crate::stream::BatchAnswer;

/// What an invocation answers.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// To a warming ping: core's JSON as it is.
    Warm(&'static RawValue),
    /// To an HTTP request.
    Http(Http),
    /// To a batch of a stream or of a queue.
    Batch(BatchAnswer),
    /// To the schedule.
    Done(()),
}

/// The answer to an HTTP request, in the shape of its payload.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Http {
    status_code: u16,
    #[serde(flatten)]
    headers: Headers,
    body: String,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", untagged)]
enum Headers {
    V2 {
        headers: BTreeMap<&'static str, String>,
        /// None ever; cargo-lambda's emulator takes no answer without the field.
        cookies: [String; 0],
    },
    V1 {
        multi_value_headers: BTreeMap<&'static str, [String; 1]>,
    },
}

impl Answer {
    /// The answer to a request that came as `payload`.
    pub(crate) fn http(reply: Reply, payload: Payload) -> Self {
        let Reply { status, headers, body } = reply;
        let (body, is_base64_encoded) = match String::from_utf8(body) {
            Ok(text) => (text, false),
            Err(binary) => (STANDARD.encode(binary.as_bytes()), true),
        };
        let headers = match payload {
            Payload::V2 => Headers::V2 { headers: headers.into_iter().collect(), cookies: [] },
            Payload::V1 => {
                Headers::V1 { multi_value_headers: headers.into_iter().map(|(name, value)| (name, [value])).collect() }
            }
        };
        Self::Http(Http { status_code: status, headers, body, is_base64_encoded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: Payload, body: &[u8], expected: &str) {
        let reply = Reply { status: 202, headers: vec![("content-type", "a/b".to_owned())], body: body.to_vec() };
        assert_eq!(serde_json::to_string(&Answer::http(reply, payload)).unwrap(), expected);
    }

    #[test]
    fn an_answer_has_the_shape_of_its_payload() {
        check(
            Payload::V2,
            b"{\"\"}",
            r#"{"statusCode":202,"headers":{"content-type":"a/b"},"cookies":[],"body":"{\"\"}","isBase64Encoded":false}"#,
        );
        check(
            Payload::V1,
            b"\xff\x00",
            r#"{"statusCode":202,"multiValueHeaders":{"content-type":["a/b"]},"body":"/wA=","isBase64Encoded":true}"#,
        );
    }
}
