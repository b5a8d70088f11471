//! Times as AWS's services write them.

use std::time::{Duration, SystemTime};

/// The longest time, in milliseconds. It can be added to any other time, and fits into a SQLite integer.
const LONGEST: u64 = u64::MAX / 2;

/// The time since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The time since 1970, in milliseconds.
pub(crate) fn now_ms() -> u64 {
    ms(now())
}

/// A duration in milliseconds, at most [`LONGEST`].
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).map_or(LONGEST, |ms| ms.min(LONGEST))
}

/// Formats a time that is given in milliseconds since 1970.
pub(crate) fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.unwrap_or_default().to_string()
}
