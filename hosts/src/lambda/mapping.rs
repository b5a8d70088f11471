//! Lambda's event source mapping for a DynamoDB stream, with a tumbling window.
//!
//! At least once and in order: a batch is handed over again until the function has taken it, from the record that the
//! function says, and in halves after an error of the function. What it never takes goes to the on-failure destination, a
//! queue, as the summary that AWS sends. The position is kept in the data folder, up to a second late: a restart hands some
//! records over again, as AWS does now and then.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dynoxide::actions::get_records::Record;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::clock::{now_ms, rfc3339};
use super::environment::Failure;
use super::queues::{NewMessage, Queues, RECORDS_DEAD};
use super::stream::Shard;

use crate::lines::log;

/// The largest event that a mapping makes: 6 MB.
const EVENT_BYTES: usize = 6 * 1024 * 1024;
/// What an event has around its records.
const ENVELOPE_BYTES: usize = 4096;
/// How often the position is kept, at most.
const KEPT_EVERY: Duration = Duration::from_secs(1);
/// After the first failure, then twice as long each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// A mapping's settings, in AWS's terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`, which AWS has in whole seconds.
    pub(crate) batching_window: Duration,
    pub(crate) tumbling_window: Duration,
    /// `MaximumRetryAttempts`, of a batch that can't be halved.
    pub(crate) retries: u32,
    /// `MaximumRecordAgeInSeconds`.
    pub(crate) record_age: Duration,
    /// How often an idle shard is asked: AWS does it four times a second.
    pub(crate) poll: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_size: 1000,
            batching_window: Duration::from_millis(200),
            tumbling_window: Duration::from_secs(1),
            retries: 1000,
            record_age: Duration::from_secs(24 * 60 * 60),
            poll: Duration::from_millis(50),
        }
    }
}

/// What the mapping invokes.
pub(crate) trait Target: Send + Sync + 'static {
    fn invoke(&self, event: Bytes) -> impl Future<Output = Result<Bytes, Failure>> + Send;
}

/// The running mapping. Dropped, it stops after the invocation under way.
pub(crate) struct Mapping {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    records: Arc<AtomicU64>,
}

impl Mapping {
    /// Reads `shard` from where it was left, which it keeps under `data`.
    pub(crate) fn start(
        shard: Shard,
        target: Arc<impl Target>,
        queues: Queues,
        data: &Path,
        settings: Settings,
    ) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let position = data.join("aggregate.position.json");
        let after = match std::fs::read(&position) {
            Ok(kept) => {
                let Position { shard_id, sequence_number } =
                    serde_json::from_slice(&kept).with_context(|| format!("cannot read {}", position.display()))?;
                (shard_id == shard.id).then_some(sequence_number)
            }
            Err(_none_yet) => None,
        };
        let (kept, taken) = (Instant::now(), Arc::<AtomicU64>::default());
        let records = Arc::clone(&taken);
        let mut poller =
            Poller { shard, target, queues, settings, stopped, position, after, kept, taken, window: None };
        let task = tokio::spawn(async move { poller.run().await });
        Ok(Self { stop, task, records })
    }

    /// How many records the function has taken.
    pub(crate) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Ends it after the invocation under way.
    pub(crate) async fn stop(self) {
        // Both only fail when it has ended by itself.
        let _ended = self.stop.send(true);
        let _ended = self.task.await;
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    shard_id: String,
    /// Of the last record that the function has taken, or one a little before.
    sequence_number: String,
}

struct Poller<T> {
    shard: Shard,
    target: Arc<T>,
    queues: Queues,
    settings: Settings,
    stopped: watch::Receiver<bool>,
    position: PathBuf,
    after: Option<String>,
    kept: Instant,
    taken: Arc<AtomicU64>,
    /// The window that records were handed over of, not yet its end.
    window: Option<Window>,
}

/// A window, in milliseconds, and what the function wants to know of it the next time.
struct Window {
    times: Range<u64>,
    state: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "Records")]
    records: Vec<EventRecord<'a>>,
    window: BTreeMap<&'static str, String>,
    state: &'a Value,
    shard_id: &'a str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
    is_final_invoke_for_window: bool,
    is_window_terminated_early: bool,
}

#[derive(Serialize)]
struct EventRecord<'a> {
    #[serde(flatten)]
    record: &'a Record,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    state: Option<Value>,
    batch_item_failures: Option<Vec<ItemFailure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ItemFailure {
    pub(crate) item_identifier: String,
}

/// Records that still are to be handed over together, and how often that failed.
struct Part {
    records: Range<usize>,
    failures: u32,
}

