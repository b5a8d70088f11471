//! Lambda's event source mapping for a standard queue of SQS, with `ReportBatchItemFailures`.
//!
//! Delivery is at least once. A message that the function has not taken is visible again after
//! [`QueueMappingSettings::again_after`]; on AWS, it stays hidden for the rest of the visibility timeout. The queue
//! itself moves messages that were received too often to its dead-letter queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::environment::{ACCOUNT, REGION};
use super::mapping::is_stopped;
use super::queues::{Message, Queues, md5};
use super::target::{self, RECORDS_BYTES, Target};
use crate::lines::log;

/// A mapping's settings, in AWS's terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueMappingSettings {
    pub(crate) batch_size: usize,
    /// `MaximumConcurrency`: batches in progress at the same time.
    pub(crate) concurrency: usize,
    /// The queue's visibility timeout. It is six times the function's timeout, as AWS advises.
    pub(crate) visibility: Duration,
    pub(crate) again_after: Duration,
    /// The pause between two reads of a queue without new messages. Older messages may become visible again.
    pub(crate) poll: Duration,
}

impl Default for QueueMappingSettings {
    fn default() -> Self {
        Self {
            batch_size: 10,
            concurrency: 5,
            visibility: Duration::from_secs(60),
            again_after: Duration::from_millis(500),
            poll: Duration::from_millis(250),
        }
    }
}

/// The running mapping. When dropped, it stops after the invocations in progress.
pub(crate) struct QueueMapping {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl QueueMapping {
    /// Delivers the messages of `queue` to `target`.
    pub(crate) fn start(
        queues: Queues,
        queue: &'static str,
        target: Arc<impl Target>,
        settings: QueueMappingSettings,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(poll(QueuePoller { queues, queue, target, settings }, stopped)) }
    }

    /// Ends the mapping after the invocations in progress.
    pub(crate) async fn stop(self) {
        // Both fail only if the task has ended by itself.
        let _ended = self.stop.send(true);
        let _ended = self.task.await;
    }
}

struct QueuePoller<T> {
    queues: Queues,
    queue: &'static str,
    target: Arc<T>,
    settings: QueueMappingSettings,
}

