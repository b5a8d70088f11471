//! What an operator sees of this process: lines on standard output, metrics, and the condition of its store.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use isotherm_core::{
    Condition, Folded, Level, Line, Metrics, Millis, Ran, Reply, Request, Service, Stamp, Task, Writer,
};

use crate::request::{now, stamp};

/// What this process has counted, and what its writer knows of the store.
pub struct Watch {
    level: Level,
    /// A random name of this process.
    instance: String,
    is_used: AtomicBool,
    metrics: Mutex<Metrics>,
    /// The condition, and when it was so.
    condition: Mutex<(Condition, Millis)>,
}

impl Watch {
    /// Lines from `level` on are written, unless the configuration says another level.
    pub fn new(level: Level) -> Self {
        let instance = stamp().map_or_else(|_none| String::new(), |stamp| format!("{:016x}", stamp.entropy as u64));
        Self { level, instance, is_used: AtomicBool::default(), metrics: Mutex::default(), condition: Mutex::default() }
    }

    /// Looks at an answer before it is sent: completes it, counts it and writes its line.
    pub(crate) fn answered(
        &self,
        service: &Service,
        request: &Request<'_>,
        stamp: Stamp,
        reply: &mut Reply,
        started: Instant,
    ) {
        let is_cold = !self.is_used.swap(true, Ordering::Relaxed);
        let seen = service.seen(request, stamp, reply, Ran { duration: started.elapsed(), is_cold });
        self.metrics().add(&seen);
        write(service.line(request, &seen, self.writer()));
    }

    /// Counts a fold and writes its line.
    pub(crate) fn folded(&self, service: &Service, folded: &Folded) {
        let folded = &Folded { lag: self.condition().waits, ..*folded };
        self.metrics().fold(folded);
        if let Ok(stamp) = stamp() {
            write(service.fold_line(folded, stamp, self.writer()));
        }
    }

    /// Counts a task that failed.
    pub(crate) fn failed(&self, task: &Task) {
        self.metrics().fail(task);
    }

    /// Notes the condition of the store.
    pub(crate) fn note(&self, condition: Condition, now: Millis) {
        *self.noted() = (condition, now);
    }

    /// The condition of the store, as far as the writer has noted it.
    pub(crate) fn condition(&self) -> Condition {
        let (condition, noted) = *self.noted();
        condition.later(Duration::from_millis(now().0.saturating_sub(noted.0)))
    }

    /// What this process has counted.
    pub(crate) fn metrics(&self) -> MutexGuard<'_, Metrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted(&self) -> MutexGuard<'_, (Condition, Millis)> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Writer<'_> {
        Writer { level: self.level, instance: &self.instance, function: None, x_ray: None }
    }
}

/// Writes a line at once, so that no other gets into it. If nobody reads standard output any more, the server still
/// goes on answering.
fn write(line: Option<Line>) {
    if let Some(Line { text, .. }) = line {
        let _closed = std::io::stdout().write_all(format!("{text}\n").as_bytes());
    }
}
