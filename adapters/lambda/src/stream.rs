//! From the batches of an event source mapping to records, and back to its answer.
//!
//! The mapping needs a tumbling window: without one a batch does not name its shard.

use std::borrow::Cow;

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use isotherm_core::Millis;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::request::Text;

/// Records of one shard of the table's stream, in the order in which they were written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Batch<'a> {
    #[serde(rename = "Records", borrow)]
    pub(crate) records: Vec<Record<'a>>,
    #[serde(borrow)]
    pub(crate) shard_id: Cow<'a, str>,
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

/// One change of the table of events.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record<'a> {
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
    /// At the end of a window: all that was written to the shard before this moment is in this batch or in an earlier one.
    pub(crate) fn complete_to(&self) -> Option<Millis> {
        let end = DateTime::from_str(&self.window.end, DateTimeFormat::DateTime).ok()?;
        let end = u64::try_from(end.to_millis().ok()?).ok()?;
        self.is_final_invoke_for_window.then_some(Millis(end))
    }
}

impl Record<'_> {
    /// Whether it is a new event. What else there is are events that the table has forgotten.
    pub(crate) fn is_insert(&self) -> bool {
        self.event_name == "INSERT"
    }

    /// Its place in the shard: a number of 21 to 40 digits.
    pub(crate) fn sequence_number(&self) -> &str {
        &self.dynamodb.sequence_number
    }

    /// All records before it were written at this moment or earlier, and none after it was written before.
    pub(crate) fn written_at(&self) -> Millis {
        // Saturates, and no clock is there.
        Millis((self.dynamodb.approximate_creation_date_time * 1000.0) as u64)
    }

    /// The item's key.
    pub(crate) fn key(&self) -> Option<&str> {
        Some(&self.dynamodb.new_image.as_ref()?.pk.text.as_ref()?.0)
    }

    /// Of a new event whose item is as the store puts it: the tenant, and the event's record.
    pub(crate) fn event(&self) -> Option<(&str, &str)> {
        let (tenant, _id) = self.key()?.split_once('#')?;
        let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        Some((tenant, self.record()?)).filter(|_| self.is_insert() && tenant.bytes().all(of_a_name))
    }

    /// The event's record.
    pub(crate) fn record(&self) -> Option<&str> {
        Some(&self.dynamodb.new_image.as_ref()?.record.as_ref()?.text.as_ref()?.0)
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
        assert_eq!((&*batch.shard_id, batch.complete_to()), ("shard123456789", None));
        let [first, second] = &batch.records[..] else { panic!("two records") };
        assert!(first.is_insert() && !second.is_insert());
        assert_eq!((first.key(), first.record()), (Some("a#evt_1"), Some(r#"{"a":1}"#)));
        assert_eq!((first.event(), second.event()), (Some(("a", r#"{"a":1}"#)), None));
        assert_eq!((second.key(), second.written_at()), (None, Millis(1_763_690_001_500)));
        let answer = |failed: Option<&Record<'_>>| {
            let failed = failed.map(|record| record.sequence_number().to_owned());
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
        assert_eq!(batch.complete_to(), Some(Millis(1_763_690_100_000)));
    }
}
