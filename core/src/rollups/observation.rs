//! What rollups need from one stored event.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::rollups::hyperloglog::UserHash;
use crate::rollups::key::Hour;
use crate::rollups::number::Number;
use crate::rollups::numbers_cap::NUMBERS;
use crate::rollups::sample::Sample;
use crate::vocabulary::borrowed::Borrowed;
use crate::vocabulary::limits::Limits;
use crate::vocabulary::time::Millis;

/// The most dimensions of an event. If it has more string properties, those with the first names are taken, and of what
/// clients add by themselves only what still fits.
pub(crate) const DIMENSIONS: usize = 8;

/// One event as rollups see it. Names are in the order of the properties, which is the order of their bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation<'a> {
    pub(crate) hour: Hour,
    pub(crate) event_type: Cow<'a, str>,
    pub(crate) user: UserHash,
    /// Names with values. A value that is too long for a key, or that is `(other)`, is stored as empty and counts as
    /// `(other)`.
    pub(crate) dimensions: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Whether there were more dimensions, which were dropped.
    pub(crate) dimensions_dropped: bool,
    /// Numeric properties, at most one more than a rollup keeps. The extra one shows that some are dropped; further
    /// ones could never be kept, whatever other events have.
    pub(crate) numbers: Vec<(Cow<'a, str>, Sample)>,
    /// The numbers that are not small integers.
    pub(crate) large: Vec<Number>,
}

/// A record that is not an event and so is in no report, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRecord(pub(crate) String);

impl fmt::Display for UnreadableRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record is no event: {}", self.0)
    }
}

impl std::error::Error for UnreadableRecord {}

/// The dimensions of each event type. If a type is not listed, every string property is a dimension.
pub(crate) type Dimensions = BTreeMap<String, Vec<String>>;

/// The name of values beyond the cap in answers.
pub(crate) const OTHER: &str = "(other)";

impl<'a> Observation<'a> {
    pub(crate) fn read(record: &'a str, dimensions: &Dimensions) -> Result<Self, UnreadableRecord> {
        // The parser's own message is not used, because it may quote the record.
        Self::parse(record, dimensions)
            .map_err(|problem| UnreadableRecord(format!("{:?} error at byte {}", problem.classify(), problem.column())))
    }

    fn parse(record: &'a str, dimensions: &Dimensions) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Record<'r> {
            #[serde(borrow)]
            user_id: Cow<'r, str>,
            #[serde(borrow)]
            event_type: Cow<'r, str>,
            timestamp: &'r str,
            #[serde(borrow)]
            properties: Properties<'r>,
        }
        let Record { user_id, event_type, timestamp, properties } = serde_json::from_str::<Record<'a>>(record)?;
        let time = Millis::from_rfc3339(timestamp).map_err(serde_json::Error::custom)?;
        let Properties { mut texts, mut numbers, large } = properties;
        numbers.truncate(NUMBERS + 1);
        let mut dimensions_dropped = false;
        match dimensions.get(&*event_type) {
            Some(names) => texts.retain(|(name, _)| names.iter().any(|known| known == name)),
            None => {
                dimensions_dropped = texts.len() > DIMENSIONS;
                if dimensions_dropped {
                    let own = texts.iter().filter(|(name, _)| !is_added(name)).count();
                    let (mut own, mut added) = (DIMENSIONS, DIMENSIONS.saturating_sub(own));
                    texts.retain(|(name, _)| {
                        let places = if is_added(name) { &mut added } else { &mut own };
                        let has_place = *places > 0;
                        *places = places.saturating_sub(1);
                        has_place
                    });
                }
            }
        }
        // No event has such names. They could be read as the key of another series.
        // Unlike `all`, `fold` has no early exit, so it is vectorised.
        let is_name = |name: &str| !name.is_empty() && name.bytes().fold(u8::MAX, u8::min) >= b' ';
        if !is_name(&event_type) || !texts.iter().all(|(name, _)| is_name(name)) {
            return Err(serde_json::Error::custom("a name with a control character, or none"));
        }
        for (_, value) in &mut texts {
            if value.len() > Limits::CONTRACT.name_bytes || value == OTHER {
                *value = Cow::Borrowed("");
            }
        }
        Ok(Self {
            hour: Hour::of(time),
            user: UserHash::of(&user_id),
            event_type,
            dimensions: texts,
            dimensions_dropped,
            numbers,
            large,
        })
    }
}

/// The string and number properties, sorted by name as in records. Empty texts are left out.
struct Properties<'a> {
    texts: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    numbers: Vec<(Cow<'a, str>, Sample)>,
    large: Vec<Number>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Properties<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PropertiesVisitor)
    }
}

struct PropertiesVisitor;

impl<'de> Visitor<'de> for PropertiesVisitor {
    type Value = Properties<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut properties = Properties { texts: Vec::new(), numbers: Vec::new(), large: Vec::new() };
        while let Some((Borrowed(name), property)) = entries.next_entry()? {
            match property {
                Property::Text(value) if !value.is_empty() => put(&mut properties.texts, name, value),
                Property::Number(number) => {
                    put(&mut properties.numbers, name, Sample::of(number, &mut properties.large));
                }
                Property::Text(_) | Property::Other => {}
            }
        }
        Ok(properties)
    }
}

