//! What a fold did, for lines and metrics.

use std::time::Duration;

use crate::rollups::stored::Merged;

/// What one fold did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The events that were folded.
    pub events: u64,
    /// The pages that were written.
    pub pages: u64,
    /// The records that no report counts.
    pub rejected: u64,
    /// The stored pages that could not be read.
    pub damaged: u64,
    /// For how long the oldest of the events had waited, if the host knows it.
    pub lag: Option<Duration>,
}

impl Folded {
    /// What a compaction could not read; `None` if it could read everything. It is counted as if a fold had met it.
    pub fn damage(merged: &Merged) -> Option<Self> {
        let damaged = merged.damaged.len() as u64;
        (damaged > 0).then(|| Self { damaged, ..Self::default() })
    }

    /// Adds another fold of the same store, which came later.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        Self {
            events: self.events + later.events,
            pages: self.pages + later.pages,
            rejected: self.rejected + later.rejected,
            damaged: self.damaged + later.damaged,
            lag: self.lag.max(later.lag),
        }
    }
}
