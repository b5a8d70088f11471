//! OpenTelemetry's log records and events, by OTLP over HTTP (`ExportLogsServiceRequest`).

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::admission::foreign::Foreign;
use crate::admission::json::{Value, sort_by_name};
use crate::doors::parts::{Members, RawMembers, list, object, take};
use crate::vocabulary::rejection::Rejection;

const BODY: &str = r#"log records are {"resourceLogs":[…]}"#;
/// Attributes of a record that say who did it.
const USERS: [&str; 3] = ["user.id", "enduser.id", "session.id"];
/// Attributes of a resource that say it if the record does not.
const SERVICES: [&str; 2] = ["service.instance.id", "service.name"];
/// The type of a record that is no event.
const LOG: &str = "log";
const NANOS: u64 = 1_000_000;

/// The log records of a request. JSON has integers of 64 bits as texts.
pub(crate) fn events(text: &str) -> Result<Vec<Result<Foreign<'_>, Rejection>>, Rejection> {
    let mut events = Vec::new();
    let request = RawMembers::read(text, BODY)?;
    for part in items(&request, "resourceLogs")? {
        let part = RawMembers::read(part, BODY)?;
        let resource = part.get("resource").unwrap_or("{}");
        let of_resource = attributes(&mut object(resource)?);
        for part in items(&part, "scopeLogs")? {
            let part = RawMembers::read(part, BODY)?;
            let scope = part.get("scope").unwrap_or("{}");
            let scope_name = take(&mut object(scope)?, "name");
            for record in items(&part, "logRecords")? {
                let at = events.len();
                events.push(object(record).map(|members| {
                    // Records have no ids. A client that sends a request again sends the same bytes.
                    let hash = || {
                        let parts = Sha256::new().chain_update((resource.len() as u64).to_be_bytes());
                        let parts = parts.chain_update(resource).chain_update((scope.len() as u64).to_be_bytes());
                        let parts = parts.chain_update(scope).chain_update(at.to_string()).chain_update(record);
                        parts.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>()
                    };
                    event(members, &of_resource, scope_name.as_ref(), hash)
                }));
            }
        }
    }
    Ok(events)
}

/// The items of a member that is a list; none if it is missing, since Protocol Buffers leave out what is empty.
fn items<'a>(members: &RawMembers<'a>, name: &str) -> Result<Vec<&'a str>, Rejection> {
    members.get(name).map_or(Ok(Vec::new()), |text| list(text, BODY))
}

fn event<'a>(
    mut record: Members<'a>,
    of_resource: &Members<'a>,
    scope: Option<&Value<'a>>,
    hash: impl FnOnce() -> String,
) -> Foreign<'a> {
    let mut properties = attributes(&mut record);
    let user_id = USERS.iter().find_map(|name| text(find(&properties, name)));
    let user_id = user_id.or_else(|| SERVICES.iter().find_map(|name| text(find(of_resource, name))));
    let named = text(take(&mut record, "eventName").as_ref()).or_else(|| text(find(&properties, "event.name")));
    let uid = text(find(&properties, "log.record.uid"));
    let times =
        ["timeUnixNano", "observedTimeUnixNano"].map(|name| integer(take(&mut record, name)).filter(|ns| *ns > 0));
    let time = times.into_iter().flatten().next();
    properties.retain(|(name, _)| !matches!(name.as_ref(), "event.name" | "log.record.uid"));
    let mut keep = |name: &'static str, value: Option<Value<'a>>| {
        if let Some(value) = value {
            properties.push((Cow::Borrowed(name), value));
        }
    };
    keep("body", take(&mut record, "body").map(plain));
    keep("severity_text", text(take(&mut record, "severityText").as_ref()));
    keep("severity_number", take(&mut record, "severityNumber"));
    keep("service.name", find(of_resource, "service.name").cloned());
    keep("scope", text(scope));
    Foreign {
        user_id,
        event_type: named.or(Some(Value::String(Cow::Borrowed(LOG)))),
        message_id: uid.or_else(|| time.map(|_| Value::String(Cow::Owned(hash())))),
        properties,
        timestamp: time.map(|ns| Value::Unsigned(ns / NANOS)),
        sent_at: None,
        ago: None,
    }
}

fn find<'m, 'a>(members: &'m Members<'a>, name: &str) -> Option<&'m Value<'a>> {
    members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The value, if it is a text that is not empty.
fn text<'a>(value: Option<&Value<'a>>) -> Option<Value<'a>> {
    value.filter(|value| matches!(value, Value::String(text) if !text.is_empty())).cloned()
}

fn integer(value: Option<Value<'_>>) -> Option<u64> {
    match value? {
        Value::Unsigned(value) => Some(value),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The member `attributes`, which is a list of keys and values. Of a key that appears twice, the first one counts.
fn attributes<'a>(members: &mut Members<'a>) -> Members<'a> {
    match take(members, "attributes") {
        Some(Value::Array(pairs)) => pairs_of(pairs),
        _ => Members::new(),
    }
}

fn pairs_of(pairs: Vec<Value<'_>>) -> Members<'_> {
    let mut found = Members::new();
    for pair in pairs {
        let Value::Object(mut pair) = pair else { continue };
        if let Some(Value::String(key)) = take(&mut pair, "key") {
            found.push((key, take(&mut pair, "value").map_or(Value::Null, plain)));
        }
    }
    found
}

/// OTLP's `AnyValue` as plain JSON. `json::read` has bounded the depth.
fn plain(value: Value<'_>) -> Value<'_> {
    let Value::Object(mut members) = value else { return value };
    let Some((kind, value)) = members.pop() else { return Value::Null };
    match (kind.as_ref(), value) {
        ("intValue", Value::String(text)) => match text.parse() {
            Ok(value) => Value::Signed(value),
            Err(_) => Value::String(text),
        },
        ("arrayValue", Value::Object(mut list)) => match take(&mut list, "values") {
            Some(Value::Array(values)) => Value::Array(values.into_iter().map(plain).collect()),
            _ => Value::Array(Vec::new()),
        },
        ("kvlistValue", Value::Object(mut list)) => {
            let mut pairs = match take(&mut list, "values") {
                Some(Value::Array(pairs)) => pairs_of(pairs),
                _ => Members::new(),
            };
            sort_by_name(&mut pairs);
            pairs.dedup_by(|(next, _), (kept, _)| next == kept);
            Value::Object(pairs)
        }
        (_, value) => value,
    }
}