/// Whether SDKs of other services add properties of this name by themselves: Segment's in warehouses, and PostHog's.
fn is_added(name: &str) -> bool {
    name.starts_with("context_") || name.starts_with('$')
}

/// Adds what has a name to a list that is sorted by name.
fn put<'a, T>(list: &mut Vec<(Cow<'a, str>, T)>, name: Cow<'a, str>, value: T) {
    if list.last().is_none_or(|(last, _)| *last < name) {
        return list.push((name, value));
    }
    // No record is unsorted, but if one were, its pages must still be right.
    match list.binary_search_by(|(known, _)| known.cmp(&name)) {
        Ok(at) => drop(list.get_mut(at).map(|(_, known)| *known = value)),
        Err(at) => list.insert(at, (name, value)),
    }
}

enum Property<'a> {
    Text(Cow<'a, str>),
    Number(Number),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Property<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PropertyVisitor)
    }
}

struct PropertyVisitor;

impl<'de> Visitor<'de> for PropertyVisitor {
    type Value = Property<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Property::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Property::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Property::Number(Number::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Property::Number(Number::Integer(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(value).map_or(Property::Other, Property::Number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Property::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Property::Other)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Property::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Property::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"eventId":"evt_0","userId":"é\n","eventType":"t","timestamp":"2013-01-01T10:15:00.000Z",
        "receivedAt":"2013-01-01T10:15:00.000Z","properties":{"a":"x","b":2.5,"c":[1,{"d":"no"}],"d":{"a":1},"e":"","f":-3,
        "g":true,"h":null,"i":"\u0001","j":2.0}}"#;

    #[test]
    fn texts_and_numbers_are_taken_and_nothing_else() {
        let observation = Observation::read(RECORD, &Dimensions::new()).unwrap();
        assert_eq!(observation.hour, Hour(376_954));
        assert_eq!(observation.dimensions, [("a".into(), "x".into()), ("i".into(), "\u{1}".into())]);
        let numbers = [("b", Number::Float(2.5)), ("f", Number::Integer(-3)), ("j", Number::Integer(2))];
        let found = observation.numbers.iter().map(|(name, sample)| (&**name, sample.number(&observation.large)));
        assert_eq!(found.collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn of_a_name_the_last_value_is_taken() {
        let record = RECORD.replace(r#""j":2.0"#, r#""b":4,"a":"y","a2":0.5"#).replace(r#""f":-3"#, r#""f":-2,"f":-3"#);
        let observation = Observation::read(&record, &Dimensions::new()).unwrap();
        assert_eq!(observation.dimensions, [("a".into(), "y".into()), ("i".into(), "\u{1}".into())]);
        let found = observation.numbers.iter().map(|(name, sample)| (&**name, sample.number(&observation.large)));
        let numbers = [("a2", Number::Float(0.5)), ("b", Number::Integer(4)), ("f", Number::Integer(-3))];
        assert_eq!(found.collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn what_clients_add_by_themselves_takes_no_place_of_an_apps_own() {
        let texts = |names: &[&str]| names.iter().map(|name| format!(r#""{name}":"x""#)).collect::<Vec<_>>().join(",");
        let added = texts(&["$browser", "$os", "context_locale", "context_os_name", "context_page_path"]);
        let record =
            |own| RECORD.replace(r#""a":"x""#, &format!("{added},{}", texts(own))).replace(r#""i":"\u0001","#, "");
        let dimensions = |record: &str| -> Vec<String> {
            let observation = Observation::read(record, &Dimensions::new()).unwrap();
            observation.dimensions.into_iter().map(|(name, _)| name.into_owned()).collect()
        };
        assert_eq!(
            dimensions(&record(&["p1", "p2", "p3", "p4", "p5", "p6"])),
            ["$browser", "$os", "p1", "p2", "p3", "p4", "p5", "p6"]
        );
        assert_eq!(dimensions(&record(&["p1"])).len(), 6);
    }

    #[test]
    fn configured_dimensions_are_taken_alone() {
        let dimensions = Dimensions::from([("t".to_owned(), vec!["i".to_owned(), "z".to_owned()])]);
        let observation = Observation::read(RECORD, &dimensions).unwrap();
        assert_eq!(observation.dimensions, [("i".into(), "\u{1}".into())]);
    }

    #[test]
    fn values_that_are_too_long_are_others() {
        let record = RECORD.replace(r#""x""#, &format!("\"{}\"", "x".repeat(201)));
        assert_eq!(Observation::read(&record, &Dimensions::new()).unwrap().dimensions[0].1, "");
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        assert!(Observation::read("{}", &Dimensions::new()).is_err());
        assert!(Observation::read(&RECORD.replace("2013", "20x3"), &Dimensions::new()).is_err());
    }
}
