//! The parts of the program `isotherm`.

use std::error::Error;
use std::fmt::{Display, Formatter};
use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;

pub mod command;
mod contract;
mod figures;
pub mod load;
mod measure;
mod model;
mod render;
pub mod results;
pub mod stats;
mod system;
mod text;
mod verdict;
mod words;
pub mod workload;

/// Asserts that parsing refuses each text with an error that contains the expected words.
#[cfg(test)]
#[track_caller]
fn assert_refused<T: std::str::FromStr<Err: Into<anyhow::Error>>>(texts: &[(&str, &str)]) {
    for (text, expected) in texts {
        let error = text.parse::<T>().map_or_else(|error| format!("{:#}", error.into()), |_| "it is taken".to_owned());
        assert!(error.contains(expected), "{text}: {error}");
    }
}

/// An error of what the user has given, for which the exit code is 2.
#[derive(Debug)]
pub struct BadInput(pub anyhow::Error);

impl Display for BadInput {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl Error for BadInput {}

/// Writes a command's answer to standard output. A reader may close the pipe early, as `head` does. That is not a
/// failure here, while `print!` would panic.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
