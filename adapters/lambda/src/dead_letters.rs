//! The dead-letter queue in SQS, for what the stream brings that is no event, and for what of it was given up.

use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use aws_sdk_sqs::Client;
use isotherm_core::letter_notice;

use crate::aws::{environment, settings};

static SQS: LazyLock<Client> = LazyLock::new(|| Client::new(&settings("SQS")));

/// Sends letters to the queue that the environment names. Fails where it names none: nothing is dropped.
pub(crate) async fn send(letters: &[String]) -> Result<()> {
    for letter in letters {
        eprintln!("{}", letter_notice(letter));
        send_on(letter).await?;
    }
    Ok(())
}

/// Sends one.
pub(crate) async fn send_on(letter: &str) -> Result<()> {
    let queue = environment("ISOTHERM_DEAD_LETTERS")
        .context("a record is counted nowhere, and ISOTHERM_DEAD_LETTERS names no queue")?;
    SQS.send_message().queue_url(queue).message_body(letter).send().await?;
    Ok(())
}
