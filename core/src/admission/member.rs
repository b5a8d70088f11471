//! Members of JSON that are read without serde, whose code for them would be larger: those of the configuration, above all.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::admission::json::{self, Value};

/// The members of an object, sorted by name.
pub(crate) type Members<'a> = [(Cow<'a, str>, Value<'a>)];

/// Reads a member of the configuration. The error says nothing of the text, which could be a secret.
pub(crate) fn read<'a>(name: &str, text: &'a RawValue) -> Result<Value<'a>, String> {
    json::read(text.get()).map_err(|rejection| format!("{name} cannot be read: {}", rejection.code()))
}

/// The members of an object.
pub(crate) fn members<'v, 'a>(value: &'v Value<'a>) -> Option<&'v Members<'a>> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// A member of an object, by its name.
pub(crate) fn get<'v, 'a>(members: &'v Members<'a>, name: &str) -> Option<&'v Value<'a>> {
    let at = members.binary_search_by(|(key, _)| key.as_ref().cmp(name)).ok()?;
    members.get(at).map(|(_, value)| value)
}

/// A text.
pub(crate) fn text<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A whole number, 0 or above.
pub(crate) fn whole(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Unsigned(number) => Some(*number),
        Value::Signed(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// An array of texts.
pub(crate) fn texts(value: &Value<'_>) -> Option<Vec<String>> {
    let Value::Array(values) = value else { return None };
    values.iter().map(|value| text(value).map(str::to_owned)).collect()
}

/// Whether an object has only members with these names.
pub(crate) fn has_only(members: &Members<'_>, names: &[&str]) -> bool {
    members.iter().all(|(name, _)| names.contains(&name.as_ref()))
}

/// The members of an object that has only members with these names. An error text continues the object's place.
pub(crate) fn only<'v, 'a>(value: &'v Value<'a>, names: &[&str]) -> Result<&'v Members<'a>, String> {
    let members = members(value).filter(|members| has_only(members, names));
    members.ok_or_else(|| format!(" must be an object with no members but {}", names.join(", ")))
}
