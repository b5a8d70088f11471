//! The condition of a store: whether folding keeps up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::load::Load;

/// A store whose events wait longer than this for a fold is stuck. Several folds have failed by then.
const STUCK: Duration = Duration::from_secs(15 * 60);

/// What a host knows of one store, or of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The events that are not folded; `None` where the store hands them over as a stream.
    pub unfolded: Option<Load>,
    /// For how long the oldest of them has waited for a fold.
    pub waits: Option<Duration>,
    /// Whether a timer folds. Without one, a few events wait for as long as no more come and no cron asks.
    pub has_timer: bool,
    /// Whether the store refuses new events, because too many are not folded.
    pub is_full: bool,
    /// How many records no report counts; `None` where they are kept elsewhere.
    pub rejected: Option<u64>,
}

impl Condition {
    /// The same condition this much later, if nothing was folded meanwhile.
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        let has_events = self.unfolded.is_some_and(|unfolded| unfolded.events > 0);
        Self { waits: self.waits.map(|waits| if has_events { waits.saturating_add(by) } else { waits }), ..self }
    }

    /// The same condition with this number of records that no report counts.
    #[must_use]
    pub fn with_rejected(self, rejected: u64) -> Self {
        Self { rejected: Some(rejected), ..self }
    }

    /// Why folding is stuck, if it is.
    pub(crate) fn stuck(&self) -> Option<String> {
        let minutes = |waits: Duration| waits.as_secs() / 60;
        match self {
            Self { is_full: true, .. } => Some("too many events wait to be folded: new ones are refused".to_owned()),
            Self { waits: Some(waits), has_timer: true, .. } if *waits > STUCK => {
                Some(format!("folding is stuck: events have waited for {} minutes", minutes(*waits)))
            }
            _ => None,
        }
    }
}
