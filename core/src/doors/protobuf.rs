//! Log records in Protocol Buffers, as the JSON that OTLP has for them. Only what [`crate::doors::otlp`] reads is kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::vocabulary::rejection::Rejection;

/// How a message's field is named in JSON, and what it is.
type Field = (u64, &'static str, Is);

/// What a field is.
#[derive(Clone, Copy)]
enum Is {
    Text,
    Bytes,
    /// A number, of fixed size or not. Integers of 64 bits are texts in JSON.
    Integer,
    Unsigned,
    Small,
    Bool,
    Double,
    Message(&'static [Field]),
    Messages(&'static [Field]),
}

static REQUEST: [Field; 1] = [(1, "resourceLogs", Is::Messages(&RESOURCE_LOGS))];
static RESOURCE_LOGS: [Field; 2] =
    [(1, "resource", Is::Message(&RESOURCE)), (2, "scopeLogs", Is::Messages(&SCOPE_LOGS))];
static RESOURCE: [Field; 1] = [(1, "attributes", Is::Messages(&KEY_VALUE))];
static SCOPE_LOGS: [Field; 2] = [(1, "scope", Is::Message(&SCOPE)), (2, "logRecords", Is::Messages(&LOG_RECORD))];
static SCOPE: [Field; 2] = [(1, "name", Is::Text), (2, "version", Is::Text)];
static LOG_RECORD: [Field; 7] = [
    (1, "timeUnixNano", Is::Unsigned),
    (2, "severityNumber", Is::Small),
    (3, "severityText", Is::Text),
    (5, "body", Is::Message(&ANY_VALUE)),
    (6, "attributes", Is::Messages(&KEY_VALUE)),
    (11, "observedTimeUnixNano", Is::Unsigned),
    (12, "eventName", Is::Text),
];
static KEY_VALUE: [Field; 2] = [(1, "key", Is::Text), (2, "value", Is::Message(&ANY_VALUE))];
static ANY_VALUE: [Field; 7] = [
    (1, "stringValue", Is::Text),
    (2, "boolValue", Is::Bool),
    (3, "intValue", Is::Integer),
    (4, "doubleValue", Is::Double),
    (5, "arrayValue", Is::Message(&ARRAY_VALUE)),
    (6, "kvlistValue", Is::Message(&KVLIST_VALUE)),
    (7, "bytesValue", Is::Bytes),
];
static ARRAY_VALUE: [Field; 1] = [(1, "values", Is::Messages(&ANY_VALUE))];
static KVLIST_VALUE: [Field; 1] = [(1, "values", Is::Messages(&KEY_VALUE))];

/// How deeply messages may be nested, as in the libraries for Protocol Buffers. A record that the contract finds too deep is
/// refused by itself, once it is JSON.
const DEPTH: usize = 100;

const BODY: &str = "log records are an ExportLogsServiceRequest in Protocol Buffers";

/// A request as JSON.
pub(crate) fn json(body: &[u8]) -> Result<String, Rejection> {
    let mut json = String::with_capacity(body.len() * 2);
    message(&mut json, body, &REQUEST, 1).ok_or(Rejection::InvalidDelivery(BODY))?;
    Ok(json)
}

/// A field's value as it is sent.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Writes a message as an object. `None` if it is none, or is nested too deeply.
fn message(json: &mut String, bytes: &[u8], fields: &[Field], depth: usize) -> Option<()> {
    if depth > DEPTH {
        return None;
    }
    json.push('{');
    let mut is_first = true;
    for (number, name, is) in fields {
        // Fields may come in any order, and lists in several places.
        let mut rest = bytes;
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (known, value) = next(&mut rest)?;
            if known == *number {
                found.push(value);
            }
        }
        let Some(last) = found.last() else { continue };
        if !std::mem::take(&mut is_first) {
            json.push(',');
        }
        json.push_str(&format!("\"{name}\":"));
        match is {
            Is::Messages(fields) => {
                json.push('[');
                for (at, value) in found.iter().enumerate() {
                    let Wire::Bytes(bytes) = value else { return None };
                    if at > 0 {
                        json.push(',');
                    }
                    message(json, bytes, fields, depth + 1)?;
                }
                json.push(']');
            }
            Is::Message(fields) => {
                let Wire::Bytes(bytes) = last else { return None };
                message(json, bytes, fields, depth + 1)?;
            }
            is => json.push_str(&scalar(*is, last)?),
        }
    }
    json.push('}');
    Some(())
}

fn scalar(is: Is, value: &Wire<'_>) -> Option<String> {
    Some(match (is, value) {
        (Is::Text, Wire::Bytes(bytes)) => serde_json::to_string(std::str::from_utf8(bytes).ok()?).ok()?,
        (Is::Bytes, Wire::Bytes(bytes)) => format!("\"{}\"", STANDARD.encode(bytes)),
        (Is::Integer, Wire::Number(number)) => format!("\"{}\"", *number as i64),
        (Is::Unsigned, Wire::Number(number)) => format!("\"{number}\""),
        (Is::Small, Wire::Number(number)) => number.to_string(),
        (Is::Bool, Wire::Number(number)) => (*number != 0).to_string(),
        (Is::Double, Wire::Number(bits)) => {
            let double = f64::from_bits(*bits);
            // JSON has no words for these, and OTLP has texts.
            if double.is_finite() { serde_json::to_string(&double).ok()? } else { format!("\"{double}\"") }
        }
        _ => return None,
    })
}

/// Takes a field off the start of a message: its number and its value.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Wire::Number(varint(rest)?),
        1 => {
            let (bytes, after) = rest.split_first_chunk::<8>()?;
            *rest = after;
            Wire::Number(u64::from_le_bytes(*bytes))
        }
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Wire::Bytes(bytes)
        }
        5 => {
            let (bytes, after) = rest.split_first_chunk::<4>()?;
            *rest = after;
            Wire::Number(u64::from(u32::from_le_bytes(*bytes)))
        }
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
