//! Records that the stream's event source mapping has given up. They arrive as messages of its on-failure
//! destination, a queue.
//!
//! From then on, reports of the hours in which the records were written are incomplete. The message is kept with the
//! dead letters, where operators look.

use anyhow::{Result, bail};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use isotherm_core::given_up;
use tokio::time::{Instant, timeout_at};

use crate::failure::InvalidEvent;
use crate::store::Store;

/// Takes messages in one after another, and answers which ones to deliver again.
pub(crate) async fn take(store: &Store, batch: SqsEvent, deadline: Instant) -> Result<SqsBatchResponse> {
    let mut answer = SqsBatchResponse::default();
    for message in batch.records {
        let SqsMessage { message_id: Some(id), body: Some(body), .. } = message else {
            bail!(InvalidEvent("the event is no batch of an SQS queue: it has a message without id or body"));
        };
        let take = async {
            if let Some(written) = given_up(&body) {
                eprintln!("records of {written:?} are in no report: the stream's mapping has given them up");
                store.lose(written).await?;
            }
            store.keep_letter(&id, &body).await
        };
        if let Err(error) = timeout_at(deadline, take).await.map_err(anyhow::Error::from).flatten() {
            eprintln!("cannot take in what was given up: {error:#}");
            answer.add_failure(id);
        }
    }
    Ok(answer)
}
