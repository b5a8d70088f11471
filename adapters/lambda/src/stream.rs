//! From the batches of an event source mapping for a DynamoDB stream to core's.
//!
//! The mapping needs a tumbling window: without one a batch does not name its shard.

use std::borrow::Cow;

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use isotherm_core::{Millis, StreamBatch, StreamItem, StreamRecord};
use serde::Deserialize;
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
