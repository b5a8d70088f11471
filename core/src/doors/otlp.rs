//! OpenTelemetry's log records and events, by OTLP over HTTP (`ExportLogsServiceRequest`).

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::admission::foreign::Foreign;
use crate::admission::json::{Value, sort_by_name};
use crate::doors::parts::{Members, RawMembers, list, object, take};
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::Rejection;

const BODY: &str = r#"log records are {"resourceLogs":[…]}"#;
const TOO_LONG: &str = "service.instance.id, service.name and the name of a scope are texts of at most 200 bytes";
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
        let hash = Sha256::new().chain_update((resource.len() as u64).to_be_bytes()).chain_update(resource);
        let resource = Resource::read(resource)?;
        for part in items(&part, "scopeLogs")? {
            let part = RawMembers::read(part, BODY)?;
            let scope = part.get("scope").unwrap_or("{}");
            let hash = hash.clone().chain_update((scope.len() as u64).to_be_bytes()).chain_update(scope);
            let scope = take(&mut object(scope)?, "name")
                .filter(|name| matches!(name, Value::String(name) if !name.is_empty()));
            let records = items(&part, "logRecords")?;
            if events.len() + records.len() > Limits::CONTRACT.batch_events {
                return Err(Rejection::TooManyEvents);
            }
            for record in records {
                let at = events.len();
                // Records have no ids. A client that sends a request again sends the same bytes.
                let id = || {
                    let hash = hash.clone().chain_update(at.to_string()).chain_update(record).finalize();
                    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
                };
                events.push(object(record).and_then(|members| event(members, &resource, scope.as_ref(), id)));
            }
        }
    }
    Ok(events)
}

/// The items of a member that is a list; none if it is missing, since Protocol Buffers leave out what is empty.
fn items<'a>(members: &RawMembers<'a>, name: &str) -> Result<Vec<&'a str>, Rejection> {
    members.get(name).map_or(Ok(Vec::new()), |text| list(text, BODY))
}

/// What each record of a resource takes from it.
struct Resource<'a> {
    user_id: Option<Value<'a>>,
    service_name: Option<Value<'a>>,
}

impl<'a> Resource<'a> {
    fn read(json: &'a str) -> Result<Self, Rejection> {
        let attributes = attributes(&mut object(json)?);
        let user_id = SERVICES.iter().find_map(|name| text(find(&attributes, name)));
        Ok(Self { user_id, service_name: find(&attributes, "service.name").cloned() })
    }
}

/// The copy of a value that all records of a resource or scope share. A long one would make a small request large.
fn shared<'a>(value: Option<&Value<'a>>) -> Result<Option<Value<'a>>, Rejection> {
    match value {
        Some(Value::Array(_) | Value::Object(_)) => Err(Rejection::InvalidDelivery(TOO_LONG)),
        Some(Value::String(text)) if text.len() > Limits::CONTRACT.name_bytes => {
            Err(Rejection::InvalidDelivery(TOO_LONG))
        }
        value => Ok(value.cloned()),
    }
}

/// An event. `id` makes the messageId of a record without one.
fn event<'a>(
    mut record: Members<'a>,
    resource: &Resource<'a>,
    scope: Option<&Value<'a>>,
    id: impl FnOnce() -> String,
) -> Result<Foreign<'a>, Rejection> {
    let mut properties = attributes(&mut record);
    let user_id = match USERS.iter().find_map(|name| text(find(&properties, name))) {
        None => shared(resource.user_id.as_ref())?,
        named => named,
    };
    let named = text(take(&mut record, "eventName").as_ref()).or_else(|| text(find(&properties, "event.name")));
    let uid = text(find(&properties, "log.record.uid"));
    // The first time that is known counts. 0 says that it is not.
    let mut time = None;
    for name in ["timeUnixNano", "observedTimeUnixNano"] {
        if let Some(value) = take(&mut record, name).filter(|_| time.is_none()) {
            time = Some(integer(value).ok_or(Rejection::InvalidTimestamp)?).filter(|nanos| *nanos > 0);
        }
    }
    properties.retain(|(name, _)| !matches!(name.as_ref(), "event.name" | "log.record.uid"));
    let mut keep = |name: &'static str, value: Option<Value<'a>>| {
        if let Some(value) = value {
            properties.push((Cow::Borrowed(name), value));
        }
    };
    keep("body", take(&mut record, "body").map(plain));
    keep("severity_text", text(take(&mut record, "severityText").as_ref()));
    keep("severity_number", take(&mut record, "severityNumber"));
    keep("service.name", shared(resource.service_name.as_ref())?);
    keep("scope", shared(scope)?);
    Ok(Foreign {
        user_id,
        event_type: named.or(Some(Value::String(Cow::Borrowed(LOG)))),
        message_id: uid.or_else(|| time.map(|_| Value::String(Cow::Owned(id())))),
        properties,
        timestamp: time.map(|ns| Value::Unsigned(ns / NANOS)),
        sent_at: None,
        ago: None,
    })
}

fn find<'m, 'a>(members: &'m Members<'a>, name: &str) -> Option<&'m Value<'a>> {
    members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The value, if it is a text that is not empty.
fn text<'a>(value: Option<&Value<'a>>) -> Option<Value<'a>> {
    value.filter(|value| matches!(value, Value::String(text) if !text.is_empty())).cloned()
}

/// A whole number, however it is written.
fn integer(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Unsigned(value) => Some(value),
        Value::Float(value) if value.trunc() == value && value >= 0.0 => Some(value as u64),
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
        // `json::read`, too, makes `Unsigned` of what is not negative. To a schema `Signed(5)` would be another value.
        ("intValue", Value::String(text)) => match (text.parse(), text.parse()) {
            (Ok(value), _) => Value::Unsigned(value),
            (_, Ok(value)) => Value::Signed(value),
            _ => Value::String(text),
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
