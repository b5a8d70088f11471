//! The dead-letter queue in SQS, for stream records that are not events, and for records that were given up.

use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use aws_sdk_sqs::Client;
use isotherm_core::letter_notice;

use crate::aws::{environment, settings};

static SQS: LazyLock<Client> = LazyLock::new(|| Client::new(&settings("SQS")));

/// Logs letters and sends them to the queue that the environment names. Fails if no queue is named, so that nothing
/// is dropped.
pub(crate) async fn send(letters: &[String]) -> Result<()> {
    for letter in letters {
        eprintln!("{}", letter_notice(letter));
        send_on(letter).await?;
    }
    Ok(())
}

/// Sends one letter.
pub(crate) async fn send_on(letter: &str) -> Result<()> {
    let queue = environment("ISOTHERM_DEAD_LETTERS")
        .context("a record is counted nowhere, and ISOTHERM_DEAD_LETTERS names no queue")?;
    SQS.send_message().queue_url(queue).message_body(letter).send().await?;
    Ok(())
}
