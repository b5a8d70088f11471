//! The parts of the program `isotherm`.

use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;

pub mod compare;
pub mod cost;
pub mod diff;
pub mod doctor;
pub mod load;
pub mod prices;
pub mod simulate;
pub mod stats;
pub mod up;
pub mod workload;

/// Writes what a command answers to standard output. Who reads it may stop early, as `head` does: that is no failure, while
/// `print!` panics.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
