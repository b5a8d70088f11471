//! Lines for the operator, on standard error.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use isotherm_core::RequestId;

/// A lasting failure is reported this often.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// So many requests are reported earlier.
const REQUESTS: usize = 100;

/// Prints a line in one write, so that no other line gets into it.
pub fn line(text: impl Display) {
    // If nobody reads standard error any more, the server still goes on answering.
    let _closed = std::io::stderr().write_all(format!("isotherm-native: {text}\n").as_bytes());
}

/// What has failed: when the last line of it was printed, and what has happened since.
static FAILURES: Mutex<BTreeMap<&str, Failure>> = Mutex::new(BTreeMap::new());

/// Failures of one kind.
struct Failure {
    told_at: Instant,
    /// How many are not printed yet.
    untold: u64,
    /// The last error.
    error: String,
    /// The requests that got no better answer.
    requests: Vec<RequestId>,
    /// `true` while a thread is about to print the rest.
    is_awaited: bool,
}

/// Prints that `what` failed, and for which requests. If that was just printed, the line comes later, for all failures
/// since then together.
pub(crate) fn failure(what: &'static str, error: impl Display, requests: &[RequestId]) {
    let now = Instant::now();
    let mut failures = failures();
    let is_new = !failures.contains_key(what);
    let failure = failures.entry(what).or_insert_with(|| Failure {
        told_at: now,
        untold: 0,
        error: String::new(),
        requests: Vec::new(),
        is_awaited: false,
    });
    failure.error = error.to_string();
    failure.untold += 1;
    failure.requests.extend_from_slice(requests);
    if is_new || failure.requests.len() >= REQUESTS || now.duration_since(failure.told_at) >= AGAIN_AFTER {
        failure.tell(what, now);
    } else if !failure.is_awaited {
        let later = move || {
            thread::sleep(AGAIN_AFTER);
            if let Some(failure) = self::failures().get_mut(what) {
                failure.is_awaited = false;
                failure.tell(what, Instant::now());
            }
        };
        // Without a thread the next failure prints it, or the end of the process.
        failure.is_awaited = thread::Builder::new().name("log".to_owned()).spawn(later).is_ok();
    }
}

/// Prints all failures that are not printed yet.
pub(crate) fn flush() {
    let now = Instant::now();
    failures().iter_mut().for_each(|(what, failure)| failure.tell(what, now));
}

fn failures() -> MutexGuard<'static, BTreeMap<&'static str, Failure>> {
    FAILURES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Failure {
    fn tell(&mut self, what: &str, now: Instant) {
        if self.untold > 0 {
            line(format_args!("{what}: {self}"));
            (self.told_at, self.untold) = (now, 0);
            self.requests.clear();
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        for (index, request) in self.requests.iter().enumerate() {
            write!(f, "{}{request}", if index == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.requests.is_empty() { "" } else { ")" })?;
        match self.untold {
            0 | 1 => Ok(()),
            count => write!(f, ", {count} times since the last such line"),
        }
    }
}