impl<T: Target> Poller<T> {
    async fn run(&mut self) {
        let mut waited = false;
        while !*self.stopped.borrow() {
            // Before reading: what is written later is in a later window, or is read the next time.
            let now = now_ms();
            let records = match self.shard.after(self.after.clone(), self.settings.batch_size).await {
                Ok(records) => records,
                Err(error) => {
                    log!("cannot read the stream: {error:#}");
                    self.pause(LONGEST_BACKOFF).await;
                    continue;
                }
            };
            let first = records.first().map(written_at);
            match &self.window {
                Some(window) if first.map_or(now >= window.times.end, |first| first >= window.times.end) => {
                    self.hand_over(&[]).await;
                    self.window = None;
                }
                _ if first.is_none() => self.pause(self.settings.poll).await,
                _ if records.len() < self.settings.batch_size && !waited => {
                    waited = true;
                    self.pause(self.settings.batching_window).await;
                }
                _ => {
                    waited = false;
                    let batch = self.cut(&records);
                    self.hand_over(batch).await;
                }
            }
        }
    }

    /// Waits, unless the mapping is stopped.
    async fn pause(&mut self, time: Duration) {
        let _either = tokio::time::timeout(time, self.stopped.wait_for(|stopped| *stopped)).await;
    }

    /// Those of the window, and not more than fit into an event.
    fn cut<'r>(&mut self, records: &'r [Record]) -> &'r [Record] {
        let length = u64::try_from(self.settings.tumbling_window.as_millis()).unwrap_or(u64::MAX);
        let start = records.first().map_or(0, |first| written_at(first) / length * length);
        let window = self.window.get_or_insert_with(|| Window { times: start..start + length, state: json!({}) });
        let mut bytes = ENVELOPE_BYTES;
        let fits = |record: &&Record| {
            // The source's name comes to each record.
            bytes += serde_json::to_vec(record).map_or(0, |json| json.len()) + self.shard.arn.len() + 24;
            written_at(record) < window.times.end && bytes <= EVENT_BYTES
        };
        let count = records.iter().take_while(fits).count();
        records.get(..count.max(1)).unwrap_or(records)
    }

    /// Hands records over until the function has taken them, or they are given up; none: the end of the window.
    async fn hand_over(&mut self, records: &[Record]) {
        let mut parts = vec![Part { records: 0..records.len(), failures: 0 }];
        let mut backoff = FIRST_BACKOFF;
        while let Some(Part { records: range, failures }) = parts.pop() {
            if *self.stopped.borrow() {
                return;
            }
            let Some(part) = records.get(range.clone()) else { return };
            match self.invoke(part).await {
                Ok(taken) if taken == part.len() => {
                    self.advance(part);
                    backoff = FIRST_BACKOFF;
                    continue;
                }
                Ok(taken) => {
                    self.advance(&part[..taken]);
                    let failures = if taken == 0 { failures + 1 } else { 0 };
                    parts.push(Part { records: range.start + taken..range.end, failures });
                }
                Err(failure) => {
                    log!("aggregate: {failure:#}");
                    // Halving does not count as a try.
                    let middle = range.start + range.len() / 2;
                    if range.len() > 1 {
                        parts.push(Part { records: middle..range.end, failures });
                        parts.push(Part { records: range.start..middle, failures });
                    } else {
                        parts.push(Part { records: range, failures: failures + 1 });
                    }
                }
            }
            let given_up = parts.pop_if(|part| self.gives_up(&records[part.records.clone()], part.failures).is_some());
            if let Some(Part { records: range, failures }) = given_up {
                let condition = self.gives_up(&records[range.clone()], failures).unwrap_or_default();
                if let Err(error) = self.send_away(&records[range.clone()], condition, failures).await {
                    log!("cannot send to {RECORDS_DEAD}: {error:#}");
                }
                self.advance(&records[range]);
                continue;
            }
            self.pause(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// Invokes the function, and says how many records it has taken.
    async fn invoke(&mut self, records: &[Record]) -> Result<usize> {
        let window = self.window.as_mut().context("no window is open")?;
        let event = Event {
            records: records.iter().map(|record| EventRecord { record, event_source_arn: &self.shard.arn }).collect(),
            window: [("start", window.times.start), ("end", window.times.end)]
                .map(|(name, ms)| (name, rfc3339(ms)))
                .into(),
            state: &window.state,
            shard_id: &self.shard.id,
            event_source_arn: &self.shard.arn,
            is_final_invoke_for_window: records.is_empty(),
            is_window_terminated_early: false,
        };
        let event = serde_json::to_vec(&event)?;
        let answer = self.target.invoke(event.into()).await.map_err(|failure| anyhow::anyhow!("{failure}"))?;
        // No answer is the answer that all is well.
        let answer: Option<Answer> =
            serde_json::from_slice(&answer).context("the function's answer is none to a batch")?;
        let Answer { state, batch_item_failures } = answer.unwrap_or_default();
        let mut taken = records.len();
        for ItemFailure { item_identifier } in batch_item_failures.unwrap_or_default() {
            let at = records.iter().position(|record| record.dynamodb.sequence_number == item_identifier);
            ensure!(at.is_some(), "the function says that {item_identifier:?} failed, which it was not given");
            taken = taken.min(at.unwrap_or_default());
        }
        self.taken.fetch_add(taken as u64, Ordering::Relaxed);
        window.state = state.unwrap_or_else(|| json!({}));
        Ok(taken)
    }

    /// Why records are given up after so many failures.
    fn gives_up(&self, records: &[Record], failures: u32) -> Option<&'static str> {
        let record_age = u64::try_from(self.settings.record_age.as_millis()).unwrap_or(u64::MAX);
        if failures > self.settings.retries {
            Some("RetryAttemptsExhausted")
        } else if records.first().is_some_and(|first| now_ms().saturating_sub(written_at(first)) > record_age) {
            Some("RecordAgeExceeded")
        } else {
            None
        }
    }

    async fn send_away(&self, records: &[Record], condition: &str, failures: u32) -> Result<()> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let summary = json!({
            "requestContext": { "condition": condition, "approximateInvokeCount": failures },
            "version": "1.0",
            "timestamp": rfc3339(now_ms()),
            "DDBStreamBatchInfo": {
                "shardId": self.shard.id,
                "startSequenceNumber": first.dynamodb.sequence_number,
                "endSequenceNumber": last.dynamodb.sequence_number,
                "approximateArrivalOfFirstRecord": rfc3339(written_at(first)),
                "approximateArrivalOfLastRecord": rfc3339(written_at(last)),
                "batchSize": records.len(),
                "streamArn": self.shard.arn,
            },
        });
        let message = NewMessage { body: summary.to_string(), attributes: Vec::new() };
        self.queues.send(RECORDS_DEAD, message).await?.context("the summary is too large")?;
        Ok(())
    }

    /// These records are done with.
    fn advance(&mut self, records: &[Record]) {
        let Some(last) = records.last() else { return };
        self.after = Some(last.dynamodb.sequence_number.clone());
        if self.kept.elapsed() < KEPT_EVERY {
            return;
        }
        self.kept = Instant::now();
        let position =
            Position { shard_id: self.shard.id.clone(), sequence_number: last.dynamodb.sequence_number.clone() };
        // What is not kept is handed over again.
        let written = serde_json::to_vec(&position).map_err(anyhow::Error::from).and_then(|position| {
            let unfinished = self.position.with_extension("new");
            std::fs::write(&unfinished, position)?;
            Ok(std::fs::rename(&unfinished, &self.position)?)
        });
        if let Err(error) = written {
            log!("cannot write {}: {error:#}", self.position.display());
        }
    }
}

