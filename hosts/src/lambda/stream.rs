//! The stream of the table of events, as DynamoDB Streams offers it: many shards that close after some hours and have
//! children that continue them.
//!
//! dynoxide's stream has one shard that never ends and forgets nothing. This module spreads its records by the hash of
//! the item's key, as a table's partitions would: each shard has a range of hashes. When a shard closes, two children
//! share its range; if there are enough shards, one child has all of it. AWS answers ten `DescribeStream` a second and
//! refuses more; here all are answered.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dynoxide::Database;
use dynoxide::actions::get_records::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::clock::{ms, now_ms};
use super::kept;
use super::queues::md5;
use crate::schedule::seconds;

/// The most records that dynoxide returns at once.
const READ: usize = 1000;
/// The number of records kept in memory for all shards. A shard that is further behind reads for itself.
const RECENT: usize = 10_000;
/// The limit of their total size. One item has up to 400 KB.
const RECENT_BYTES: u64 = 32 * 1024 * 1024;
/// The limit of shards in one answer of `DescribeStream`.
const DESCRIBED: usize = 100;

/// The stream's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamSettings {
    /// The number of shards at the beginning.
    pub(crate) shards: u64,
    /// The most open shards. While there are fewer, a closing shard splits.
    pub(crate) most: usize,
    /// How long a shard takes records. On AWS it is about four hours.
    pub(crate) life: Duration,
    /// How long a shard keeps records.
    pub(crate) retention: Duration,
    /// The shortest time between two reads.
    pub(crate) poll: Duration,
}

impl StreamSettings {
    /// AWS's settings, unless the environment says otherwise: `ISOTHERM_SHARDS` is the most open shards,
    /// `ISOTHERM_SHARD_SECONDS` the life of each, and `ISOTHERM_STREAM_SECONDS` the retention of records.
    pub(crate) fn of_environment() -> Self {
        let all = Self::default();
        let most = std::env::var("ISOTHERM_SHARDS").ok().and_then(|most| most.parse().ok()).unwrap_or(all.most);
        Self {
            shards: all.shards.min(most as u64),
            most,
            life: seconds("ISOTHERM_SHARD_SECONDS").unwrap_or(all.life),
            retention: seconds("ISOTHERM_STREAM_SECONDS").unwrap_or(all.retention),
            ..all
        }
    }
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            shards: 4,
            most: 8,
            life: Duration::from_secs(4 * 60 * 60),
            retention: Duration::from_secs(24 * 60 * 60),
            poll: Duration::from_millis(50),
        }
    }
}

/// A shard of the stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shard {
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    /// The first and the last hash of its items' keys.
    hashes: (u64, u64),
    /// Its records come after this place in the table's changes.
    #[serde(rename = "after")]
    starts_after: u128,
    /// Once the shard is closed: the place of its last record, or a later place.
    #[serde(rename = "end")]
    ends_at: Option<u128>,
    opened_at: u64,
    closed_at: Option<u64>,
}

impl Shard {
    fn new(parent: Option<&Self>, hashes: (u64, u64), starts_after: u128, opened_at: u64) -> Self {
        let name = format!("{}-{hashes:?}", parent.map_or("", |parent| parent.id.as_str()));
        let id = format!("shardId-{opened_at:020}-{}", md5(&name).get(..8).unwrap_or_default());
        Self {
            id,
            parent: parent.map(|parent| parent.id.clone()),
            hashes,
            starts_after,
            ends_at: None,
            opened_at,
            closed_at: None,
        }
    }

    fn has(&self, record: &Placed) -> bool {
        let (first, last) = self.hashes;
        (first..=last).contains(&record.hash)
            && record.place > self.starts_after
            && self.ends_at.is_none_or(|end| record.place <= end)
    }
}

/// The saved state of a stream.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The stream's ARN.
    stream: String,
    shards: Vec<Shard>,
}

/// Some records of a shard.
pub(crate) struct Read {
    /// The time of the read. Every record written to the shard before it is in `records`, or comes after them.
    pub(crate) at: u64,
    pub(crate) records: Vec<Arc<Record>>,
    /// The place from which to continue.
    pub(crate) to: u128,
    /// Whether the shard is closed and nothing comes after `records`.
    pub(crate) is_end: bool,
}

