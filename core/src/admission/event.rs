//! One event. It is checked once, when it is read; from then on its type guarantees that it is valid.

use std::borrow::Cow;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::admission::bots;
use crate::admission::config::Config;
use crate::admission::foreign::Foreign;
use crate::admission::json::{self, Value};
use crate::admission::member;
use crate::admission::privacy::Privacy;
use crate::admission::retention::Retention;
use crate::store::new_event::NewEvent;
use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::EventId;
use crate::vocabulary::limits::Limits;
use crate::vocabulary::name::name_flaw;
use crate::vocabulary::rejection::{Field, Rejection, shown};
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::{Millis, Stamp};

/// The most properties that the service adds to an event.
const TAGS: usize = 2;
/// Room for the record of most events.
const RECORD_BYTES: usize = 512;

/// An event as a client sent it, within every limit of the contract.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    user_id: Cow<'a, str>,
    event_type: Cow<'a, str>,
    pub(crate) message_id: Option<Cow<'a, str>>,
    timestamp: Option<Millis>,
    /// `timestamp` by the host's clock, if the client has told what its own clock says.
    corrected: Option<Millis>,
    properties: Value<'a>,
    /// Properties that the service adds. They replace those that the client has sent under these names.
    tags: Vec<(&'static str, String)>,
}

impl<'a> Event<'a> {
    /// Reads one event. `received_at` bounds its timestamp.
    pub(crate) fn read(text: &'a str, received_at: Millis) -> Result<Self, Rejection> {
        if text.len() > Limits::CONTRACT.event_bytes {
            return Err(Rejection::EventTooLarge(text.len()));
        }
        let Value::Object(members) = json::read(text)? else {
            return Err(Rejection::NotAnObject);
        };
        let mut fields: [Option<Value<'a>>; Field::ALL.len()] = Default::default();
        let mut unknown = None;
        for (name, value) in members {
            match Field::ALL.iter().position(|field| field.name() == name) {
                Some(at) => {
                    if let Some(field) = fields.get_mut(at) {
                        *field = Some(value);
                    }
                }
                None => unknown = unknown.or(Some(name)),
            }
        }
        let [user_id, event_type, properties, message_id, timestamp] = fields;
        let event = Self {
            user_id: required_name(Field::UserId, user_id)?,
            event_type: required_name(Field::EventType, event_type)?,
            properties: properties_object(properties)?,
            message_id: message_id.map(|value| name(Field::MessageId, value)).transpose()?,
            timestamp: timestamp.map(|value| time(value, received_at)).transpose()?,
            corrected: None,
            tags: Vec::new(),
        };
        match unknown {
            Some(name) => Err(Rejection::UnknownField(shown(&name))),
            None => Ok(event),
        }
    }

    /// Takes an event of another protocol. Numbers are taken for ids, and null for what is missing.
    pub(crate) fn of_foreign(foreign: Foreign<'a>, received_at: Millis, privacy: &Privacy) -> Result<Self, Rejection> {
        let Foreign { user_id, event_type, message_id, mut properties, timestamp, sent_at, ago } = foreign;
        let type_name = event_type.as_ref().and_then(member::text).unwrap_or_default();
        properties.retain(|(name, _)| privacy.keeps(type_name, name));
        json::sort_by_name(&mut properties);
        properties.dedup_by(|(next, _), (kept, _)| next == kept);
        let timestamp = timestamp.filter(|value| *value != Value::Null).map(instant).transpose()?;
        // Clock skew: when the request arrived, minus when its client says that it was sent.
        let corrected = timestamp.zip(sent_at).map(|(Millis(happened), Millis(sent))| {
            Millis(received_at.0.saturating_add(happened).saturating_sub(sent))
        });
        let ago = ago.filter(|_| timestamp.is_none()).map(|ago| Millis(received_at.0.saturating_sub(ago)));
        let corrected = corrected.or(ago);
        corrected.or(timestamp).map(|time| within_range(time, received_at)).transpose()?;
        let event = Self {
            user_id: required_name(Field::UserId, user_id.map(id))?,
            event_type: required_name(Field::EventType, event_type)?,
            properties: properties_object(Some(Value::Object(properties)))?,
            message_id: message_id
                .filter(|value| *value != Value::Null)
                .map(|value| name(Field::MessageId, id(value)))
                .transpose()?,
            timestamp,
            corrected,
            tags: Vec::new(),
        };
        if let Some(rejection) = json::misnamed(&event.properties) {
            return Err(rejection);
        }
        match json_text(&event.properties).len() {
            bytes if bytes > Limits::CONTRACT.event_bytes => Err(Rejection::EventTooLarge(bytes)),
            _ => Ok(event),
        }
    }

    /// Applies what the configuration asks of a tenant's event. `bot` is the word by which its client was recognised.
    pub(crate) fn apply(&mut self, config: &Config, tenant: &Tenant, bot: Option<&str>) -> Result<(), Rejection> {
        self.tags.extend(config.schemas.check(&self.event_type, &self.properties)?);
        self.tags.extend(bot.map(|word| (bots::TAG, word.to_owned())));
        if !config.privacy.is_off() {
            config.privacy.apply(tenant, &self.event_type, &mut self.user_id, &mut self.properties);
        }
        Ok(())
    }

    /// The properties with the tags.
    fn tagged(&self) -> Value<'_> {
        let Value::Object(members) = &self.properties else { return self.properties.clone() };
        let is_tag = |name: &str| self.tags.iter().any(|(tag, _)| *tag == name);
        let mut members: Vec<_> = members.iter().filter(|(name, _)| !is_tag(name)).cloned().collect();
        let tags =
            self.tags.iter().map(|(name, value)| (Cow::Borrowed(*name), Value::String(Cow::Borrowed(value.as_str()))));
        members.extend(tags);
        json::sort_by_name(&mut members);
        Value::Object(members)
    }

