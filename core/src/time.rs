//! Points in time, in the two units that platforms mix up. They are different types, so that they can't be.

use serde::{Deserialize, Serialize};

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
        match i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
            Some(timestamp) => format!("{timestamp:.3}"),
            None => format!("{}", self.0),
        }
    }
}