fn written_at(record: &Record) -> u64 {
    // Saturates, and no clock is there.
    (record.dynamodb.approximate_creation_date_time * 1000.0) as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use dynoxide::Database;

    use super::*;

    /// Takes batches as a closure says, which gets the numbers of the items, and notes them.
    struct Fake<F> {
        taken: Mutex<Vec<Vec<u64>>>,
        answer: F,
    }

    impl<F: Fn(&[u64]) -> Result<Value, Failure> + Send + Sync + 'static> Target for Fake<F> {
        async fn invoke(&self, event: Bytes) -> Result<Bytes, Failure> {
            let event: Value = serde_json::from_slice(&event).unwrap();
            let records = event["Records"].as_array().unwrap();
            assert_eq!(event["isFinalInvokeForWindow"], records.is_empty());
            let number = |record: &Value| record["dynamodb"]["NewImage"]["n"]["N"].as_str().unwrap().parse().unwrap();
            let numbers: Vec<u64> = records.iter().map(number).collect();
            self.taken.lock().unwrap().push(numbers.clone());
            (self.answer)(&numbers).map(|answer| answer.to_string().into())
        }
    }

    fn stream(items: std::ops::Range<u64>) -> Shard {
        let database = Database::memory().unwrap();
        let table = json!({
            "TableName": "items",
            "KeySchema": [{ "AttributeName": "n", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "n", "AttributeType": "N" }],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" },
        });
        database.create_table(serde_json::from_value(table).unwrap()).unwrap();
        // All in one window.
        while now_ms() % 1000 > 500 {
            std::thread::sleep(Duration::from_millis(10));
        }
        for n in items {
            let put = json!({ "TableName": "items", "Item": { "n": { "N": n.to_string() } } });
            database.put_item(serde_json::from_value(put).unwrap()).unwrap();
        }
        Shard::of(database, "items").unwrap()
    }

    /// Runs a mapping until `done` says so of the batches that were handed over, and gives them.
    async fn run(
        shard: Shard,
        data: &Path,
        answer: impl Fn(&[u64]) -> Result<Value, Failure> + Send + Sync + 'static,
        done: impl Fn(&[Vec<u64>]) -> bool,
    ) -> Vec<Vec<u64>> {
        let target = Arc::new(Fake { taken: Mutex::default(), answer });
        let settings = Settings { retries: 2, batching_window: Duration::ZERO, ..Settings::default() };
        let queues = Queues::open(data).unwrap();
        let mapping = Mapping::start(shard, Arc::clone(&target), queues, data, settings).unwrap();
        let started = Instant::now();
        while !done(&target.taken.lock().unwrap()) {
            assert!(started.elapsed() < Duration::from_secs(30), "{:?}", target.taken.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        mapping.stop().await;
        target.taken.lock().unwrap().clone()
    }

    /// What was given up.
    async fn given_up(data: &Path) -> Vec<Value> {
        let sent = Queues::open(data).unwrap().receive(RECORDS_DEAD, 10, Duration::ZERO).await.unwrap();
        sent.iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect()
    }

    /// The end of the window after the last item.
    fn ended(after: u64) -> impl Fn(&[Vec<u64>]) -> bool {
        move |taken| taken.iter().flatten().any(|n| *n == after) && taken.last().is_some_and(Vec::is_empty)
    }

    #[tokio::test]
    async fn an_error_halves_a_batch_until_the_bad_record_is_alone_and_given_up() {
        let data = tempfile::tempdir().unwrap();
        let bad = |numbers: &[u64]| match numbers.contains(&5) {
            true => Err(Failure::Error("five".to_owned())),
            false => Ok(json!({})),
        };
        let taken = run(stream(0..8), data.path(), bad, ended(7)).await;
        let good: Vec<u64> = taken.iter().filter(|batch| !batch.contains(&5)).flatten().copied().collect();
        assert_eq!(good, [0, 1, 2, 3, 4, 6, 7], "{taken:?}");
        assert_eq!(taken.iter().filter(|batch| **batch == [5]).count(), 3, "a try and two more: {taken:?}");
        let [failed] = &given_up(data.path()).await[..] else { panic!("one record is given up") };
        assert_eq!(failed["requestContext"]["condition"], "RetryAttemptsExhausted");
        assert_eq!(failed["DDBStreamBatchInfo"]["batchSize"], 1);
    }

    #[tokio::test]
    async fn a_batch_is_handed_over_again_from_what_failed() {
        let data = tempfile::tempdir().unwrap();
        let shard = stream(0..6);
        let numbers: Vec<String> =
            shard.after(None, 10).await.unwrap().into_iter().map(|record| record.dynamodb.sequence_number).collect();
        let failures = Mutex::new(vec!["of another batch".to_owned(), numbers[4].clone()]);
        let answer = move |_: &[u64]| {
            let failure = failures.lock().unwrap().pop().map(|number| json!({ "itemIdentifier": number }));
            Ok(json!({ "batchItemFailures": Vec::from_iter(failure) }))
        };
        // All but 4 and 5 are taken; a failure that is none of these fails both.
        let taken = run(shard, data.path(), answer, ended(5)).await;
        let expected: [&[u64]; 5] = [&[0, 1, 2, 3, 4, 5], &[4, 5], &[4], &[5], &[]];
        assert_eq!(taken, expected);
        assert_eq!(given_up(data.path()).await, [Value::Null; 0]);
    }

    #[tokio::test]
    async fn a_shard_is_read_on_from_its_position() {
        let data = tempfile::tempdir().unwrap();
        let shard = stream(0..4);
        let third = shard.after(None, 3).await.unwrap().pop().unwrap().dynamodb.sequence_number;
        let position = Position { shard_id: shard.id.clone(), sequence_number: third };
        std::fs::write(data.path().join("aggregate.position.json"), serde_json::to_vec(&position).unwrap()).unwrap();
        let taken = run(shard, data.path(), |_| Ok(Value::Null), ended(3)).await;
        assert_eq!(taken, [vec![3], vec![]]);
    }
}
