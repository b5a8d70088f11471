//! Lambda's event source mapping for a DynamoDB stream, with a tumbling window. Each shard is read independently, but a
//! parent before its children.
//!
//! Delivery is in order and at least once. A shard's position is saved in the data folder, up to a second late. So a
//! restart delivers some records again, as AWS does now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::kept;
use super::poller::Poller;
use super::queues::Queues;
use super::stream::Stream;
use super::target::Target;
use crate::lines::log;
use crate::schedule::seconds;

/// The shortest time between two saves of the positions.
const KEPT_EVERY: Duration = Duration::from_secs(1);

/// A mapping's settings, in AWS's terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MappingSettings {
    pub(crate) batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`. AWS allows only whole seconds.
    pub(crate) batching_window: Duration,
    pub(crate) tumbling_window: Duration,
    /// `MaximumRetryAttempts`, for a batch that can't be halved.
    pub(crate) retries: u32,
    /// `MaximumRecordAgeInSeconds`.
    pub(crate) record_age: Duration,
    /// The pause between two reads of an idle shard. AWS reads four times a second.
    pub(crate) poll: Duration,
}

impl MappingSettings {
    /// The defaults, unless the environment says otherwise. `ISOTHERM_FOLD_SECONDS` sets both windows, like the
    /// template's `FoldSeconds`, which is 60 there. `ISOTHERM_STREAM_SECONDS` is the time after which the stream
    /// forgets a record.
    pub(crate) fn of_environment() -> Self {
        let all = Self::default();
        let window = seconds("ISOTHERM_FOLD_SECONDS");
        Self {
            batching_window: window.unwrap_or(all.batching_window),
            tumbling_window: window.unwrap_or(all.tumbling_window),
            record_age: seconds("ISOTHERM_STREAM_SECONDS").unwrap_or(all.record_age),
            ..all
        }
    }
}

impl Default for MappingSettings {
    fn default() -> Self {
        Self {
            batch_size: 1000,
            batching_window: Duration::from_millis(200),
            tumbling_window: Duration::from_secs(1),
            retries: u32::MAX, // as in the template: a batch is given up only by its age
            record_age: Duration::from_secs(24 * 60 * 60),
            poll: Duration::from_millis(50),
        }
    }
}

/// The running mapping. When dropped, it stops after the invocations in progress.
pub(crate) struct Mapping {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    records: Arc<AtomicU64>,
}

impl Mapping {
    /// Reads `stream` from the last saved position. Positions are saved under `data`.
    pub(crate) fn start(
        stream: Stream,
        target: Arc<impl Target>,
        queues: Queues,
        data: &Path,
        settings: MappingSettings,
    ) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let positions = Positions::open(data.join("aggregate.positions.json"))?;
        let records = Arc::<AtomicU64>::default();
        let shared = Shared { stream, target, queues, settings, positions, taken: Arc::clone(&records) };
        Ok(Self { stop, task: tokio::spawn(run(Arc::new(shared), stopped)), records })
    }

    /// The number of records that the function has taken.
    pub(crate) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Ends the mapping after the invocations in progress.
    pub(crate) async fn stop(self) {
        // Both fail only if the task has ended by itself.
        let _ended = self.stop.send(true);
        let _ended = self.task.await;
    }
}

/// Whether a mapping has been told to stop, or has been dropped.
pub(crate) fn is_stopped(stopped: &watch::Receiver<bool>) -> bool {
    *stopped.borrow() || stopped.has_changed().is_err()
}

/// The state that the pollers of a mapping share.
pub(crate) struct Shared<T> {
    pub(crate) stream: Stream,
    pub(crate) target: Arc<T>,
    pub(crate) queues: Queues,
    pub(crate) settings: MappingSettings,
    pub(crate) positions: Positions,
    /// The number of records that the function has taken.
    pub(crate) taken: Arc<AtomicU64>,
}

/// Starts a poller for each shard whose parent is finished.
async fn run(shared: Arc<Shared<impl Target>>, mut stopped: watch::Receiver<bool>) {
    let Shared { stream, positions, settings, .. } = &*shared;
    let (mut started, mut pollers) = (BTreeSet::new(), JoinSet::new());
    while !is_stopped(&stopped) {
        let shards = stream.shards();
        let ids: BTreeSet<&str> = shards.iter().map(|shard| &*shard.id).collect();
        positions.retain(|id| ids.contains(id));
        started.retain(|id: &String| ids.contains(&**id));
        let is_open = |id: &String| ids.contains(&**id) && !positions.of(id).is_done;
        for shard in &shards {
            let waits = shard.parent.as_ref().is_some_and(is_open);
            if !waits && !positions.of(&shard.id).is_done && started.insert(shard.id.clone()) {
                let (shared, shard_id, stopped) = (Arc::clone(&shared), shard.id.clone(), stopped.clone());
                pollers.spawn(async move {
                    if Poller::new(&shared, &shard_id, stopped).run().await {
                        shared.positions.end(&shard_id);
                    }
                });
            }
        }
        while let Some(ended) = pollers.try_join_next() {
            log_panic(ended);
        }
        let _either = tokio::time::timeout(settings.poll, stopped.wait_for(|stopped| *stopped)).await;
    }
    while let Some(ended) = pollers.join_next().await {
        log_panic(ended);
    }
}

fn log_panic(poller: Result<(), JoinError>) {
    if let Err(error) = poller {
        log!("a shard is read no more: {error}");
    }
}

/// The position of each shard.
pub(crate) struct Positions {
    file: PathBuf,
    state: Mutex<PositionsState>,
}

struct PositionsState {
    /// Positions by shard id.
    positions: BTreeMap<String, Position>,
    written_at: Instant,
}

/// How far one shard has been delivered.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Position {
    /// The place of the last record that the function has taken, or a slightly earlier place.
    pub(crate) after: u128,
    /// Whether the shard has been delivered to its end.
    is_done: bool,
}

impl Positions {
    fn open(file: PathBuf) -> Result<Self> {
        let positions = kept::load(&file)?.unwrap_or_default();
        Ok(Self { file, state: Mutex::new(PositionsState { positions, written_at: Instant::now() }) })
    }

    pub(crate) fn of(&self, shard_id: &str) -> Position {
        self.state().positions.get(shard_id).copied().unwrap_or_default()
    }

    /// Sets a shard's position.
    pub(crate) fn advance(&self, shard_id: &str, after: u128) {
        let mut state = self.state();
        state.positions.entry(shard_id.to_owned()).or_default().after = after;
        if state.written_at.elapsed() >= KEPT_EVERY {
            state.written_at = Instant::now();
            self.write(&state);
        }
    }

    fn end(&self, shard_id: &str) {
        let mut state = self.state();
        state.positions.entry(shard_id.to_owned()).or_default().is_done = true;
        self.write(&state);
    }

    /// Drops the positions of shards that the stream has forgotten.
    fn retain(&self, is_known: impl Fn(&str) -> bool) {
        let mut state = self.state();
        let count = state.positions.len();
        state.positions.retain(|shard_id, _| is_known(shard_id));
        if state.positions.len() < count {
            self.write(&state);
        }
    }

    fn state(&self) -> MutexGuard<'_, PositionsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves the positions. If that fails, a restart delivers the records since the last save again.
    fn write(&self, state: &PositionsState) {
        if let Err(error) = kept::replace(&self.file, &state.positions) {
            log!("cannot write {}: {error:#}", self.file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use hyper::body::Bytes;
    use serde_json::{Value, json};

    use super::super::clock::now_ms;
    use super::super::environment::Failure;
    use super::super::queues::GIVEN_UP;
    use super::super::stream::StreamSettings;
    use super::super::stream::tests::{put, table};
    use super::*;

    /// Notes the numbers of the items in each batch, and answers as the closure says for these numbers.
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

    fn stream(items: std::ops::Range<u64>, data: &Path) -> Stream {
        let database = table();
        // Waits so that all items are written in one window.
        while now_ms() % 1000 > 500 {
            std::thread::sleep(Duration::from_millis(10));
        }
        for n in items {
            put(&database, n);
        }
        let settings = StreamSettings { shards: 1, ..StreamSettings::default() };
        Stream::open(database, "items", data.join("shards.json"), settings).unwrap()
    }

    /// Runs a mapping until `done` holds for the batches so far. Returns these batches.
    async fn run(
        stream: Stream,
        data: &Path,
        answer: impl Fn(&[u64]) -> Result<Value, Failure> + Send + Sync + 'static,
        done: impl Fn(&[Vec<u64>]) -> bool,
    ) -> Vec<Vec<u64>> {
        let target = Arc::new(Fake { taken: Mutex::default(), answer });
        let settings = MappingSettings { retries: 2, batching_window: Duration::ZERO, ..MappingSettings::default() };
        let queues = Queues::open(data).unwrap();
        let mapping = Mapping::start(stream, Arc::clone(&target), queues, data, settings).unwrap();
        let started = Instant::now();
        while !done(&target.taken.lock().unwrap()) {
            assert!(started.elapsed() < Duration::from_secs(30), "{:?}", target.taken.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        mapping.stop().await;
        target.taken.lock().unwrap().clone()
    }

    /// The sequence numbers of the first shard's records.
    async fn numbers(stream: &Stream) -> Vec<String> {
        let read = stream.after(&stream.shards()[0].id, 0, 10).await.unwrap();
        read.records.iter().map(|record| record.dynamodb.sequence_number.clone()).collect()
    }

    /// The summaries of the batches that were given up.
    async fn given_up(data: &Path) -> Vec<Value> {
        let sent = Queues::open(data).unwrap().receive(GIVEN_UP, 10, Duration::ZERO).await.unwrap();
        sent.iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect()
    }

    /// Whether the window that contains the item `after` has ended.
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
        let taken = run(stream(0..8, data.path()), data.path(), bad, ended(7)).await;
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
        let stream = stream(0..6, data.path());
        let numbers: Vec<String> = numbers(&stream).await;
        let failures = Mutex::new(vec!["of another batch".to_owned(), numbers[4].clone()]);
        let answer = move |_: &[u64]| {
            let failure = failures.lock().unwrap().pop().map(|number| json!({ "itemIdentifier": number }));
            Ok(json!({ "batchItemFailures": Vec::from_iter(failure) }))
        };
        // All but 4 and 5 are taken. A failure that names another batch's record fails both.
        let taken = run(stream, data.path(), answer, ended(5)).await;
        let expected: [&[u64]; 5] = [&[0, 1, 2, 3, 4, 5], &[4, 5], &[4], &[5], &[]];
        assert_eq!(taken, expected);
        assert_eq!(given_up(data.path()).await, [Value::Null; 0]);
    }

    #[tokio::test]
    async fn a_shard_is_read_on_from_its_position() {
        let data = tempfile::tempdir().unwrap();
        let stream = stream(0..4, data.path());
        let third = numbers(&stream).await[2].parse().unwrap();
        let positions = Positions::open(data.path().join("aggregate.positions.json")).unwrap();
        positions.advance(&stream.shards()[0].id, third);
        // The end of a shard is written at once, together with the position of the other shard.
        positions.end("forgotten");
        let taken = run(stream, data.path(), |_| Ok(Value::Null), ended(3)).await;
        assert_eq!(taken, [vec![3], vec![]]);
        let positions = Positions::open(data.path().join("aggregate.positions.json")).unwrap();
        assert!(!positions.of("forgotten").is_done, "the stream has no such shard");
    }

    #[tokio::test]
    async fn a_record_that_fails_until_it_is_too_old_is_given_up() {
        let data = tempfile::tempdir().unwrap();
        let stream = stream(0..1, data.path());
        let target =
            Arc::new(Fake { taken: Mutex::default(), answer: |_: &[u64]| Err(Failure::Error("no".to_owned())) });
        let settings = MappingSettings { record_age: Duration::from_secs(2), ..MappingSettings::default() };
        let queues = Queues::open(data.path()).unwrap();
        let mapping = Mapping::start(stream, Arc::clone(&target), queues, data.path(), settings).unwrap();
        let started = Instant::now();
        let failed = loop {
            if let Some(failed) = given_up(data.path()).await.pop() {
                break failed;
            }
            assert!(started.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        mapping.stop().await;
        assert_eq!(failed["requestContext"]["condition"], "RecordAgeExceeded");
        assert!(target.taken.lock().unwrap().len() > 1);
    }

    #[tokio::test]
    async fn a_mapping_that_is_dropped_stops() {
        let data = tempfile::tempdir().unwrap();
        let stream = stream(0..1, data.path());
        let target = Arc::new(Fake { taken: Mutex::default(), answer: |_: &[u64]| Ok(json!({})) });
        let queues = Queues::open(data.path()).unwrap();
        let mapping =
            Mapping::start(stream, Arc::clone(&target), queues, data.path(), MappingSettings::default()).unwrap();
        let started = Instant::now();
        while target.taken.lock().unwrap().is_empty() {
            assert!(started.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(mapping);
        // The mapping's tasks hold the target until they end.
        while Arc::strong_count(&target) > 1 {
            assert!(started.elapsed() < Duration::from_secs(30), "it goes on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Item 0 fails for a while.
    #[tokio::test]
    async fn a_batch_that_fails_holds_only_its_shard_and_its_children() {
        let data = tempfile::tempdir().unwrap();
        let settings = StreamSettings { life: Duration::from_millis(400), most: 6, ..StreamSettings::default() };
        let database = table();
        let stream = Stream::open(database.clone(), "items", data.path().join("shards.json"), settings).unwrap();
        let (started, fails) = (Instant::now(), Arc::new(AtomicBool::new(true)));
        let failing = Arc::clone(&fails);
        let holds = move |numbers: &[u64]| match numbers.contains(&0) && failing.load(Ordering::Relaxed) {
            true => Err(Failure::Error("nought".to_owned())),
            false => Ok(json!({})),
        };
        let target = Arc::new(Fake { taken: Mutex::default(), answer: holds });
        let settings = MappingSettings { batching_window: Duration::ZERO, ..MappingSettings::default() };
        let queues = Queues::open(data.path()).unwrap();
        let mapping = Mapping::start(stream.clone(), Arc::clone(&target), queues, data.path(), settings).unwrap();
        for n in 0..200 {
            put(&database, n);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let taken = || target.taken.lock().unwrap().iter().flatten().copied().collect::<BTreeSet<u64>>();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let others = taken().len();
        assert!((100..195).contains(&others), "{others} of 200: the others go on");
        fails.store(false, Ordering::Relaxed);
        while taken().len() < 200 {
            assert!(started.elapsed() < Duration::from_secs(60), "{:?}", taken());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        mapping.stop().await;
        let shards = stream.shards();
        assert!(shards.len() > 12, "{} shards", shards.len());
        let is_open = |id: &String| !shards.iter().any(|child| child.parent.as_ref() == Some(id));
        assert_eq!(shards.iter().filter(|shard| is_open(&shard.id)).count(), 6, "{shards:?}");
    }
}
