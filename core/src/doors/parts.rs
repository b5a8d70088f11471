//! Parts of JSON that other clients send.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::admission::json::{self, Value};
use crate::vocabulary::borrowed::Borrowed;
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::{Rejection, shown, shown_problem};
use crate::vocabulary::time::Millis;

/// The members of an object that has been read.
pub(crate) type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// The members of an object, not read yet.
pub(crate) struct RawMembers<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> RawMembers<'a> {
    /// Reads the names of an object's members. `expected` says what the object must be.
    pub(crate) fn read(text: &'a str, expected: &'static str) -> Result<Self, Rejection> {
        let Once { members, twice } = serde_json::from_str(text).map_err(|error| {
            let problem = shown_problem(&error);
            if error.is_data() { Rejection::InvalidDelivery(expected) } else { Rejection::InvalidJson(problem) }
        })?;
        // Either value alone would leave events out.
        twice.map_or(Ok(Self(members)), |name| Err(Rejection::DuplicateKey(shown(&name))))
    }

    /// The JSON text of a member; `None` if it is missing or null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.get()).filter(|text| *text != "null")
    }

    /// A member that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        Self::text_of(self.get(name)?)
    }

    /// The text that this JSON is, if it is one.
    pub(crate) fn text_of(json: &str) -> Option<Cow<'_, str>> {
        serde_json::from_str(json).ok().map(|Borrowed(text)| text)
    }

    /// A member that is a time in RFC 3339. A client's clock that can't be read corrects nothing.
    pub(crate) fn time(&self, name: &str) -> Option<Millis> {
        Millis::from_rfc3339(&self.text(name)?).ok()
    }
}

/// An object's members, and a name that appears twice.
#[derive(Default)]
struct Once<'a> {
    members: BTreeMap<Cow<'a, str>, &'a RawValue>,
    twice: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Once<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnceVisitor)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Once<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once<'de>, A::Error> {
        let mut once = Once::default();
        while let Some((Borrowed(name), value)) = map.next_entry()? {
            if once.members.insert(name.clone(), value).is_some() {
                once.twice = Some(name);
            }
        }
        Ok(once)
    }
}

/// The JSON texts in an array. `expected` says what the array must be.
pub(crate) fn list<'a>(text: &'a str, expected: &'static str) -> Result<Vec<&'a str>, Rejection> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
        let problem = shown_problem(&error);
        if error.is_data() { Rejection::InvalidDelivery(expected) } else { Rejection::InvalidJson(problem) }
    })?;
    Ok(items.into_iter().map(RawValue::get).collect())
}

/// The JSON texts of the events in an array, which are no more than a batch has.
pub(crate) fn batch<'a>(text: &'a str, expected: &'static str) -> Result<Vec<&'a str>, Rejection> {
    let events = list(text, expected)?;
    if events.len() > Limits::CONTRACT.batch_events { Err(Rejection::TooManyEvents) } else { Ok(events) }
}

/// Reads one event's object, within the limit of an event.
pub(crate) fn object(text: &str) -> Result<Members<'_>, Rejection> {
    if text.len() > Limits::CONTRACT.event_bytes {
        return Err(Rejection::EventTooLarge(text.len()));
    }
    match json::read(text)? {
        Value::Object(members) => Ok(members),
        _ => Err(Rejection::NotAnObject),
    }
}

/// Takes a member out; `None` if it is missing or null.
pub(crate) fn take<'a>(members: &mut Members<'a>, name: &str) -> Option<Value<'a>> {
    let at = members.iter().position(|(known, _)| known == name)?;
    Some(members.swap_remove(at).1).filter(|value| *value != Value::Null)
}

/// Takes out a member that is an id: a text that is not empty, or a number.
pub(crate) fn take_id<'a>(members: &mut Members<'a>, name: &str) -> Option<Value<'a>> {
    take(members, name).filter(|value| !matches!(value, Value::String(text) if text.is_empty()))
}

/// Takes out a member that is an object. Anything else has no members.
pub(crate) fn take_members<'a>(members: &mut Members<'a>, name: &str) -> Members<'a> {
    match take(members, name) {
        Some(Value::Object(members)) => members,
        _ => Members::new(),
    }
}

/// Takes out a member that is a time in RFC 3339.
pub(crate) fn take_time(members: &mut Members<'_>, name: &str) -> Option<Millis> {
    match take(members, name)? {
        Value::String(text) => Millis::from_rfc3339(&text).ok(),
        _ => None,
    }
}
