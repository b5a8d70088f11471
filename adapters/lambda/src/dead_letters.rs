//! The dead-letter queue in SQS, for what the stream brings that is no event.

use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use aws_sdk_sqs::Client;

use crate::aws::{environment, settings};

static SQS: LazyLock<Client> = LazyLock::new(|| Client::new(&settings("SQS")));

/// Sends letters to the queue that the environment names. Fails where it names none: nothing is dropped.
pub(crate) async fn send(letters: &[String]) -> Result<()> {
    for letter in letters {
        eprintln!("in no report: {letter}");
        let queue = environment("ISOTHERM_DEAD_LETTERS")
            .context("a record is no event, and ISOTHERM_DEAD_LETTERS names no queue")?;
        SQS.send_message().queue_url(queue).message_body(letter).send().await?;
    }
    Ok(())
}
