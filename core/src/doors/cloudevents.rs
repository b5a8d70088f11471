//! CloudEvents 1.0 over HTTP: binary, structured and in batches.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::admission::body;
use crate::admission::foreign::Foreign;
use crate::admission::json::Value;
use crate::admission::request::Request;
use crate::doors::parts::{self, Members, object, take, take_id};
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::Rejection;

/// The content type of one event.
pub(crate) const STRUCTURED: &str = "application/cloudevents+json";
/// The content type of a batch.
pub(crate) const BATCHED: &str = "application/cloudevents-batch+json";
/// The attributes in headers of the binary mode, and their headers. A host passes no other headers to core.
const ATTRIBUTES: [(&str, &str); 7] = [
    ("dataschema", "ce-dataschema"),
    ("id", "ce-id"),
    ("source", "ce-source"),
    ("specversion", "ce-specversion"),
    ("subject", "ce-subject"),
    ("time", "ce-time"),
    ("type", "ce-type"),
];
/// Attributes that become properties. `datacontenttype` says only how data is written.
const KEPT: [&str; 3] = ["source", "subject", "dataschema"];
/// The version of the specification.
const VERSION: &str = "1.0";
/// The attributes that an event must have: texts that are not empty.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// A request in binary mode as the JSON of the same event.
pub(crate) fn of_binary(head: &Request<'_>, essence: &str, body: &[u8]) -> Result<String, Rejection> {
    let mut members: Vec<String> = Vec::new();
    for (name, header) in ATTRIBUTES {
        if let Some(value) = head.header(header) {
            members.push(format!("{}:{}", quoted(name), quoted(&unescaped(value))));
        }
    }
    let is_json = essence == "application/json" || essence.ends_with("+json");
    match std::str::from_utf8(body::without_byte_order_mark(body)) {
        Ok("") => {}
        Ok(text) if is_json => {
            // Only one whole JSON text may stand in an object.
            let text = serde_json::from_str::<&RawValue>(text);
            let text = text.map_err(|error| Rejection::InvalidJson(error.to_string()))?;
            members.push(format!(r#""data":{}"#, text.get()));
        }
        Ok(text) => members.push(format!(r#""data":{}"#, quoted(text))),
        Err(_) => members.push(format!(r#""data_base64":"{}""#, STANDARD.encode(body))),
    }
    Ok(format!("{{{}}}", members.join(",")))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A header's value with its escapes undone: values of attributes are UTF-8 in percent-encoding.
fn unescaped(value: &str) -> String {
    // `+` stands for itself in a header.
    let query = format!("v={}", value.replace('+', "%2B").replace('&', "%26").replace(';', "%3B"));
    form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The events of a batch.
pub(crate) fn batch(text: &str) -> Result<Vec<Result<Foreign<'_>, Rejection>>, Rejection> {
    Ok(parts::batch(text, "a batch of CloudEvents is an array")?.into_iter().map(event).collect())
}

/// One event.
pub(crate) fn event(text: &str) -> Result<Foreign<'_>, Rejection> {
    let mut members = object(text)?;
    for name in REQUIRED {
        let is_valid = |text: &str| if name == "specversion" { text == VERSION } else { !text.is_empty() };
        if !matches!(find(&members, name), Some(Value::String(text)) if is_valid(&text)) {
            return Err(Rejection::MissingAttribute(name));
        }
    }
    let _version = take(&mut members, "specversion");
    let (id, event_type) = (take_id(&mut members, "id"), take(&mut members, "type"));
    let timestamp = take(&mut members, "time");
    let (data, binary) = (take(&mut members, "data"), take(&mut members, "data_base64"));
    let mut properties = match data {
        Some(Value::Object(members)) => members,
        Some(other) => vec![(Cow::Borrowed("data"), other)],
        None => Members::new(),
    };
    properties.extend(binary.map(|binary| (Cow::Borrowed("data_base64"), binary)));
    let (source, subject) = (find(&members, "source"), find(&members, "subject"));
    // An id is unique within its source.
    let message_id = match (&source, &id) {
        (Some(Value::String(source)), Some(Value::String(id))) => Some(name_of(source, id)),
        _ => None,
    };
    // Who did it stands in the data, if anywhere. The subject and the source say what it was done to.
    let user_id = take_id(&mut properties, "userId").or(subject).or(source);
    for name in KEPT {
        if let Some(value) = take(&mut members, name) {
            properties.push((Cow::Borrowed(name), value));
        }
    }
    Ok(Foreign { user_id, event_type, message_id, properties, timestamp, sent_at: None, ago: None })
}

fn find<'a>(members: &Members<'a>, name: &str) -> Option<Value<'a>> {
    members.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// The messageId of an event: its source and id, or their hash if they are too long. A `#` in the source is escaped, so
/// that no two events have one name.
fn name_of(source: &str, id: &str) -> Value<'static> {
    let is_plain = !["#", "%23", "%25"].iter().any(|part| source.contains(part));
    let name = match is_plain {
        true => format!("{source}#{id}"),
        false => format!("{}#{id}", source.replace('%', "%25").replace('#', "%23")),
    };
    Value::String(Cow::Owned(if name.len() <= Limits::CONTRACT.name_bytes {
        name
    } else {
        Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }))
}
