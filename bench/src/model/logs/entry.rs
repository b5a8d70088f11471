//! What is kept of a line, and the times in it.

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::model::simulate::time::Micros;

/// What is kept of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Entry {
    /// When it arrived, in microseconds since 1970.
    pub at: i64,
    /// True if the line gives the time in whole seconds.
    pub is_whole: bool,
    pub status: Option<u16>,
    /// How long the answer took.
    pub duration: Option<Micros>,
    /// How long Lambda initialised for it.
    pub init: Option<Micros>,
    /// What Lambda billed for it.
    pub billed: Option<Micros>,
    pub memory_mb: Option<u32>,
    /// Bytes of the request and of the answer, as far as they are logged.
    pub bytes: Option<u64>,
}

/// A time as RFC 3339 has it, also without a zone, which is UTC.
pub(super) fn time(text: &str) -> Result<i64> {
    let zoned = text.parse::<Timestamp>().or_else(|_no_zone| format!("{}Z", text.replacen(' ', "T", 1)).parse());
    Ok(zoned.with_context(|| format!("{text:?} is no time"))?.as_microsecond())
}

/// A time as Apache writes it: `10/Oct/2026:13:55:36 +0000`.
pub(super) fn apache_time(text: &str) -> Result<i64> {
    let read = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text);
    Ok(read.with_context(|| format!("{text:?} is no time, such as 10/Oct/2026:13:55:36 +0000"))?.as_microsecond())
}

/// Seconds, such as `0.012`; `None` for `-` and `-1`.
pub(super) fn seconds(text: &str) -> Option<Micros> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..1e9).contains(seconds))?;
    Some(Micros::from_seconds(seconds))
}

/// Milliseconds.
pub(super) fn millis(ms: f64) -> Option<Micros> {
    (0.0..1e12).contains(&ms).then(|| Micros::from_ms(ms))
}

/// True for a whole second, given in microseconds.
pub(super) fn is_whole(time: i64) -> bool {
    time % 1_000_000 == 0
}

/// The time of a request that ended at `end`.
pub(super) fn began(end: i64, took: Option<Micros>) -> i64 {
    end.saturating_sub_unsigned(took.unwrap_or_default().0)
}
