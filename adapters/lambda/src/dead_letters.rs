//! Dead letters: stream records that are not events, and records that were given up. They go to a queue in SQS. Where the
//! environment names no queue, they are items in the table of rollups.

use std::sync::LazyLock;

use anyhow::Result;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::Client;
use isotherm_core::{letter_name, letter_notice};

use crate::aws::{DYNAMODB, environment, settings};
use crate::store::Store;

static SQS: LazyLock<Client> = LazyLock::new(|| Client::new(&settings("SQS")));

/// The partition of the table of rollups that keeps letters.
const REJECTED: &str = "rejected";

impl Store {
    /// Logs letters and keeps them. Fails if one can't be kept, so that nothing is dropped.
    pub(crate) async fn reject(&self, letters: &[String]) -> Result<()> {
        for letter in letters {
            eprintln!("{}", letter_notice(letter));
            self.keep_letter(&letter_name(letter).unwrap_or_default(), letter).await?;
        }
        Ok(())
    }

    /// Keeps one letter. In the table a letter that is kept again under the same name overwrites itself.
    pub(crate) async fn keep_letter(&self, name: &str, letter: &str) -> Result<()> {
        if let Some(queue) = environment("ISOTHERM_DEAD_LETTERS") {
            SQS.send_message().queue_url(queue).message_body(letter).send().await?;
            return Ok(());
        }
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = DYNAMODB.put_item().table_name(&self.rollups).item("pk", text(REJECTED));
        // A name of its own, because no key of a table is empty.
        put.item("sk", text(&format!("letter {name}"))).item("letter", text(letter)).send().await?;
        Ok(())
    }
}