async fn poll(poller: QueuePoller<impl Target>, mut stopped: watch::Receiver<bool>) {
    let poller = Arc::new(poller);
    let QueueMappingSettings { batch_size, concurrency, visibility, poll, .. } = poller.settings;
    let mut under_way = JoinSet::new();
    while !is_stopped(&stopped) {
        let received = poller.queues.receive(poller.queue, batch_size, visibility).await;
        let messages = received.unwrap_or_else(|error| {
            log!("cannot receive from {}: {error:#}", poller.queue);
            Vec::new()
        });
        if messages.is_empty() {
            tokio::select! {
                () = poller.queues.arrived(poller.queue) => {}
                () = tokio::time::sleep(poll) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        } else {
            let poller = Arc::clone(&poller);
            under_way.spawn(async move { poller.hand_over(messages).await });
        }
        while under_way.try_join_next().is_some() {}
        while under_way.len() >= concurrency {
            under_way.join_next().await;
        }
    }
    under_way.join_all().await;
}

impl<T: Target> QueuePoller<T> {
    /// Delivers messages in one event, or in several if they don't fit into one.
    async fn hand_over(&self, messages: Vec<Message>) {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for message in messages {
            let length = record(self.queue, &message).to_string().len();
            if bytes + length > RECORDS_BYTES && !batch.is_empty() {
                self.hand_over_batch(std::mem::take(&mut batch)).await;
                bytes = 0;
            }
            bytes += length;
            batch.push(message);
        }
        self.hand_over_batch(batch).await;
    }

    async fn hand_over_batch(&self, batch: Vec<Message>) {
        let failed = self.invoke(&batch).await.unwrap_or_else(|error| {
            log!("{}: {error:#}", self.queue);
            (0..batch.len()).collect()
        });
        let (again, taken): (Vec<_>, Vec<_>) =
            batch.into_iter().enumerate().partition(|(place, _)| failed.contains(place));
        let receipts =
            |messages: Vec<(usize, Message)>| messages.into_iter().map(|(_, message)| message.receipt).collect();
        let done = self.queues.delete(receipts(taken)).await;
        let done = done.and(self.queues.change_visibility(receipts(again), self.settings.again_after).await);
        if let Err(error) = done {
            // The messages come again when their visibility timeout ends.
            log!("{}: {error:#}", self.queue);
        }
    }

    /// Invokes the function. Returns the places in the batch of the messages that failed.
    async fn invoke(&self, batch: &[Message]) -> Result<BTreeSet<usize>> {
        let records: Vec<Value> = batch.iter().map(|message| record(self.queue, message)).collect();
        let ids: Vec<&str> = batch.iter().map(|message| &*message.id).collect();
        let event = serde_json::to_vec(&json!({ "Records": records }))?;
        Ok(target::hand_over(&*self.target, event, &ids).await?.failed)
    }
}

/// A message as it appears in an event.
fn record(queue: &str, message: &Message) -> Value {
    let attribute = |value: &String| json!({ "stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String" });
    let attributes: Map<String, Value> =
        message.attributes.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
    json!({
        "messageId": message.id,
        "receiptHandle": message.receipt.to_string(),
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": message.receive_count.to_string(),
            "SentTimestamp": message.sent_at.to_string(),
            "SenderId": "API Gateway",
            "ApproximateFirstReceiveTimestamp": message.first_received_at.to_string(),
        },
        "messageAttributes": attributes,
        "md5OfBody": md5(&message.body),
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"),
        "awsRegion": REGION,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use hyper::body::Bytes;

    use super::super::environment::Failure;
    use super::super::queues::{EVENTS, EVENTS_DEAD, NewMessage};
    use super::*;

    /// Notes the bodies of each batch, and answers as the closure says for the bodies with their ids.
    struct Fake<F> {
        taken: Mutex<Vec<Vec<String>>>,
        answer: F,
    }

    impl<F: Fn(&[(String, String)]) -> Result<Value, Failure> + Send + Sync + 'static> Target for Fake<F> {
        async fn invoke(&self, event: Bytes) -> Result<Bytes, Failure> {
            let event: Value = serde_json::from_slice(&event).unwrap();
            let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
            let records = event["Records"].as_array().unwrap().iter();
            let batch: Vec<_> = records.map(|record| (text(record, "body"), text(record, "messageId"))).collect();
            self.taken.lock().unwrap().push(batch.iter().map(|(body, _)| body.clone()).collect());
            (self.answer)(&batch).map(|answer| answer.to_string().into())
        }
    }

    /// Runs a mapping until `done` holds for the batches so far. Returns these batches and the rest of both queues.
    async fn run(
        bodies: &[String],
        answer: impl Fn(&[(String, String)]) -> Result<Value, Failure> + Send + Sync + 'static,
        done: impl Fn(&[Vec<String>]) -> bool,
    ) -> (Vec<Vec<String>>, [Vec<String>; 2]) {
        let data = tempfile::tempdir().unwrap();
        let queues = Queues::open(data.path()).unwrap();
        for body in bodies {
            queues.send(EVENTS, NewMessage { body: body.clone(), attributes: Vec::new() }).await.unwrap().unwrap();
        }
        let target = Arc::new(Fake { taken: Mutex::default(), answer });
        let settings =
            QueueMappingSettings { concurrency: 1, again_after: Duration::ZERO, ..QueueMappingSettings::default() };
        let mapping = QueueMapping::start(queues.clone(), EVENTS, Arc::clone(&target), settings);
        let started = Instant::now();
        while !done(&target.taken.lock().unwrap()) {
            assert!(started.elapsed() < Duration::from_secs(30), "{:?}", target.taken.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        mapping.stop().await;
        let left = async |queue| {
            let left = queues.receive(queue, 100, Duration::from_secs(60)).await.unwrap();
            left.into_iter().map(|message| message.body).collect()
        };
        let left = [left(EVENTS).await, left(EVENTS_DEAD).await];
        (target.taken.lock().unwrap().clone(), left)
    }

    fn bodies(count: usize) -> Vec<String> {
        (0..count).map(|n| n.to_string()).collect()
    }

    #[tokio::test]
    async fn batches_have_ten_messages_and_are_deleted_when_they_are_taken() {
        let (taken, left) = run(&bodies(12), |_| Ok(Value::Null), |taken| taken.concat().len() == 12).await;
        assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), [10, 2]);
        assert_eq!(left, [[""; 0]; 2]);
    }

    #[tokio::test]
    async fn what_failed_comes_again_and_at_last_is_a_dead_letter() {
        let failing = |batch: &[(String, String)]| {
            let failures = batch.iter().filter(|(body, _)| body == "1");
            let failures: Vec<_> = failures.map(|(_, id)| json!({ "itemIdentifier": id })).collect();
            Ok(json!({ "batchItemFailures": failures }))
        };
        let (taken, left) = run(&bodies(3), failing, |taken| taken.len() == 5).await;
        assert_eq!(taken, [vec!["0", "1", "2"], vec!["1"], vec!["1"], vec!["1"], vec!["1"]]);
        assert_eq!(left, [vec![], vec!["1".to_owned()]]);
    }

    #[tokio::test]
    async fn after_an_error_or_an_unknown_failure_all_come_again() {
        let tries = Mutex::new(0);
        let answer = move |_: &[(String, String)]| {
            *tries.lock().unwrap() += 1;
            match *tries.lock().unwrap() {
                1 => Err(Failure::Error("bad".to_owned())),
                2 => Ok(json!({ "batchItemFailures": [{ "itemIdentifier": "" }] })),
                _ => Ok(json!({})),
            }
        };
        let (taken, left) = run(&bodies(2), answer, |taken| taken.len() == 3).await;
        assert_eq!(taken, vec![vec!["0", "1"]; 3]);
        assert_eq!(left, [[""; 0]; 2]);
    }
}
