//! Turns batches of a DynamoDB stream's event source mapping into core's, and the results into the mapping's answer.
//!
//! The mapping needs a tumbling window: without one, a batch does not name its shard.

use anyhow::{Context as _, Error, Result};
use aws_lambda_events::dynamodb::{EventRecord, TimeWindowEvent, TimeWindowEventResponse};
use aws_lambda_events::streams::DynamoDbBatchItemFailure;
use isotherm_core::{Millis, Service, StreamBatch, StreamItem, StreamRecord, Watermark};
use serde_dynamo::AttributeValue;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backup;
use crate::failure::InvalidEvent;
use crate::store::{PAUSE, Store};

/// Folds a batch. After a failure or at the deadline, it answers with the first record that is not folded. The
/// window's state is never used, so it stays what it is.
///
/// # Errors
/// A batch without records can't be folded.
pub(crate) async fn fold(
    service: &Service,
    store: &Store,
    event: TimeWindowEvent,
    deadline: Instant,
) -> Result<TimeWindowEventResponse> {
    let mut answer = TimeWindowEventResponse::default();
    let (mut batch, mut watermark) = (batch_of(&event)?, Watermark::start());
    let stream = event.time_window_properties.event_source_arn.as_deref().unwrap_or_default();
    let all = async {
        if let Some(bucket) = &store.bucket {
            backup::put(bucket, batch.backups()).await?;
        }
        loop {
            if let Some(pulses) = store.fold(service, stream, &mut batch, &mut watermark).await? {
                return Ok(pulses);
            }
            sleep(PAUSE).await;
        }
    };
    match timeout_at(deadline, all).await.map_err(Error::from).flatten() {
        Ok(pulses) => {
            // Everything is folded. Pulses that come too late are missed, but nothing else is.
            let _late = timeout_at(deadline, store.pulse(pulses)).await;
        }
        Err(error) => {
            eprintln!("cannot fold: {error:#}");
            let first = batch.records.get(batch.folded(&watermark)).ok_or(error)?;
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(first.sequence_number.to_owned());
            answer.batch_item_failures.push(failure);
        }
    }
    answer.time_window_event_response_properties.state = event.time_window_properties.state;
    Ok(answer)
}

/// Returns core's view of the batch.
fn batch_of(event: &TimeWindowEvent) -> Result<StreamBatch<'_>> {
    let window = &event.time_window_properties;
    let end = window.is_final_invoke_for_window.then(|| window.window.end.timestamp_millis());
    let mut batch = StreamBatch {
        shard_id: window.shard_id.as_deref().context(InvalidEvent("the batch does not name its shard"))?,
        window_start: Millis(window.window.start.timestamp_millis().try_into()?),
        records: event.dynamo_db_event.records.iter().map(record_of).collect::<Result<_>>()?,
        complete_to: end.map(u64::try_from).transpose()?.map(Millis),
    };
    batch.sort();
    Ok(batch)
}

fn record_of(record: &EventRecord) -> Result<StreamRecord<'_>> {
    let change = &record.change;
    let text = |name: &str| match change.new_image.get(name) {
        Some(AttributeValue::S(text)) => Some(text.as_str()),
        _ => None,
    };
    let key = text("pk");
    let tenant = key.and_then(|key| key.split_once('#')).map(|(tenant, _id)| tenant);
    Ok(StreamRecord {
        sequence_number: change.sequence_number.as_deref().context(InvalidEvent("a record has no number"))?,
        // Whole seconds: DynamoDB gives no finer time for a record, and the library reads none.
        written_at: Millis(change.approximate_creation_date_time.timestamp_millis().try_into()?),
        item: (!change.new_image.is_empty()).then(|| StreamItem { key, tenant, record: text("record") }),
        is_new: record.event_name == "INSERT",
    })
}
