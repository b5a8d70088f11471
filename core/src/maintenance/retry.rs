//! When what has failed is tried again.

use crate::vocabulary::time::Millis;

/// The first wait after a failure, in milliseconds. It doubles with each further failure.
pub(super) const RETRY: u64 = 1000;
/// The longest wait after a failure, in milliseconds.
pub(super) const LONGEST_RETRY: u64 = 60_000;

/// When a failed task is tried again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    failures: u32,
    at: Millis,
}

impl Retry {
    /// Takes in one more failure.
    pub(super) fn failed(&mut self, now: Millis) {
        let wait = RETRY.saturating_mul(1 << self.failures.min(16)).min(LONGEST_RETRY);
        *self = Self { failures: self.failures.saturating_add(1), at: after(now, wait) };
    }

    /// The time at which a task that is due at `due` may be done.
    pub(super) fn not_before(self, due: Millis, now: Millis) -> Millis {
        due.max(within(self.at, LONGEST_RETRY, now))
    }
}

/// The time after a wait in milliseconds.
pub(super) fn after(time: Millis, wait: u64) -> Millis {
    Millis(time.0.saturating_add(wait))
}

/// A time that was set at most `longest` ahead. If it is further ahead than that, the clock has gone back since it was
/// set, so it becomes now.
pub(super) fn within(at: Millis, longest: u64, now: Millis) -> Millis {
    if at > after(now, longest) { now } else { at }
}
