//! Decides whether a host with one writer writes the events that wait for it.

use crate::maintenance::machine::{Maintenance, Next};
use crate::vocabulary::time::Millis;

/// What to do with the events that wait for a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Write them.
    Write,
    /// Let them wait for the task that [`Maintenance::next`] names, which may make room. Then ask again.
    AfterNextTask,
    /// Refuse them with [`StoreOutcome::Overloaded`](crate::StoreOutcome::Overloaded).
    Refuse,
}

impl Maintenance {
    /// Decides on the events that wait. The unfolded tail is that of all tenants, and each tenant's events wait in a queue
    /// of their own. So while a task may make room, nobody is refused for another tenant's flood.
    pub fn intake(&self, now: Millis) -> Intake {
        match self.next(now) {
            _ if self.takes_events() => Intake::Write,
            Next::Do(_) => Intake::AfterNextTask,
            Next::SleepUntil(_) => Intake::Refuse,
        }
    }
}
