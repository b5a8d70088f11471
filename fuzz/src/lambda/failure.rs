//! Replaces the adapter's `failure`, which tells the runtime of failures.

use std::fmt;

/// The event is not of a kind that the function handles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InvalidEvent(pub(crate) &'static str);

impl fmt::Display for InvalidEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidEvent {}

/// The kind of a flaw in an event.
pub(crate) fn flaw(error: &serde_json::Error) -> anyhow::Error {
    anyhow::anyhow!("{:?} error", error.classify())
}
