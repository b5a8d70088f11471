//! Events that are refused because too many came.

use serde::{Deserialize, Serialize};

/// Why events are refused, and when to send them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Whether the quota of the day is used up. If not, events came too fast.
    pub is_quota: bool,
    /// Seconds until the events may come: 1 or more.
    pub retry_after: u32,
}
