//! In the place of the adapter's, which tells the runtime of failures.

use std::fmt;

/// An event that is none of those the function is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InvalidEvent(pub(crate) &'static str);

impl fmt::Display for InvalidEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidEvent {}
