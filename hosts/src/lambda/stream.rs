//! The stream of the table of events, as DynamoDB Streams gives it.
//!
//! dynoxide's has one shard, which never ends, and forgets nothing.

use anyhow::{Context, Result};
use dynoxide::Database;
use dynoxide::actions::get_records::Record;
use serde_json::json;

/// A shard of a stream.
#[derive(Clone)]
pub(crate) struct Shard {
    database: Database,
    /// Its stream.
    pub(crate) arn: String,
    pub(crate) id: String,
}

impl Shard {
    /// The shard of the stream of `table`.
    pub(crate) fn of(database: Database, table: &str) -> Result<Self> {
        let streams = database.list_streams(serde_json::from_value(json!({ "TableName": table }))?)?;
        let stream = streams.streams.into_iter().next();
        let arn =
            stream.with_context(|| format!("table {table} has no stream: its data is of an older version"))?.stream_arn;
        let stream = database.describe_stream(serde_json::from_value(json!({ "StreamArn": arn }))?)?.stream_description;
        let id = stream.shards.into_iter().next().context("the stream has no shard")?.shard_id;
        Ok(Self { database, arn, id })
    }

    /// The first records after this sequence number, at most `limit`.
    pub(crate) async fn after(&self, sequence_number: Option<String>, limit: usize) -> Result<Vec<Record>> {
        let shard = self.clone();
        // SQLite blocks.
        tokio::task::spawn_blocking(move || shard.read(sequence_number.as_deref(), limit)).await?
    }

    fn read(&self, sequence_number: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        let mut request = json!({ "StreamArn": self.arn, "ShardId": self.id, "ShardIteratorType": "TRIM_HORIZON" });
        if let Some(sequence_number) = sequence_number {
            request["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER".into();
            request["SequenceNumber"] = sequence_number.into();
        }
        let iterator = self.database.get_shard_iterator(serde_json::from_value(request)?)?.shard_iterator;
        let request = json!({ "ShardIterator": iterator, "Limit": limit });
        Ok(self.database.get_records(serde_json::from_value(request)?)?.records)
    }
}