    /// The id that the event gets from the client's messageId; `None` without one.
    pub(crate) fn named_id(&self, tenant: &Tenant) -> Option<EventId> {
        self.message_id.as_deref().map(|message_id| EventId::of_message(tenant, message_id))
    }

    /// The event as a store keeps it.
    pub(crate) fn keep(&self, id: EventId, stamp: Stamp, retention: &Retention) -> NewEvent {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Head<'h> {
            event_id: EventId,
            #[serde(skip_serializing_if = "Option::is_none")]
            message_id: Option<&'h str>,
            user_id: &'h str,
            event_type: &'h str,
            timestamp: &'h str,
            received_at: &'h str,
        }
        let occurred_at = self.corrected.or(self.timestamp).unwrap_or(stamp.received_at);
        let head = Head {
            event_id: id,
            message_id: self.message_id.as_deref(),
            user_id: &self.user_id,
            event_type: &self.event_type,
            timestamp: &occurred_at.to_rfc3339(),
            received_at: &stamp.received_at.to_rfc3339(),
        };
        // Head and properties are written into one buffer, because each event has both.
        let mut record = Vec::with_capacity(RECORD_BYTES);
        write_json(&head, &mut record);
        record.pop();
        record.extend_from_slice(br#","properties":"#);
        let start = record.len();
        write_json(&self.properties, &mut record);
        // Tags are not the client's: a retry is the same event, whatever they say now.
        let digest = self.digest(record.get(start..).unwrap_or_default());
        if !self.tags.is_empty() {
            record.truncate(start);
            write_json(&self.tagged(), &mut record);
        }
        record.push(b'}');
        NewEvent {
            id,
            digest,
            occurred_at,
            received_at: stamp.received_at,
            expires_at: stamp.received_at.expiry(retention.of(&self.event_type)),
            // JSON is UTF-8.
            record: String::from_utf8(record).unwrap_or_default(),
        }
    }

    fn digest(&self, properties: &[u8]) -> Digest {
        digest(&self.user_id, &self.event_type, self.timestamp, properties)
    }
}

