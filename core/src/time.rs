//! Points in time, in the two units that platforms mix up. They are different types, so that they can't be.

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Millis(pub u64);

/// Seconds since 1970-01-01T00:00:00Z, the unit of DynamoDB's TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seconds(pub u64);

/// How long an event is kept after it was received: 90 days.
pub const RETENTION: Seconds = Seconds(90 * 24 * 60 * 60);

/// What the host knows and core must not ask for: when the request arrived, and 128 random bits.
///
/// Equal requests with equal stamps give equal bytes on every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The host's clock when the request arrived.
    pub received_at: Millis,
    /// 128 bits from the platform's source of randomness.
    pub entropy: u128,
}

impl Millis {
    /// When an event that was received now may be forgotten.
    pub(crate) fn expiry(self) -> Seconds {
        Seconds(self.0 / 1000 + RETENTION.0)
    }

    /// RFC 3339 in UTC with milliseconds: `2013-01-01T10:15:00.000Z`.
    pub(crate) fn to_rfc3339(self) -> String {
        // Only a clock beyond the year 9999 has no such form, and then the latest that has one will do.
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
        format!("{timestamp:.3}")
    }

    /// Reads RFC 3339; what is finer than a millisecond is dropped.
    pub(crate) fn from_rfc3339(text: &str) -> Result<Self, Refusal> {
        // jiff reads more than RFC 3339 has: a blank for the `T`, offsets without minutes, zones in brackets.
        let shape = text.as_bytes();
        let offset_with_minutes = shape.len() > 6 && shape[shape.len() - 3] == b':';
        let zulu = matches!(shape.last(), Some(b'Z' | b'z'));
        if !matches!(shape.get(10), Some(b'T' | b't')) || !(zulu || offset_with_minutes) {
            return Err(Refusal::InvalidTimestamp);
        }
        let timestamp: jiff::Timestamp = text.parse().map_err(|_unreadable| Refusal::InvalidTimestamp)?;
        u64::try_from(timestamp.as_millisecond()).map(Self).map_err(|_negative| Refusal::TimestampOutOfRange)
    }
}
