//! Prints the progress of a command every two seconds.

use std::time::{Duration, Instant};

use crate::words::{grouped, time};

/// Time between two lines.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Progress through a known number of bytes.
pub(super) struct Progress {
    what: &'static str,
    bytes: u64,
    /// Bytes that an earlier run has done. They do not count for this run's pace.
    before: u64,
    done: u64,
    began: Instant,
    told: Instant,
}

impl Progress {
    pub(super) fn new(what: &'static str, bytes: u64) -> Self {
        let now = Instant::now();
        Self { what, bytes, before: 0, done: 0, began: now, told: now }
    }

    /// Passes over bytes of an earlier run.
    pub(super) fn skip(&mut self, bytes: u64) {
        self.before += bytes;
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
    }

    /// Prints the progress, if two seconds have passed since the last line. Returns whether it did.
    pub(super) fn tell(&mut self, events: u64) -> bool {
        if self.told.elapsed() < LINE_EVERY {
            return false;
        }
        self.told = Instant::now();
        eprintln!("{}", self.line(events, self.began.elapsed()));
        true
    }

    fn line(&self, events: u64, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64();
        let rest = self.bytes.saturating_sub(self.before + self.done) as f64;
        let share = if self.bytes > 0 { 100.0 * (1.0 - rest / self.bytes as f64) } else { 100.0 };
        let left = if self.done > 0 { time(rest * seconds / self.done as f64) } else { "an unknown time".to_owned() };
        let rate = grouped((events as f64 / seconds.max(1e-3)) as u64);
        format!("{}: {} events, {rate} a second; {share:.0} %, {left} left", self.what, grouped(events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_from_this_run_s_pace() {
        let mut progress = Progress::new("restoring", 1000);
        progress.skip(500);
        let line = progress.line(0, Duration::from_secs(1));
        assert_eq!(line, "restoring: 0 events, 0 a second; 50 %, an unknown time left");
        progress.add(100);
        let line = progress.line(2000, Duration::from_secs(10));
        assert!(line.starts_with("restoring: 2,000 events, 200 a second; 60 %, 40"), "{line}");
    }
}
