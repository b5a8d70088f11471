//! The shards of the event table's stream, as DynamoDB Streams describes them.

use std::sync::LazyLock;

use anyhow::Result;
use aws_sdk_dynamodbstreams::Client;
use isotherm_core::{Millis, StreamShard};

use crate::aws::settings;

static STREAMS: LazyLock<Client> = LazyLock::new(|| Client::new(&settings("DYNAMODB_STREAMS")));

/// When the stream with this ARN was created, 0 if DynamoDB does not say so, and all its shards.
pub(crate) async fn of(stream: &str) -> Result<(Millis, Vec<StreamShard>)> {
    let (mut created_at, mut shards, mut last) = (Millis(0), Vec::new(), None);
    loop {
        let describe = STREAMS.describe_stream().stream_arn(stream).set_exclusive_start_shard_id(last);
        let Some(description) = describe.send().await?.stream_description else { return Ok((created_at, shards)) };
        let said_at = description.creation_request_date_time.and_then(|time| time.to_millis().ok());
        created_at = said_at.and_then(|said_at| said_at.try_into().ok()).map_or(created_at, Millis);
        for shard in description.shards.unwrap_or_default() {
            let is_closed = shard.sequence_number_range.is_some_and(|range| range.ending_sequence_number.is_some());
            let parent = shard.parent_shard_id;
            shards.extend(shard.shard_id.map(|id| StreamShard { id, parent, is_closed }));
        }
        last = description.last_evaluated_shard_id;
        if last.is_none() {
            return Ok((created_at, shards));
        }
    }
}