impl Read {
    /// A read of at most `limit` records of a shard, made when the table's changes had been read up to `read_to`.
    fn of(shard: &Shard, records: Vec<Placed>, limit: usize, read_to: u128, at: u64) -> Self {
        let is_all = records.len() < limit;
        let to = records.last().filter(|_| !is_all).map_or(read_to, |last| last.place);
        let is_end = is_all && shard.ends_at.is_some_and(|end| read_to >= end);
        Self { at, records: records.into_iter().map(|record| record.record).collect(), to, is_end }
    }
}

/// A record, its place in the table's changes, and the hash of its item's key.
#[derive(Clone)]
struct Placed {
    place: u128,
    hash: u64,
    record: Arc<Record>,
}

/// A table's stream.
#[derive(Clone)]
pub(crate) struct Stream {
    source: Source,
    settings: StreamSettings,
    /// The file that saves the shards.
    file: PathBuf,
    opened_at: u64,
    state: Arc<Mutex<State>>,
}

/// dynoxide's own shard.
#[derive(Clone)]
struct Source {
    database: Database,
    arn: Arc<str>,
    /// In seconds.
    created_at: f64,
    shard_id: Arc<str>,
}

struct State {
    shards: Vec<Shard>,
    /// The newest records, in order.
    recent: VecDeque<Placed>,
    recent_bytes: u64,
    /// `recent` holds every record after this place, up to `read_to`.
    recent_after: u128,
    read_to: u128,
    read_at: u64,
}

impl Stream {
    /// Opens the stream of `table`. Its shards are saved in `file`.
    pub(crate) fn open(database: Database, table: &str, file: PathBuf, settings: StreamSettings) -> Result<Self> {
        let source = Source::of(database, table)?;
        let shards = match kept::load(&file)? {
            Some(Kept { stream, shards }) => {
                ensure!(*stream == *source.arn, "{} is of another stream", file.display());
                shards
            }
            None => first_shards(&settings),
        };
        // Each shard reads older records for itself.
        let read_to = shards.iter().map(|shard| shard.starts_after).max().unwrap_or_default();
        let state =
            State { shards, recent: VecDeque::new(), recent_bytes: 0, recent_after: read_to, read_to, read_at: 0 };
        let stream = Self { source, settings, file, opened_at: now_ms(), state: Arc::new(Mutex::new(state)) };
        stream.keep(&stream.state().shards)?;
        Ok(stream)
    }

    pub(crate) fn arn(&self) -> &str {
        &self.source.arn
    }

    /// All shards that have not been forgotten, parents before children.
    pub(crate) fn shards(&self) -> Vec<Shard> {
        self.state().shards.clone()
    }

    /// The first records of a shard after this place, at most `limit`.
    pub(crate) async fn after(&self, shard_id: &str, place: u128, limit: usize) -> Result<Read> {
        let (stream, shard_id) = (self.clone(), shard_id.to_owned());
        // SQLite blocks.
        tokio::task::spawn_blocking(move || stream.read(&shard_id, place, limit)).await?
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, shard_id: &str, place: u128, limit: usize) -> Result<Read> {
        let mut state = self.state();
        self.refresh(&mut state)?;
        let State { shards, recent, recent_after, read_to, read_at, .. } = &*state;
        let (at, read_to) = (*read_at, *read_to);
        let Some(shard) = shards.iter().find(|shard| shard.id == shard_id).cloned() else {
            // The stream has forgotten the shard and its records, so nothing can follow.
            return Ok(Read { at, records: Vec::new(), to: place, is_end: true });
        };
        let place = place.max(shard.starts_after);
        if place >= *recent_after {
            let first = recent.partition_point(|record| record.place <= place);
            let of_shard = recent.iter().skip(first).filter(|record| self.gives(&shard, record, at));
            let records: Vec<Placed> = of_shard.take(limit).cloned().collect();
            return Ok(Read::of(&shard, records, limit, read_to, at));
        }
        drop(state);
        self.read_behind(&shard, place, limit, read_to, at)
    }

