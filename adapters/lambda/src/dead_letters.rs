//! The dead-letter queue in SQS, for what the stream brings that is no event.

use std::sync::OnceLock;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;

use crate::aws::{environment, settings};

/// The queue, and a client that is made when it is first needed.
pub(crate) struct DeadLetters {
    url: Option<String>,
    client: OnceLock<Client>,
}

impl DeadLetters {
    /// The queue that the environment names.
    pub(crate) fn of_environment() -> Self {
        Self { url: environment("ISOTHERM_DEAD_LETTERS"), client: OnceLock::new() }
    }

    /// Sends letters.
    ///
    /// # Errors
    /// When one is not known to be in the queue, or no queue is configured: nothing is dropped.
    pub(crate) async fn send(&self, letters: &[String]) -> Result<(), String> {
        for letter in letters {
            eprintln!("in no report: {letter}");
            let url = self.url.as_deref().ok_or("a record is no event, and ISOTHERM_DEAD_LETTERS names no queue")?;
            let client = self.client.get_or_init(|| Client::new(&settings("SQS", environment)));
            let sent = client.send_message().queue_url(url).message_body(letter).send().await;
            sent.map_err(|error| format!("cannot send a dead letter: {}", DisplayErrorContext(error)))?;
        }
        Ok(())
    }
}
