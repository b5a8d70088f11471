//! Ids of events and requests. Each is a prefix and 26 characters of Crockford's base32, which hold 128 bits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::vocabulary::digest::first_128_bits;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::{Millis, Stamp};

/// Crockford's alphabet, without I, L, O and U. Characters sort like their values, so ids sort like their numbers.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PREFIX: &[u8; 4] = b"evt_";
const DIGITS: usize = 26;
/// A sequential id holds entropy in this many low bits, and milliseconds above them.
const ENTROPY_BITS: u32 = 80;

/// The id of an event: `evt_` and 26 characters, which hold 128 bits.
///
/// Within a tenant it is the event's key in every store. The id alone decides which shard keeps the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u128);

impl EventId {
    /// The id of the event that a client calls `message_id`: the first 128 bits of SHA-256 over tenant and messageId. A
    /// retry therefore has the same id on every platform.
    pub fn of_message(tenant: &Tenant, message_id: &str) -> Self {
        let hash = Sha256::new()
            .chain_update((tenant.as_str().len() as u64).to_be_bytes()) // else ("ab", "c") and ("a", "bc") were equal
            .chain_update(tenant.as_str())
            .chain_update(message_id)
            .finalize();
        Self(first_128_bits(&hash))
    }

    /// The id of the event at `index` among the events without a messageId in a request: 48 bits of milliseconds and 80
    /// bits of entropy. `index` is added to the entropy, so the ids of one stamp are distinct and sorted.
    pub(crate) fn sequential(stamp: Stamp, index: usize) -> Self {
        // The top bit of the entropy stays clear, so that counting up never carries into the time.
        let first = stamp.entropy & ((1 << (ENTROPY_BITS - 1)) - 1);
        Self(stamp.time_bits() | (first + index as u128))
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The low bits, which are evenly distributed for both kinds of ids. The high bits of a sequential id are its time.
    pub(crate) fn low_bits(self) -> u64 {
        self.0 as u64
    }

    /// The shard that keeps this event: 0 up to, not including, `shards`.
    pub fn shard(self, shards: u32) -> u32 {
        (self.low_bits() % u64::from(shards.max(1))) as u32
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(IdText::of(PREFIX, self.0).as_str())
    }
}

/// The error for a text that is not an event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEventId;

impl fmt::Display for NotAnEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event id is `evt_` and 26 characters of Crockford's base32")
    }
}

impl std::error::Error for NotAnEventId {}

impl FromStr for EventId {
    type Err = NotAnEventId;

    /// Reads only the form that [`fmt::Display`] writes: upper case, without look-alike characters.
    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        let digits = text.as_bytes().strip_prefix(PREFIX).ok_or(NotAnEventId)?;
        // 26 digits hold 130 bits, so the first digit may carry only three of the 128.
        if digits.len() != DIGITS || !matches!(digits.first(), Some(b'0'..=b'7')) {
            return Err(NotAnEventId);
        }
        digits
            .iter()
            .try_fold(0u128, |bits, digit| {
                let value = ALPHABET.iter().position(|known| known == digit)?;
                Some(bits << 5 | value as u128)
            })
            .map(Self)
            .ok_or(NotAnEventId)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(IdText::of(PREFIX, self.0).as_str())
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Stamp {
    /// The milliseconds in the upper 48 bits of an id, so that ids sort by time.
    fn time_bits(self) -> u128 {
        u128::from(self.received_at.0) << ENTROPY_BITS
    }
}

/// The id of a request: `req_` and 26 characters. People use it to match an error with a log: a host logs it with each
/// failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u128);

impl RequestId {
    pub(crate) fn of(stamp: Stamp) -> Self {
        Self(stamp.time_bits() | stamp.entropy >> (128 - ENTROPY_BITS))
    }

    /// When the request was received.
    pub(crate) fn received_at(self) -> Millis {
        Millis((self.0 >> ENTROPY_BITS) as u64)
    }

    pub(crate) fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(IdText::of(b"req_", self.0).as_str())
    }
}

/// An id as text. Ids make up much of every answer, so they are not formatted piece by piece.
struct IdText([u8; PREFIX.len() + DIGITS]);

impl IdText {
    fn of(prefix: &[u8; PREFIX.len()], bits: u128) -> Self {
        let digit = |at: usize| ALPHABET.get((bits >> (5 * (DIGITS - 1 - at)) & 31) as usize);
        let character = |at: usize| match at.checked_sub(prefix.len()) {
            Some(at) => digit(at),
            None => prefix.get(at),
        };
        Self(std::array::from_fn(|at| character(at).copied().unwrap_or_default()))
    }

    fn as_str(&self) -> &str {
        // All characters are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}
