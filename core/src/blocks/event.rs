//! One event as blocks hold it: its head, and the texts of its record that the head does not say.
//!
//! A record repeats what its head holds: the id and two times. A block leaves these out, and the record is put together
//! again byte for byte. A record of any other form is kept whole.

use crate::codec::{Reader, Writer};
use crate::store::new_event::NewEvent;
use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::EventId;
use crate::vocabulary::time::{Millis, Seconds};

/// An event in a block, or on its way there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEvent<'a> {
    pub(crate) head: Head,
    pub(crate) text: Text<'a>,
}

/// What a store knows of an event without its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: EventId,
    pub(crate) digest: Digest,
    pub(crate) occurred_at: Millis,
    pub(crate) received_at: Millis,
    pub(crate) expires_at: Seconds,
}

/// The texts of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text<'a> {
    /// The members between the id and the times, which are never empty, and the properties.
    Split {
        names: &'a str,
        properties: &'a str,
    },
    Whole(&'a str),
}

const ID: &str = r#"{"eventId":""#;
const NAMES: &str = r#"","#;
const TIMESTAMP: &str = r#","timestamp":""#;
const RECEIVED: &str = r#"","receivedAt":""#;
const PROPERTIES: &str = r#"","properties":"#;
const END: &str = "}";
/// The bytes of a record beside the texts that are stored: an id has 30, and a time 24.
const FIXED: usize =
    ID.len() + 30 + NAMES.len() + TIMESTAMP.len() + 24 + RECEIVED.len() + 24 + PROPERTIES.len() + END.len();

impl<'a> BlockEvent<'a> {
    pub(crate) fn of(event: &'a NewEvent) -> Self {
        let NewEvent { id, digest, occurred_at, received_at, expires_at, ref record } = *event;
        let head = Head { id, digest, occurred_at, received_at, expires_at };
        Self { head, text: head.split(record).unwrap_or(Text::Whole(record)) }
    }

    /// The length of the record.
    pub(crate) fn record_bytes(&self) -> usize {
        let fixed = match self.text {
            Text::Whole(_) => 0,
            Text::Split { .. } => FIXED,
        };
        fixed + self.text.stored().iter().map(|text| text.len()).sum::<usize>()
    }

    /// The record, as it was given.
    pub(crate) fn record(&self) -> String {
        match self.text {
            Text::Whole(record) => record.to_owned(),
            Text::Split { names, properties } => {
                let Head { id, occurred_at, received_at, .. } = self.head;
                let (id, occurred_at, received_at) =
                    (id.to_string(), occurred_at.to_rfc3339(), received_at.to_rfc3339());
                let parts = [
                    ID,
                    &id,
                    NAMES,
                    names,
                    TIMESTAMP,
                    &occurred_at,
                    RECEIVED,
                    &received_at,
                    PROPERTIES,
                    properties,
                    END,
                ];
                parts.concat()
            }
        }
    }
}

impl Head {
    /// Splits a record that has the usual form.
    fn split<'a>(&self, record: &'a str) -> Option<Text<'a>> {
        let rest = record.strip_prefix(ID)?.strip_prefix(self.id.to_string().as_str())?.strip_prefix(NAMES)?;
        let (occurred_at, received_at) = (self.occurred_at.to_rfc3339(), self.received_at.to_rfc3339());
        let times = [TIMESTAMP, &occurred_at, RECEIVED, &received_at, PROPERTIES].concat();
        let (names, rest) = rest.split_once(&times)?;
        let properties = rest.strip_suffix(END)?;
        (!names.is_empty()).then_some(Text::Split { names, properties })
    }
}

impl<'a> Text<'a> {
    /// The two texts that are stored. Empty names say that the other is a whole record.
    pub(crate) fn stored(self) -> [&'a str; 2] {
        match self {
            Self::Split { names, properties } => [names, properties],
            Self::Whole(record) => ["", record],
        }
    }

    pub(crate) fn of_stored([names, rest]: [&'a str; 2]) -> Self {
        if names.is_empty() { Self::Whole(rest) } else { Self::Split { names, properties: rest } }
    }
}

/// Writes and reads heads one after the other. Times are written as differences, which are small.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    received_at: u64,
    /// Seconds from receipt to expiry.
    lifetime: u64,
}

impl Heads {
    pub(crate) fn write(&mut self, head: &Head, writer: &mut Writer) {
        let Head { id, digest, occurred_at: Millis(occurred_at), received_at, expires_at } = *head;
        writer.0.extend_from_slice(&id.to_bytes());
        writer.0.extend_from_slice(&digest.to_bytes());
        let lifetime = expires_at.0.wrapping_sub(received_at.to_seconds().0);
        writer.signed(received_at.0.wrapping_sub(self.received_at) as i64);
        writer.signed(lifetime.wrapping_sub(self.lifetime) as i64);
        writer.signed(occurred_at.wrapping_sub(received_at.0) as i64);
        (self.received_at, self.lifetime) = (received_at.0, lifetime);
    }

    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Option<Head> {
        let id = EventId::from_bytes(reader.take(16)?.try_into().ok()?);
        let digest = Digest::from_bytes(reader.take(16)?.try_into().ok()?);
        self.received_at = self.received_at.wrapping_add(difference(reader)?);
        self.lifetime = self.lifetime.wrapping_add(difference(reader)?);
        let received_at = Millis(self.received_at);
        let occurred_at = Millis(self.received_at.wrapping_add(difference(reader)?));
        let expires_at = Seconds(received_at.to_seconds().0.wrapping_add(self.lifetime));
        Some(Head { id, digest, occurred_at, received_at, expires_at })
    }
}

/// Reads what [`Writer::signed`] wrote, to be added with overflow.
fn difference(reader: &mut Reader<'_>) -> Option<u64> {
    let zigzag: u64 = reader.small()?;
    Some(zigzag >> 1 ^ (zigzag & 1).wrapping_neg())
}
