//! OTLP's answers to log records (`ExportLogsServiceResponse`).

use serde::Serialize;

use crate::vocabulary::facts::Facts;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;

/// The answer as JSON: how many records were rejected, and why the first one was. Integers of 64 bits are texts in it.
pub(crate) fn json(rejected: usize, first: Option<&Rejection>) -> Vec<u8> {
    #[derive(Default, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct PartialSuccess {
        #[serde(skip_serializing_if = "Option::is_none")]
        rejected_log_records: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_message: Option<String>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        partial_success: PartialSuccess,
    }
    let partial_success = first.map_or_else(PartialSuccess::default, |first| PartialSuccess {
        rejected_log_records: Some(rejected.to_string()),
        error_message: Some(first.message()),
    });
    // Only maps with keys other than strings and failing `Serialize` impls can fail, and core has neither.
    serde_json::to_vec(&Body { partial_success }).unwrap_or_default()
}

/// The same in Protocol Buffers.
pub(crate) fn protobuf(rejected: usize, first: Option<&Rejection>) -> Reply {
    let mut body = Vec::new();
    if let Some(first) = first {
        let mut partial = vec![1 << 3]; // rejected_log_records, a varint
        varint(&mut partial, rejected as u64);
        field(&mut partial, 2, first.message().as_bytes()); // error_message
        field(&mut body, 1, &partial); // partial_success
    }
    Reply {
        status: 200,
        headers: vec![("content-type", "application/x-protobuf".to_owned())],
        body,
        facts: Facts::default(),
    }
}

fn field(into: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    into.push(number << 3 | 2);
    varint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
