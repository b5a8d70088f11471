//! How long events are kept, by their type.

use serde_json::value::RawValue;

use crate::admission::member;
use crate::vocabulary::time::{RETENTION, Seconds};

/// Stands for all event types that the configuration does not name.
const OTHERS: &str = "*";
const DAY: u64 = 24 * 60 * 60;
/// The most days that an event may be kept: ten years.
const MOST_DAYS: u64 = 3650;

/// How long events of each type are kept after they were received.
#[derive(Clone, Debug)]
pub(crate) struct Retention {
    /// Sorted by type.
    types: Vec<(String, Seconds)>,
    others: Seconds,
}

impl Default for Retention {
    fn default() -> Self {
        Self { types: Vec::new(), others: RETENTION }
    }
}

impl Retention {
    /// Reads the configuration's member, days by event type. An error text begins with the member's name.
    pub(crate) fn read(text: &RawValue) -> Result<Self, String> {
        let value = member::read("retention", text)?;
        let members = member::members(&value).ok_or("retention must be an object: days by event type")?;
        let mut retention = Self::default();
        for (event_type, days) in members {
            let days = member::whole(days).filter(|days| (1..=MOST_DAYS).contains(days));
            let days = days.ok_or_else(|| format!("retention of an event type must be 1 to {MOST_DAYS} days"))?;
            let kept = Seconds(days * DAY);
            if event_type == OTHERS {
                retention.others = kept;
            }
            retention.types.push((event_type.to_string(), kept));
        }
        Ok(retention)
    }

    /// How long an event of this type is kept.
    pub(crate) fn of(&self, event_type: &str) -> Seconds {
        let at = self.types.binary_search_by(|(known, _)| known.as_str().cmp(event_type)).ok();
        at.and_then(|at| self.types.get(at)).map_or(self.others, |(_, kept)| *kept)
    }

    /// Whether events expire in the order in which they come: all have the default.
    pub(crate) fn is_default(&self) -> bool {
        self.types.is_empty()
    }
}
