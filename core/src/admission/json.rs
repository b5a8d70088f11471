//! Clients' JSON, read once into a canonical value: keys are sorted and unique, names are checked, and the depth is
//! bounded.
//!
//! Some flaws leave the text readable: a key that appears twice, a bad name, too much depth. They do not stop the
//! reader. The first one is kept with its path and reported at the end.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::vocabulary::borrowed::Borrowed;
use crate::vocabulary::limits::Limits;
use crate::vocabulary::name::{NameFlaw, name_flaw};
use crate::vocabulary::rejection::{Field, Rejection, shown, shown_path, shown_problem};

/// A JSON value. Strings without escapes are borrowed from the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    /// Any other number, as the nearest double: one with a fraction or an exponent, or an integer beyond 64 bits.
    Float(f64),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    /// Members sorted by key; no key appears twice.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(values) => serializer.collect_seq(values),
            Self::Object(members) => serializer.collect_map(members.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl Value<'_> {
    /// A copy that owns its texts.
    pub(crate) fn to_static(&self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Signed(value) => Value::Signed(*value),
            Self::Unsigned(value) => Value::Unsigned(*value),
            Self::Float(value) => Value::Float(*value),
            Self::String(value) => Value::String(Cow::Owned(value.to_string())),
            Self::Array(values) => Value::Array(values.iter().map(Value::to_static).collect()),
            Self::Object(members) => {
                let owned = |(key, value): &(Cow<'_, str>, Value<'_>)| (Cow::Owned(key.to_string()), value.to_static());
                Value::Object(members.iter().map(owned).collect())
            }
        }
    }
}

/// Reads one JSON text.
pub(crate) fn read(text: &str) -> Result<Value<'_>, Rejection> {
    let mut reader = JsonReader { flaw: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let value = ValueSeed { reader: &mut reader, depth: 1 }
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| rejection(&error))?;
    reader.flaw.map_or(Ok(value), Err)
}

fn rejection(error: &serde_json::Error) -> Rejection {
    let text = shown_problem(error);
    // serde_json has no error kind of its own for 1e999, so its message is matched. The tests pin that message.
    match text.strip_prefix("number out of range") {
        Some(place) => Rejection::NumberOutOfRange(format!("a number{place}")),
        None => Rejection::InvalidJson(text),
    }
}

struct JsonReader {
    flaw: Option<Rejection>,
}

impl JsonReader {
    fn flaw(&mut self, flaw: impl FnOnce() -> Rejection) {
        if self.flaw.is_none() {
            self.flaw = Some(flaw());
        }
    }

    /// Runs `read` for a member, and puts `key` before the path of a flaw that it finds.
    fn within<T>(&mut self, key: &dyn fmt::Display, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.flaw.is_some();
        let result = read(self);
        if !before
            && let Some(Rejection::DuplicateKey(path) | Rejection::Name(path, _) | Rejection::TooDeep(path)) =
                &mut self.flaw
        {
            *path = path_of(key, path);
        }
        result
    }
}

struct ValueSeed<'r> {
    reader: &'r mut JsonReader,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        if self.depth > Limits::CONTRACT.depth {
            self.reader.flaw(|| Rejection::TooDeep(String::new()));
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let mut values = Vec::new();
        loop {
            let depth = self.depth + 1;
            let index = Index(values.len());
            match self.reader.within(&index, |reader| items.next_element_seed(ValueSeed { reader, depth }))? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value<'de>, A::Error> {
        if self.depth > Limits::CONTRACT.depth {
            self.reader.flaw(|| Rejection::TooDeep(String::new()));
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(Borrowed(key)) = entries.next_key()? {
            if let Some(flaw) = name_flaw(&key) {
                self.reader.flaw(|| Rejection::Name(quoted_name(&key), flaw));
            }
            let depth = self.depth + 1;
            let value = self.reader.within(&key, |reader| entries.next_value_seed(ValueSeed { reader, depth }))?;
            members.push((key, value));
        }
        sort_by_name(&mut members);
        let twice = members.iter().zip(members.iter().skip(1)).find(|((one, _), (next, _))| one == next);
        if let Some(((key, _), _)) = twice {
            self.reader.flaw(|| Rejection::DuplicateKey(key.to_string()));
        }
        Ok(Value::Object(members))
    }
}

/// Finds a member, at any depth, with a name that no event can have. Some protocols send names as JSON values, which
/// [`read`] does not check as names.
pub(crate) fn misnamed(value: &Value<'_>) -> Option<Rejection> {
    fn find(value: &Value<'_>) -> Option<(String, NameFlaw)> {
        match value {
            Value::Object(members) => members.iter().find_map(|(name, value)| match name_flaw(name) {
                Some(flaw) => Some((quoted_name(name), flaw)),
                None => find(value).map(|(path, flaw)| (path_of(name, &path), flaw)),
            }),
            Value::Array(values) => values.iter().enumerate().find_map(|(at, value)| {
                let (path, flaw) = find(value)?;
                Some((path_of(&Index(at), &path), flaw))
            }),
            _ => None,
        }
    }
    find(value).map(|(path, flaw)| Rejection::Name(path_of(&Field::Properties.name(), &path), flaw))
}

fn quoted_name(name: &str) -> String {
    format!("[{:?}]", shown(name))
}

/// Puts `key` before a path.
fn path_of(key: &dyn fmt::Display, path: &str) -> String {
    let separator = if path.is_empty() || path.starts_with('[') { "" } else { "." };
    shown_path(format!("{key}{separator}{path}"))
}

/// Sorts the members of an object by name. Those of one name stay in their order. It is one function, since each copy of
/// the sort takes 2 kB of the smallest artifact.
#[inline(never)]
pub(crate) fn sort_by_name(members: &mut [(Cow<'_, str>, Value<'_>)]) {
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
}

/// An index into an array, as paths show it.
struct Index(usize);

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}