    /// Reads records that are no longer in `recent`. Other shards continue meanwhile, so this shard may close. Records
    /// after `read_to` then belong to its children, although this copy of the shard does not say so.
    fn read_behind(&self, shard: &Shard, mut place: u128, limit: usize, read_to: u128, at: u64) -> Result<Read> {
        let mut records = Vec::new();
        while records.len() < limit && place < read_to {
            let chunk = self.source.after(place)?;
            place = chunk.last().map_or(read_to, |last| last.place).min(read_to);
            records.extend(chunk.into_iter().filter(|record| record.place <= read_to && self.gives(shard, record, at)));
        }
        records.truncate(limit);
        Ok(Read::of(shard, records, limit, place, at))
    }

    /// True if a record belongs to the shard and has not been forgotten.
    fn gives(&self, shard: &Shard, record: &Placed, now: u64) -> bool {
        // A record's time is rounded down to the second in which it was written.
        shard.has(record) && !self.has_forgotten(written_at(&record.record) + 1000, now)
    }

    /// True once the stream has forgotten what was last written at this time. Retention counts from the host's start at
    /// the earliest, since nobody can read while the host is down.
    fn has_forgotten(&self, written_at: u64, now: u64) -> bool {
        now >= written_at.max(self.opened_at) + ms(self.settings.retention)
    }

    /// Reads new records, closes shards whose life is over, and forgets shards that closed long ago.
    fn refresh(&self, state: &mut State) -> Result<()> {
        let now = now_ms();
        if now < state.read_at + ms(self.settings.poll) {
            return Ok(());
        }
        loop {
            let chunk = self.source.after(state.read_to)?;
            let is_whole = chunk.len() < READ;
            state.remember(chunk);
            if is_whole {
                break;
            }
        }
        state.read_at = now;
        let StreamSettings { most, life, .. } = self.settings;
        let mut open = state.shards.iter().filter(|shard| shard.ends_at.is_none()).count();
        let (mut children, mut is_changed) = (Vec::new(), false);
        for shard in &mut state.shards {
            if shard.ends_at.is_some() || now < shard.opened_at + ms(life) {
                continue;
            }
            (shard.ends_at, shard.closed_at) = (Some(state.read_to), Some(now));
            let (first, last) = shard.hashes;
            let middle = first + (last - first) / 2;
            let (halves, whole) = ([(first, middle), (middle + 1, last)], [(first, last)]);
            let ranges = if open < most && first < last { &halves[..] } else { &whole[..] };
            open += ranges.len() - 1;
            children.extend(ranges.iter().map(|hashes| Shard::new(Some(shard), *hashes, state.read_to, now)));
            is_changed = true;
        }
        state.shards.extend(children);
        let count = state.shards.len();
        state.shards.retain(|shard| shard.closed_at.is_none_or(|closed| !self.has_forgotten(closed, now)));
        if is_changed || state.shards.len() < count {
            self.keep(&state.shards)?;
        }
        Ok(())
    }

    fn keep(&self, shards: &[Shard]) -> Result<()> {
        kept::replace(&self.file, &Kept { stream: self.arn().to_owned(), shards: shards.to_vec() })
    }

    /// The answer of `DescribeStream`, starting after this shard.
    pub(crate) fn describe(&self, after: Option<&str>) -> Result<Value> {
        let mut state = self.state();
        self.refresh(&mut state)?;
        let all = &state.shards;
        let start = after.and_then(|id| all.iter().position(|shard| shard.id == id)).map_or(0, |at| at + 1);
        let shards = all.get(start..).unwrap_or_default();
        let described: Vec<Value> = shards.iter().take(DESCRIBED).map(describe).collect();
        let last = (shards.len() > DESCRIBED).then(|| described.last().map(|shard| shard["ShardId"].clone())).flatten();
        let mut description = json!({
            "StreamArn": self.arn(), "StreamStatus": "ENABLED", "StreamViewType": "NEW_IMAGE", "Shards": described,
            "CreationRequestDateTime": self.source.created_at,
        });
        if let Some(last) = last {
            description["LastEvaluatedShardId"] = last;
        }
        Ok(json!({ "StreamDescription": description }))
    }
}

