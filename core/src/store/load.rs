//! The size of some events.

use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

use crate::reports::data::ITEM_BYTES;

/// The size of some events: their number, and the bytes of their records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// The number of events.
    pub events: usize,
    /// Bytes of their [`crate::NewEvent::record`]s.
    pub bytes: usize,
}

/// Bytes of a usual event's record, at most. Most records have half as many.
const USUAL_BYTES: usize = 1024;

impl Load {
    /// So many events, or the bytes of as many usual ones. Larger events take longer, and requests wait meanwhile.
    pub(crate) const fn usual(events: usize) -> Self {
        Self { events, bytes: events * USUAL_BYTES }
    }

    /// The load of one record.
    pub fn of(record: &str) -> Self {
        Self { events: 1, bytes: record.len() }
    }

    pub(crate) fn reaches(self, other: Self) -> bool {
        self.events >= other.events || self.bytes >= other.bytes
    }

    /// How much of a report's budget the events take.
    pub(crate) fn budget_bytes(self) -> usize {
        self.bytes.saturating_add(self.events.saturating_mul(ITEM_BYTES))
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { events: self.events.saturating_add(other.events), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl Sub for Load {
    type Output = Self;

    /// Subtracts `other`. If `other` has as many events or more, nothing is left.
    fn sub(self, other: Self) -> Self {
        match self.events.saturating_sub(other.events) {
            0 => Self::default(),
            events => Self { events, bytes: self.bytes.saturating_sub(other.bytes) },
        }
    }
}

impl Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), Self::add)
    }
}
