//! The dead-letter queue in SQS: what the stream brings that is no event.

use std::sync::OnceLock;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use serde::Serialize;

use crate::aws::{environment, settings};
use crate::stream::Record;

/// Of a longer record, the beginning: in a message it has to fit with all its escapes.
const RECORD_BYTES: usize = 100_000;

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

/// The letter of a record, as JSON.
pub(crate) fn letter(shard_id: &str, record: &Record<'_>, reason: &str) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Letter<'a> {
        reason: &'a str,
        shard_id: &'a str,
        sequence_number: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        record: Option<&'a str>,
    }
    let sequence_number = record.sequence_number();
    let text = record.record().map(|text| &text[..text.floor_char_boundary(RECORD_BYTES)]);
    let letter = Letter { reason, shard_id, sequence_number, key: record.key(), record: text };
    // Only maps with other keys than strings fail.
    serde_json::to_string(&letter).unwrap_or_else(|_no_json| reason.to_owned())
}