impl State {
    /// Adds new records, and drops the oldest if there are too many.
    fn remember(&mut self, chunk: Vec<Placed>) {
        self.read_to = chunk.last().map_or(self.read_to, |last| last.place);
        self.recent_bytes += chunk.iter().map(Placed::bytes).sum::<u64>();
        self.recent.extend(chunk);
        while self.recent.len() > RECENT || self.recent_bytes > RECENT_BYTES {
            let Some(oldest) = self.recent.pop_front() else { return };
            self.recent_bytes -= oldest.bytes();
            self.recent_after = oldest.place;
        }
    }
}

impl Source {
    fn of(database: Database, table: &str) -> Result<Self> {
        let streams = database.list_streams(serde_json::from_value(json!({ "TableName": table }))?)?;
        let stream = streams.streams.into_iter().next();
        let arn =
            stream.with_context(|| format!("table {table} has no stream: its data is of an older version"))?.stream_arn;
        let stream = database.describe_stream(serde_json::from_value(json!({ "StreamArn": arn }))?)?.stream_description;
        let created_at = stream.creation_request_date_time;
        let shard_id = stream.shards.into_iter().next().context("the stream has no shard")?.shard_id;
        Ok(Self { database, arn: arn.into(), created_at, shard_id: shard_id.into() })
    }

    /// The first records after this place.
    fn after(&self, place: u128) -> Result<Vec<Placed>> {
        let mut request =
            json!({ "StreamArn": &*self.arn, "ShardId": &*self.shard_id, "ShardIteratorType": "TRIM_HORIZON" });
        if place > 0 {
            request["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER".into();
            request["SequenceNumber"] = format!("{place:021}").into();
        }
        let iterator = self.database.get_shard_iterator(serde_json::from_value(request)?)?.shard_iterator;
        let request = json!({ "ShardIterator": iterator, "Limit": READ });
        let records = self.database.get_records(serde_json::from_value(request)?)?.records;
        records.into_iter().map(Placed::of).collect()
    }
}

impl Placed {
    fn of(record: Record) -> Result<Self> {
        let hash = md5(&serde_json::to_string(&record.dynamodb.keys)?);
        let hash = u64::from_str_radix(hash.get(..16).unwrap_or_default(), 16)?;
        Ok(Self { place: place(&record)?, hash, record: Arc::new(record) })
    }

    fn bytes(&self) -> u64 {
        u64::try_from(self.record.dynamodb.size_bytes).unwrap_or_default()
    }
}

/// The place of a record among all changes of its table.
pub(crate) fn place(record: &Record) -> Result<u128> {
    record.dynamodb.sequence_number.parse().context("a sequence number is none")
}

/// The time at which a record was written, in milliseconds since 1970.
pub(crate) fn written_at(record: &Record) -> u64 {
    // The cast saturates, and no clock gets there.
    (record.dynamodb.approximate_creation_date_time * 1000.0) as u64
}

/// The shards of a new table. Their ages differ, so that they don't all close at once.
fn first_shards(settings: &StreamSettings) -> Vec<Shard> {
    let (now, shards) = (now_ms(), settings.shards.max(1));
    let first = |number: u64| u64::MAX / shards * number;
    let shard = |number: u64| {
        let last = if number + 1 == shards { u64::MAX } else { first(number + 1) - 1 };
        Shard::new(None, (first(number), last), 0, now - ms(settings.life) / shards * number)
    };
    (0..shards).map(shard).collect()
}

fn describe(shard: &Shard) -> Value {
    let mut described = json!({
        "ShardId": shard.id,
        "SequenceNumberRange": { "StartingSequenceNumber": format!("{:021}", shard.starts_after + 1) },
    });
    if let Some(parent) = &shard.parent {
        described["ParentShardId"] = parent.as_str().into();
    }
    if let Some(end) = shard.ends_at {
        described["SequenceNumberRange"]["EndingSequenceNumber"] = format!("{end:021}").into();
    }
    described
}
