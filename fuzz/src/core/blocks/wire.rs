//! Events as a shard gets them: the bytes of `core/src/blocks/keep.rs`, for any id and any times.

use std::sync::LazyLock;

use arbitrary::Unstructured;
use isotherm_core::{Admission, Digest, EventId, Plan, Request, StorePlan};
use isotherm_fuzz::{KEY, SERVICE, STAMP};

/// The time of the first operation, in seconds.
pub(crate) const NOW: u64 = STAMP.received_at.0 / 1000;
const NOW_AS_TEXT: &str = "2025-11-21T01:53:20";

/// Any plan, for what is read of a shard's answer.
pub(crate) static PLAN: LazyLock<StorePlan> = LazyLock::new(|| {
    let headers = [("authorization", format!("Bearer {KEY}"))];
    let event = |n: u8| format!(r#"{{"userId":"u","eventType":"t","properties":{{"n":{n}}}}}"#);
    let body = format!(r#"{{"events":[{},{}]}}"#, event(1), event(2));
    let path = "/events/batch";
    let request = Request { method: "POST", path, query: "", headers: &headers, body: body.as_bytes() };
    let Admission::Plan(Plan::Store(plan)) = SERVICE.admit(&request, STAMP) else { panic!("refused") };
    plan
});

/// The id with this number. Of each four one after the other, the lowest 48 bits are equal.
pub(crate) fn id(number: u16) -> u128 {
    u128::from(number & 3) << 120 | u128::from(u64::from(number >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16)
}

/// The id as core reads it.
pub(crate) fn event_id(id: u128) -> EventId {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digits = (0..26).rev().map(|at| char::from(ALPHABET[(id >> (5 * at) & 31) as usize]));
    format!("evt_{}", digits.collect::<String>()).parse().expect("an id")
}

/// An event on its way to a shard.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: u128,
    digest: u8,
    /// Milliseconds after [`NOW`].
    occurred_at: u16,
    received_at: u16,
    /// In seconds.
    pub(crate) expires_at: u64,
    text: Text,
}

#[derive(Clone, Debug)]
enum Text {
    /// The members before the times, and the properties.
    Split(String, String),
    Whole(String),
}

impl Event {
    /// An event with a messageId.
    pub(crate) fn numbered(number: u16) -> Self {
        let names = format!(r#""messageId":"m{number}","userId":"u","eventType":"t""#);
        let expires_at = NOW + 90 * 24 * 60 * 60 + u64::from(number);
        let text = Text::Split(names, format!(r#"{{"n":{number}}}"#));
        Self { id: id(number), digest: number as u8, occurred_at: 0, received_at: 0, expires_at, text }
    }

    /// Any event. Without a messageId, in a request that is the first of its kind, its id is new.
    pub(crate) fn any(
        input: &mut Unstructured<'_>,
        may_be_repeated: bool,
        is_filled: bool,
        counter: u32,
        now: u64,
    ) -> arbitrary::Result<Self> {
        let number = if is_filled { input.arbitrary()? } else { u16::from(input.arbitrary::<u8>()? % 16) };
        let times = input.arbitrary::<[u8; 2]>()?;
        let lifetime = match input.int_in_range(0..=3)? {
            0 => 90 * 24 * 60 * 60,
            1 => 0,
            2 => u64::from(input.arbitrary::<u32>()?) >> 8,
            _ => input.arbitrary::<u64>()? >> 16,
        };
        let mut event = Self {
            id: id(number),
            digest: input.arbitrary()?,
            occurred_at: times[0].into(),
            received_at: times[1].into(),
            expires_at: now + lifetime,
            text: Text::Whole(String::new()),
        };
        let form = input.int_in_range(0..=4)?;
        let text: &str = input.arbitrary()?;
        // Long texts close blocks.
        let text = if form == 4 { text.repeat(super::RECORD_BYTES / text.len().max(64)) } else { text.to_owned() };
        event.text = match form {
            0 => Text::Whole(text),
            1 => {
                if !may_be_repeated {
                    event.id = u128::MAX - u128::from(counter);
                }
                Text::Split(r#""userId":"u""#.to_owned(), text)
            }
            _ => Text::Split(format!(r#""messageId":"m{number}""#), text),
        };
        Ok(event)
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::from_bytes([self.digest; 16])
    }

    /// The record that the shard must give back.
    pub(crate) fn record(&self) -> String {
        match &self.text {
            Text::Whole(record) => record.clone(),
            Text::Split(names, properties) => {
                let time = |after: u16| format!("{NOW_AS_TEXT}.{after:03}Z");
                let (id, occurred_at, received_at) =
                    (event_id(self.id), time(self.occurred_at), time(self.received_at));
                format!(
                    r#"{{"eventId":"{id}",{names},"timestamp":"{occurred_at}","receivedAt":"{received_at}","properties":{properties}}}"#
                )
            }
        }
    }
}

/// The bytes of these events' part.
pub(crate) fn keep(events: &[Event], may_be_repeated: bool, expired_by: u64) -> Vec<u8> {
    let mut part = Vec::new();
    let (mut received_at, mut lifetime) = (0, 0);
    for event in events {
        part.extend(event.id.to_be_bytes());
        part.extend([event.digest; 16]);
        let at = |after: u16| 1000 * NOW + u64::from(after);
        let lives = event.expires_at.wrapping_sub(NOW);
        signed(&mut part, at(event.received_at).wrapping_sub(received_at));
        signed(&mut part, lives.wrapping_sub(lifetime));
        signed(&mut part, at(event.occurred_at).wrapping_sub(at(event.received_at)));
        (received_at, lifetime) = (at(event.received_at), lives);
        let (names, rest) = match &event.text {
            Text::Split(names, properties) => (names.as_str(), properties),
            Text::Whole(record) => ("", record),
        };
        for text in [names, rest] {
            unsigned(&mut part, text.len() as u64);
            part.extend(text.as_bytes());
        }
    }
    let mut keep = vec![1, u8::from(may_be_repeated)];
    unsigned(&mut keep, expired_by);
    keep.push(1);
    unsigned(&mut keep, part.len() as u64);
    keep.append(&mut part);
    keep
}

fn unsigned(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn signed(to: &mut Vec<u8>, value: u64) {
    let value = value.cast_signed();
    unsigned(to, (value << 1 ^ value >> 63).cast_unsigned());
}
