//! What a fold did, for lines and metrics.

use std::time::Duration;

/// What one fold did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The events that were folded.
    pub events: u64,
    /// The pages that were written.
    pub pages: u64,
    /// The records that no report counts.
    pub rejected: u64,
    /// For how long the oldest of the events had waited, if the host knows it.
    pub lag: Option<Duration>,
}

impl Folded {
    /// Adds another fold of the same store, which came later.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        Self {
            events: self.events + later.events,
            pages: self.pages + later.pages,
            rejected: self.rejected + later.rejected,
            lag: self.lag.max(later.lag),
        }
    }
}
