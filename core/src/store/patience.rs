//! How long a request waits for a store that is busy with another request's writes.

use std::time::Duration;

/// A request that finds the store locked retries until this long after its arrival: as long as a function on Lambda may
/// take.
const DEADLINE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// The retries that a request has left for a busy store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    next: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { next: FIRST_PAUSE }
    }
}

impl Patience {
    /// The pause before the next try. Each pause is twice as long as the one before it, up to a bound. `None` if the
    /// deadline comes first; then the store counts as unavailable. `since_arrival` is how long ago the request arrived.
    pub fn pause(&mut self, since_arrival: Duration) -> Option<Duration> {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(LONGEST_PAUSE);
        (since_arrival.saturating_add(pause) < DEADLINE).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_end_before_the_deadline() {
        let (mut patience, mut waited, mut pauses) = (Patience::default(), Duration::ZERO, Vec::new());
        while let Some(pause) = patience.pause(waited) {
            waited += pause;
            pauses.push(pause);
        }
        assert_eq!(pauses.first(), Some(&FIRST_PAUSE));
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        assert!(pauses.is_sorted() && pauses.len() < 50, "{pauses:?}");
        assert!(waited < DEADLINE && waited + LONGEST_PAUSE >= DEADLINE, "{waited:?}");
    }

    #[test]
    fn a_try_that_took_all_the_time_is_the_last() {
        assert_eq!(Patience::default().pause(DEADLINE), None);
        assert_eq!(Patience::default().pause(Duration::MAX), None);
    }
}
