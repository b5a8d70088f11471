//! From the batches of an event source mapping for a DynamoDB stream to core's, and back to its answer.
//!
//! The mapping needs a tumbling window: without one a batch does not name its shard.

use std::borrow::Cow;

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use isotherm_core::{Millis, StreamBatch, StreamItem, StreamRecord};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::request::Text;

/// What is read of a batch; the names are AWS's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Batch<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<Record<'a>>,
    #[serde(borrow)]
    shard_id: Cow<'a, str>,
    #[serde(borrow)]
    window: Window<'a>,
    #[serde(default)]
    is_final_invoke_for_window: bool,
    #[serde(borrow)]
    pub(crate) state: Option<&'a RawValue>,
}

/// A stretch of the time at which records were written.
#[derive(Deserialize)]
struct Window<'a> {
    #[serde(borrow)]
    end: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    event_name: Cow<'a, str>,
    #[serde(borrow)]
    dynamodb: Change<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change<'a> {
    /// Seconds.
    approximate_creation_date_time: f64,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    new_image: Option<Image<'a>>,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow)]
    pk: Attribute<'a>,
    #[serde(borrow)]
    record: Option<Attribute<'a>>,
}

#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(rename = "S", borrow)]
    text: Option<Text<'a>>,
}

impl Batch<'_> {
    /// The batch as core sees it.
    pub(crate) fn records(&self) -> StreamBatch<'_> {
        let end = DateTime::from_str(&self.window.end, DateTimeFormat::DateTime).ok();
        let end = end.and_then(|end| u64::try_from(end.to_millis().ok()?).ok());
        StreamBatch {
            shard_id: &self.shard_id,
            records: self.records.iter().map(Record::record).collect(),
            complete_to: end.filter(|_| self.is_final_invoke_for_window).map(Millis),
        }
    }
}

impl Record<'_> {
    fn record(&self) -> StreamRecord<'_> {
        let Change { approximate_creation_date_time: seconds, sequence_number, new_image } = &self.dynamodb;
        // What else there is are events that the table has forgotten.
        let image = new_image.as_ref().filter(|_| self.event_name == "INSERT");
        // Saturates, and no clock is there.
        StreamRecord { sequence_number, written_at: Millis((seconds * 1000.0) as u64), item: image.map(Image::item) }
    }
}

impl Image<'_> {
    fn item(&self) -> StreamItem<'_> {
        let key = self.pk.text();
        let tenant = key.and_then(|key| key.split_once('#')).map(|(tenant, _id)| tenant);
        StreamItem { key, tenant, record: self.record.as_ref().and_then(Attribute::text) }
    }
}

impl Attribute<'_> {
    fn text(&self) -> Option<&str> {
        self.text.as_ref().map(|text| &*text.0)
    }
}

/// The answer to a batch of a stream or of a queue: what is to be delivered again.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchAnswer {
    /// Is handed to the next invocation of the window; there is nothing to hand over.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Box<RawValue>>,
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

impl BatchAnswer {
    /// What failed: of a stream the number of the first record that is not folded, of a queue the ids of messages.
    pub(crate) fn new(state: Option<&RawValue>, failed: impl IntoIterator<Item = String>) -> Self {
        let failure = |item_identifier| BatchItemFailure { item_identifier };
        Self { state: state.map(ToOwned::to_owned), batch_item_failures: failed.into_iter().map(failure).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch as AWS documents it.
    const BATCH: &str = r#"{"Records":[
        {"eventID":"1","eventVersion":"1.0","awsRegion":"us-east-1","eventName":"INSERT","eventSourceARN":"arn","eventSource":"aws:dynamodb",
         "dynamodb":{"ApproximateCreationDateTime":1763690000,"Keys":{"pk":{"S":"a#evt_1"}},"StreamViewType":"NEW_IMAGE","SizeBytes":26,
            "NewImage":{"pk":{"S":"a#evt_1"},"ttl":{"N":"1"},"digest":{"B":"AAA="},"record":{"S":"{\"a\":1}"}},"SequenceNumber":"111000000000000000000000"}},
        {"eventID":"2","eventName":"REMOVE","dynamodb":{"ApproximateCreationDateTime":1.7636900015e9,
            "Keys":{"pk":{"S":"a#evt_0"}},"SequenceNumber":"222000000000000000000000"},"userIdentity":{"type":"Service"}}],
        "window":{"start":"2025-11-21T01:50:00Z","end":"2025-11-21T01:55:00Z"},"state":{"1":"282"},"shardId":"shard123456789",
        "eventSourceARN":"stream-ARN","isFinalInvokeForWindow":FINAL,"isWindowTerminatedEarly":false}"#;

    #[test]
    fn a_batch_of_aws_is_read_and_answered() {
        let text = BATCH.replace("FINAL", "false");
        let batch: Batch<'_> = serde_json::from_str(&text).unwrap();
        let StreamBatch { shard_id, records, complete_to } = batch.records();
        assert_eq!((shard_id, complete_to), ("shard123456789", None));
        let [first, second] = &records[..] else { panic!("two records") };
        let StreamItem { key, tenant, record } = first.item.unwrap();
        assert_eq!((key, tenant, record), (Some("a#evt_1"), Some("a"), Some(r#"{"a":1}"#)));
        assert_eq!((second.written_at, second.item.is_none()), (Millis(1_763_690_001_500), true));
        let answer = |failed: Option<&StreamRecord<'_>>| {
            let failed = failed.map(|record| record.sequence_number.to_owned());
            serde_json::to_string(&BatchAnswer::new(batch.state, failed)).unwrap()
        };
        assert_eq!(answer(None), r#"{"state":{"1":"282"},"batchItemFailures":[]}"#);
        let failures = r#"[{"itemIdentifier":"222000000000000000000000"}]"#;
        assert_eq!(answer(Some(second)), format!(r#"{{"state":{{"1":"282"}},"batchItemFailures":{failures}}}"#));
    }

    #[test]
    fn a_window_that_has_ended_is_complete() {
        let text = BATCH.replace("FINAL", "true");
        let batch: Batch<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(batch.records().complete_to, Some(Millis(1_763_690_100_000)));
    }
}
