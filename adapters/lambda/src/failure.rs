//! Failures of an invocation, named so that an operator can alarm on each kind.

use std::fmt;

use isotherm_core::Unread;
use lambda_runtime::Diagnostic;
use tokio::time::error::Elapsed;

/// The event is not of a kind that this function handles: whoever invokes the function has to be set right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InvalidEvent(pub(crate) &'static str);

impl fmt::Display for InvalidEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidEvent {}

/// The kind and place of a flaw in an event. The library's own text may quote the event, which has a client's text.
pub(crate) fn flaw(error: &serde_json::Error) -> anyhow::Error {
    let (line, column) = (error.line(), error.column());
    anyhow::anyhow!("{:?} error at line {line} column {column}", error.classify())
}

/// A failed invocation.
#[derive(Debug)]
pub(crate) struct Failure(anyhow::Error);

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

impl From<Failure> for Diagnostic {
    /// The error type is part of the contract with operators: it appears in the invocation's answer and log.
    fn from(Failure(error): Failure) -> Self {
        let error_type = if error.is::<InvalidEvent>() {
            "Isotherm.InvalidEvent"
        } else if error.is::<Unread>() {
            "Isotherm.Configuration"
        } else if error.is::<Elapsed>() {
            "Isotherm.Deadline"
        } else {
            "Isotherm.Store"
        };
        Self { error_type: error_type.to_owned(), error_message: format!("{error:#}") }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};
    use isotherm_core::Service;

    use super::*;

    #[track_caller]
    fn check(error: anyhow::Error, error_type: &str, error_message: &str) {
        let expected = Diagnostic { error_type: error_type.to_owned(), error_message: error_message.to_owned() };
        assert_eq!(Diagnostic::from(Failure::from(error)), expected);
    }

    #[test]
    fn error_types_are_names_for_operators() {
        check(anyhow!(InvalidEvent("no event")), "Isotherm.InvalidEvent", "no event");
        let caused: Result<(), _> = Err(anyhow!("no JSON")).context(InvalidEvent("no event"));
        check(caused.unwrap_err(), "Isotherm.InvalidEvent", "no event: no JSON");
        check(anyhow!("throttled"), "Isotherm.Store", "throttled");
        let unread = Service::unread("no answer").known().unwrap_err();
        check(unread.into(), "Isotherm.Configuration", "the configuration could not be read: no answer");
    }

    #[tokio::test]
    async fn a_deadline_is_told_from_a_store_that_failed() {
        let late = tokio::time::timeout(std::time::Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
        check(late.into(), "Isotherm.Deadline", "deadline has elapsed");
    }
}