/// Hashes only what the client said. A retry without a timestamp, or with one that is corrected, is then the same
/// event, although it is received later.
pub(crate) fn digest(user_id: &str, event_type: &str, timestamp: Option<Millis>, properties: &[u8]) -> Digest {
    let timestamp = timestamp.map_or([0xff; 8], |Millis(ms)| ms.to_be_bytes());
    let hash = Sha256::new()
        .chain_update((user_id.len() as u64).to_be_bytes())
        .chain_update(user_id.as_bytes())
        .chain_update((event_type.len() as u64).to_be_bytes())
        .chain_update(event_type.as_bytes())
        .chain_update(timestamp)
        .chain_update(properties)
        .finalize();
    Digest::of_hash(&hash)
}

fn write_json(value: &impl Serialize, to: &mut Vec<u8>) {
    // As in `json_text`: it never fails.
    let _written = serde_json::to_writer(to, value);
}

pub(crate) fn json_text(value: &impl Serialize) -> String {
    // Only maps with keys other than strings and failing `Serialize` impls can fail, and core has neither.
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a required name. null and the empty text count as missing, as in JavaScript's `if (!userId)`.
fn required_name(field: Field, value: Option<Value<'_>>) -> Result<Cow<'_, str>, Rejection> {
    match value {
        None | Some(Value::Null) => Err(Rejection::Required(field)),
        Some(Value::String(text)) if text.is_empty() => Err(Rejection::Required(field)),
        Some(value) => name(field, value),
    }
}

fn name(field: Field, value: Value<'_>) -> Result<Cow<'_, str>, Rejection> {
    let Value::String(text) = value else {
        return Err(Rejection::WrongType(field));
    };
    match name_flaw(&text) {
        Some(flaw) => Err(Rejection::Name(field.name().to_owned(), flaw)),
        None => Ok(text),
    }
}

fn properties_object(value: Option<Value<'_>>) -> Result<Value<'_>, Rejection> {
    match value {
        Some(Value::Object(members)) if members.len() > Limits::CONTRACT.properties => {
            Err(Rejection::TooManyProperties(members.len()))
        }
        Some(object @ Value::Object(_)) => Ok(object),
        _ => Err(Rejection::WrongType(Field::Properties)),
    }
}

/// A number as the text that an id is.
fn id(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Signed(_) | Value::Unsigned(_) | Value::Float(_) => Value::String(Cow::Owned(json_text(&value))),
        other => other,
    }
}

/// True for the record of an event that a client could have sent. The service's own tags are not counted among its
/// properties.
pub(crate) fn is_within_limits(record: &str, occurred_at: Millis, received_at: Millis) -> bool {
    let Ok(Value::Object(members)) = json::read(record) else { return false };
    let is_valid = |(known, value): &(Cow<'_, str>, Value<'_>)| match (known.as_ref(), value) {
        ("userId" | "eventType" | "messageId", Value::String(text)) => name_flaw(text).is_none(),
        ("properties", Value::Object(properties)) => properties.len() <= Limits::CONTRACT.properties + TAGS,
        _ => true,
    };
    members.iter().all(is_valid) && within_range(occurred_at, received_at).is_ok()
}

fn time(value: Value<'_>, received_at: Millis) -> Result<Millis, Rejection> {
    within_range(instant(value)?, received_at)
}

fn instant(value: Value<'_>) -> Result<Millis, Rejection> {
    match value {
        Value::Unsigned(ms) => Ok(Millis(ms)),
        Value::Signed(_) => Err(Rejection::TimestampOutOfRange),
        // To JSON Schema a whole number is an integer, however it is written. `as` saturates, so a value that is too
        // large stays too large.
        Value::Float(ms) if ms.fract() == 0.0 => Ok(Millis(ms as u64)),
        Value::Float(_) => Err(Rejection::InvalidTimestamp),
        Value::String(text) => Ok(Millis::from_rfc3339(&text)?),
        _ => Err(Rejection::WrongType(Field::Timestamp)),
    }
}

fn within_range(time: Millis, received_at: Millis) -> Result<Millis, Rejection> {
    let latest = Millis(received_at.0.saturating_add(Limits::CONTRACT.ahead.0));
    if (Limits::CONTRACT.earliest..=latest).contains(&time) { Ok(time) } else { Err(Rejection::TimestampOutOfRange) }
}
