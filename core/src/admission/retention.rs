//! How long events are kept, by their type.

use std::collections::BTreeMap;

use crate::vocabulary::name::name_flaw;
use crate::vocabulary::time::{RETENTION, Seconds};

/// Stands for all event types that the configuration does not name.
const OTHERS: &str = "*";
const DAY: u64 = 24 * 60 * 60;
/// The most days that an event may be kept: ten years.
const MOST_DAYS: u64 = 3650;

/// The configuration's `retention`: days by event type.
pub(crate) type RetentionText = BTreeMap<String, u64>;

/// How long events of each type are kept after they were received.
#[derive(Clone, Debug)]
pub(crate) struct Retention {
    types: BTreeMap<String, Seconds>,
    others: Seconds,
}

impl Default for Retention {
    fn default() -> Self {
        Self { types: BTreeMap::new(), others: RETENTION }
    }
}

impl Retention {
    /// Reads the configuration's member. An error text begins with the member's name.
    pub(crate) fn read(text: RetentionText) -> Result<Self, String> {
        let mut retention = Self::default();
        for (event_type, days) in text {
            if !(1..=MOST_DAYS).contains(&days) {
                return Err(format!("retention has {days} days for an event type; it must be 1 to {MOST_DAYS}"));
            }
            if name_flaw(&event_type).is_some() {
                return Err("retention names an event type that no event can have".to_owned());
            }
            let kept = Seconds(days * DAY);
            if event_type == OTHERS {
                retention.others = kept;
            }
            retention.types.insert(event_type, kept);
        }
        Ok(retention)
    }

    /// How long an event of this type is kept.
    pub(crate) fn of(&self, event_type: &str) -> Seconds {
        self.types.get(event_type).copied().unwrap_or(self.others)
    }

    /// Whether events expire in the order in which they come: all have the default.
    pub(crate) fn is_default(&self) -> bool {
        self.types.is_empty()
    }
}
