//! A record taken apart into texts, and put together again.
//!
//! All texts are as JSON writes them: strings keep their escapes and lose their quotes.

use std::fmt::Write as _;

use crate::codec::{Reader, Writer};
use crate::formats;
use crate::store::new_event::NewEvent;
use crate::vocabulary::id::EventId;
use crate::vocabulary::time::Millis;

/// The kinds of values, in the two lowest bits of a value's first integer. The bits above them are the value itself or
/// its length.
const INTEGER: u64 = 0;
const STRING: u64 = 1;
const JSON: u64 = 2;
const LITERAL: u64 = 3;
const LITERALS: [&str; 3] = ["null", "false", "true"];
/// Integers of larger magnitude are written as JSON.
const LARGEST: u64 = 1 << 60;

/// The parts of a record that its key and times do not say.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    message_id: Option<&'a str>,
    user_id: &'a str,
    event_type: &'a str,
    /// Names with values.
    properties: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Takes a record apart. `None` if it is not as [`crate::NewEvent::record`] always is.
    pub(super) fn of(record: &'a str) -> Option<Self> {
        let mut text = Text(record);
        text.skip(r#"{"eventId":"#)?;
        text.string()?;
        let message_id = match text.skip(r#","messageId":"#) {
            Some(()) => Some(text.string()?),
            None => None,
        };
        text.skip(r#","userId":"#)?;
        let user_id = text.string()?;
        text.skip(r#","eventType":"#)?;
        let event_type = text.string()?;
        text.skip(r#","timestamp":"#)?;
        text.string()?;
        text.skip(r#","receivedAt":"#)?;
        text.string()?;
        text.skip(r#","properties":{"#)?;
        let mut properties = Vec::new();
        while text.0.starts_with('"') {
            let name = text.string()?;
            text.skip(":")?;
            properties.push((name, text.value()?));
            let _last = text.skip(",");
        }
        (text.0 == "}}").then_some(Self { message_id, user_id, event_type, properties })
    }

    /// The shape of the event.
    pub(super) fn shape(&self) -> Vec<u8> {
        let mut shape = Writer(vec![formats::SHAPE]);
        shape.byte(self.message_id.is_some().into());
        shape.text(self.event_type);
        self.properties.iter().for_each(|(name, _)| shape.text(name));
        shape.0
    }

    /// Appends the values of the event.
    pub(super) fn write_values(&self, event: &NewEvent, values: &mut Writer) {
        let (Millis(received_at), Millis(occurred_at)) = (event.received_at, event.occurred_at);
        values.unsigned(received_at);
        values.signed(received_at.wrapping_sub(occurred_at).cast_signed());
        self.message_id.iter().for_each(|message_id| values.text(message_id));
        values.text(self.user_id);
        self.properties.iter().for_each(|(_, value)| write_value(value, values));
    }
}

/// Puts a record together from its shape and its values. `None` if the bytes are not what [`Parts`] wrote.
pub(super) fn record(id: EventId, shape: &[u8], values: &[u8]) -> Option<String> {
    let (mut names, mut values) = (Reader(shape), Reader(values));
    let mut json = String::with_capacity(160 + 2 * shape.len() + 2 * values.0.len());
    names.byte().filter(|version| *version == formats::SHAPE)?;
    let has_message_id = names.byte()? == 1;
    let event_type = names.text()?;
    let received_at = Millis(values.small()?);
    let occurred_at = Millis(i128::from(received_at.0).checked_sub(values.signed_wide()?)?.try_into().ok()?);
    let id = id.to_string();
    let message_id = if has_message_id { Some(values.text()?) } else { None };
    let (occurred_at, received_at) = (occurred_at.to_rfc3339(), received_at.to_rfc3339());
    let head = [
        ("eventId", Some(&*id)),
        ("messageId", message_id),
        ("userId", Some(values.text()?)),
        ("eventType", Some(event_type)),
        ("timestamp", Some(&occurred_at)),
        ("receivedAt", Some(&received_at)),
    ];
    let mut separator = '{';
    for (name, text) in head {
        if let Some(text) = text {
            json.push(separator);
            separator = ',';
            json.extend(["\"", name, "\":\"", text, "\""]);
        }
    }
    json.push_str(r#","properties":"#);
    separator = '{';
    while !names.is_empty() {
        json.push(separator);
        separator = ',';
        json.extend(["\"", names.text()?, "\":"]);
        read_value(&mut values, &mut json)?;
    }
    json.push_str(if separator == '{' { "{}}" } else { "}}" });
    values.is_empty().then_some(json)
}

fn write_value(json: &str, values: &mut Writer) {
    if let Some(integer) = integer(json) {
        return values.unsigned((integer << 1 ^ integer >> 63).cast_unsigned() << 2 | INTEGER);
    }
    if let Some(place) = LITERALS.iter().position(|literal| *literal == json) {
        return values.unsigned((place as u64) << 2 | LITERAL);
    }
    let string = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let (kind, text) = string.map_or((JSON, json), |string| (STRING, string));
    values.unsigned((text.len() as u64) << 2 | kind);
    values.0.extend_from_slice(text.as_bytes());
}

/// The value of a small integer.
fn integer(json: &str) -> Option<i64> {
    let value: i64 = json.parse().ok()?;
    (value.unsigned_abs() < LARGEST && json != "-0").then_some(value)
}

fn read_value(values: &mut Reader<'_>, json: &mut String) -> Option<()> {
    let first: u64 = values.small()?;
    let (kind, rest) = (first & 3, first >> 2);
    match kind {
        INTEGER => {
            let value = (rest >> 1).cast_signed() ^ -(rest & 1).cast_signed();
            write!(json, "{value}").ok()?;
        }
        LITERAL => json.push_str(LITERALS.get(usize::try_from(rest).ok()?)?),
        _ => {
            let text = std::str::from_utf8(values.take(rest.try_into().ok()?)?).ok()?;
            let quote = if kind == STRING { "\"" } else { "" };
            json.extend([quote, text, quote]);
        }
    }
    Some(())
}

/// The rest of a record that is being taken apart.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// Passes over an expected text.
    fn skip(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Takes the next string, and returns what is between its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.skip("\"")?;
        let length = string_length(self.0.as_bytes())?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest.strip_prefix('"')?;
        Some(string)
    }

    /// Takes the next value.
    fn value(&mut self) -> Option<&'a str> {
        let (value, rest) = self.0.split_at_checked(value_length(self.0.as_bytes())?)?;
        self.0 = rest;
        Some(value)
    }
}

/// The number of bytes before the quote that ends a string.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })
}

/// The number of bytes before the comma or the brace that ends a member of an object.
fn value_length(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match text.get(at)? {
            b'"' => at += 1 + string_length(text.get(at + 1..)?)?,
            b'{' | b'[' => depth += 1,
            b',' | b'}' if depth == 0 => return Some(at),
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
    }
}
