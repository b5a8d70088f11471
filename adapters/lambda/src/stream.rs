//! Turns batches of a DynamoDB stream's event source mapping into core's, and the results into the mapping's answer.
//!
//! The mapping needs a tumbling window: without one, a batch does not name its shard.

use anyhow::{Context as _, Error, Result};
use aws_lambda_events::dynamodb::{EventRecord, TimeWindowEvent, TimeWindowEventResponse};
use aws_lambda_events::streams::DynamoDbBatchItemFailure;
use isotherm_core::{Millis, Service, StreamBatch, StreamItem, StreamRecord, UnreadableEvent, Watermark};
use serde_dynamo::AttributeValue;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backup;
use crate::failure::InvalidEvent;
use crate::store::{EVENT, PAUSE, Store};

/// Folds a batch. After a failure or at the deadline, it answers with the first record that is not folded. The
/// window's state is never used, so it stays what it is.
///
/// # Errors
/// A batch without records can't be folded, or the shapes of its events can't be read. Or the configuration can't be
/// read for now: the stream delivers the batch again.
pub(crate) async fn fold(
    service: &Service,
    store: &Store,
    event: TimeWindowEvent,
    deadline: Instant,
) -> Result<TimeWindowEventResponse> {
    service.known()?;
    let mut answer = TimeWindowEventResponse::default();
    let packed = || event.dynamo_db_event.records.iter().map(packed_of);
    let shapes = store.learn_shapes(packed().flatten().map(|(_id, packed)| packed));
    timeout_at(deadline, shapes).await??;
    let unpacked = packed().map(|packed| packed.map(|(id, packed)| store.unpacker().record(id, packed)));
    let unpacked: Vec<_> = unpacked.collect();
    let (mut batch, mut watermark) = (batch_of(&event, &unpacked)?, Watermark::start());
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

/// What packed events' records are: `None` for other items.
type Unpacked = Option<Result<String, UnreadableEvent>>;

/// Returns core's view of the batch, given the unpacked record of each of its records.
fn batch_of<'e>(event: &'e TimeWindowEvent, unpacked: &'e [Unpacked]) -> Result<StreamBatch<'e>> {
    let window = &event.time_window_properties;
    let end = window.is_final_invoke_for_window.then(|| window.window.end.timestamp_millis());
    let records = event.dynamo_db_event.records.iter().zip(unpacked);
    let mut batch = StreamBatch {
        shard_id: window.shard_id.as_deref().context(InvalidEvent("the batch does not name its shard"))?,
        window_start: Millis(window.window.start.timestamp_millis().try_into()?),
        records: records.map(|(record, unpacked)| record_of(record, unpacked)).collect::<Result<_>>()?,
        complete_to: end.map(u64::try_from).transpose()?.map(Millis),
    };
    batch.sort();
    Ok(batch)
}

fn record_of<'e>(record: &'e EventRecord, unpacked: &'e Unpacked) -> Result<StreamRecord<'e>> {
    let change = &record.change;
    let unpacked = unpacked.as_ref().map(|record| record.as_deref().map_err(|why| *why));
    let (key, tenant) = (text(record, "pk"), key_of(record).map(|(tenant, _id)| tenant));
    let record_text = unpacked.or_else(|| text(record, "record").map(Ok));
    Ok(StreamRecord {
        sequence_number: change.sequence_number.as_deref().context(InvalidEvent("a record has no number"))?,
        // Whole seconds: DynamoDB gives no finer time for a record, and the library reads none.
        written_at: Millis(change.approximate_creation_date_time.timestamp_millis().try_into()?),
        item: (!change.new_image.is_empty()).then_some(StreamItem { key, tenant, record: record_text }),
        is_new: record.event_name == "INSERT",
    })
}

/// The id of a packed event, and its bytes.
fn packed_of(record: &EventRecord) -> Option<(&str, &[u8])> {
    match record.change.new_image.get(EVENT) {
        Some(AttributeValue::B(packed)) => key_of(record).map(|(_tenant, id)| (id, &**packed)),
        _ => None,
    }
}

/// The tenant and the id in an item's key.
fn key_of(record: &EventRecord) -> Option<(&str, &str)> {
    text(record, "pk")?.split_once('#')
}

fn text<'e>(record: &'e EventRecord, name: &str) -> Option<&'e str> {
    match record.change.new_image.get(name) {
        Some(AttributeValue::S(text)) => Some(text.as_str()),
        _ => None,
    }
}
