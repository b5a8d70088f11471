//! Lines for the operator, on standard error.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A lasting failure is reported this often.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Prints a line in one write, so that no other line gets into it.
pub fn line(text: impl Display) {
    // If nobody reads standard error any more, the server still goes on answering.
    let _closed = std::io::stderr().write_all(format!("isotherm-native: {text}\n").as_bytes());
}

/// Prints that `what` failed. A failure that was just reported is only counted, and the next line gives the count.
pub(crate) fn failure(what: &'static str, error: impl Display) {
    static TOLD: Mutex<BTreeMap<&str, (Instant, u64)>> = Mutex::new(BTreeMap::new());
    let now = Instant::now();
    let untold = {
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get_mut(what) {
            Some((at, untold)) if now.duration_since(*at) < AGAIN_AFTER => {
                *untold += 1;
                return;
            }
            known => {
                let untold = known.map_or(0, |(_, untold)| *untold);
                told.insert(what, (now, 0));
                untold
            }
        }
    };
    match untold {
        0 => line(format_args!("{what}: {error}")),
        _ => line(format_args!("{what}: {error} (and {untold} times before, since the last such line)")),
    }
}
