//! One shard's part of an event source mapping. It delivers batches in order and in tumbling windows, each until the
//! function takes it or it is given up.
//!
//! A retry starts at the record that the function names. After an error of the function, the batch is halved. A batch
//! that is given up goes to the on-failure destination, a queue, as the summary that AWS sends. A window ends early at
//! the end of its shard.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use dynoxide::actions::get_records::Record;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::clock::{ms, now_ms, rfc3339};
use super::mapping::{MappingSettings, Shared, is_stopped};
use super::queues::{GIVEN_UP, NewMessage};
use super::stream::{self, Read, written_at};
use super::target::{self, Outcome, RECORDS_BYTES, Target};
use crate::lines::log;

/// The pause after the first failure. It doubles with each further failure.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// Delivers the records of one shard.
pub(crate) struct Poller<'a, T> {
    shared: &'a Shared<T>,
    shard_id: &'a str,
    stopped: watch::Receiver<bool>,
    /// Position of the last finished record, or a later one with no record of this shard in between.
    after: u128,
    /// The open window, if any of its records were delivered.
    window: Option<Window>,
}

/// A window in milliseconds, and the state that the function gets back with its next batch.
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

/// Records that still need to be delivered together, and the number of failures so far.
struct Part {
    records: Range<usize>,
    failures: u32,
}

impl<'a, T: Target> Poller<'a, T> {
    pub(crate) fn new(shared: &'a Shared<T>, shard_id: &'a str, stopped: watch::Receiver<bool>) -> Self {
        Self { shared, shard_id, stopped, after: shared.positions.of(shard_id).after, window: None }
    }

    /// Runs until the shard's end or until the mapping stops. Returns whether it reached the end.
    pub(crate) async fn run(&mut self) -> bool {
        let Shared { stream, settings, .. } = self.shared;
        let mut waited = false;
        while !is_stopped(&self.stopped) {
            let read = stream.after(self.shard_id, self.after, settings.batch_size).await;
            // Records that are written after this read belong to a later window, or come with the next read.
            let Read { at: now, records, to, is_end } = match read {
                Ok(read) => read,
                Err(error) => {
                    log!("cannot read the stream: {error:#}");
                    self.pause(LONGEST_BACKOFF).await;
                    continue;
                }
            };
            if records.is_empty() {
                self.after = to;
            }
            let first = records.first().map(|first| written_at(first));
            match &self.window {
                Some(_) if is_end && first.is_none() => {
                    self.hand_over(&[]).await;
                    self.window = None;
                }
                None if is_end && first.is_none() => return true,
                Some(window) if first.map_or(now >= window.times.end, |first| first >= window.times.end) => {
                    self.hand_over(&[]).await;
                    self.window = None;
                }
                _ if first.is_none() => self.pause(settings.poll).await,
                _ if records.len() < settings.batch_size && !waited && !is_end => {
                    waited = true;
                    self.pause(settings.batching_window).await;
                }
                _ => {
                    waited = false;
                    let batch = self.cut(&records);
                    self.hand_over(batch).await;
                }
            }
        }
        false
    }

    /// Waits, unless the mapping is stopped.
    async fn pause(&mut self, time: Duration) {
        let _either = tokio::time::timeout(time, self.stopped.wait_for(|stopped| *stopped)).await;
    }

    /// The first records that belong to the window and fit into one event; at least one.
    fn cut<'r>(&mut self, records: &'r [Arc<Record>]) -> &'r [Arc<Record>] {
        let length = ms(self.shared.settings.tumbling_window);
        let start = records.first().map_or(0, |first| written_at(first) / length * length);
        let window = self.window.get_or_insert_with(|| Window { times: start..start + length, state: json!({}) });
        let mut bytes = 0;
        let fits = |record: &&Arc<Record>| {
            // Each record also carries the source's ARN.
            bytes += serde_json::to_vec(&***record).map_or(0, |json| json.len()) + self.shared.stream.arn().len() + 24;
            written_at(record) < window.times.end && bytes <= RECORDS_BYTES
        };
        let count = records.iter().take_while(fits).count();
        records.get(..count.max(1)).unwrap_or(records)
    }

    /// Delivers records until the function has taken them or they are given up. No records mean the end of the window.
    async fn hand_over(&mut self, records: &[Arc<Record>]) {
        let mut parts = vec![Part { records: 0..records.len(), failures: 0 }];
        let mut backoff = FIRST_BACKOFF;
        while let Some(Part { records: range, failures }) = parts.pop() {
            if is_stopped(&self.stopped) {
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
                    // Halving does not count as a retry.
                    let middle = range.start + range.len() / 2;
                    if range.len() > 1 {
                        parts.push(Part { records: middle..range.end, failures });
                        parts.push(Part { records: range.start..middle, failures });
                    } else {
                        parts.push(Part { records: range, failures: failures + 1 });
                    }
                }
            }
            if let Some(Part { records: range, failures }) = parts.last()
                && let Some(condition) = self.gives_up(&records[range.clone()], *failures)
            {
                let part = &records[range.clone()];
                if let Err(error) = self.send_away(part, condition, *failures).await {
                    log!("cannot send to {GIVEN_UP}: {error:#}");
                }
                self.advance(part);
                parts.pop();
                continue;
            }
            self.pause(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// Invokes the function. Returns how many records it has taken.
    async fn invoke(&mut self, records: &[Arc<Record>]) -> Result<usize> {
        let window = self.window.as_mut().context("no window is open")?;
        let event_source_arn = self.shared.stream.arn();
        let event = Event {
            records: records.iter().map(|record| EventRecord { record, event_source_arn }).collect(),
            window: [("start", window.times.start), ("end", window.times.end)]
                .map(|(name, ms)| (name, rfc3339(ms)))
                .into(),
            state: &window.state,
            shard_id: self.shard_id,
            event_source_arn,
            is_final_invoke_for_window: records.is_empty(),
            is_window_terminated_early: false,
        };
        let event = serde_json::to_vec(&event)?;
        let ids: Vec<&str> = records.iter().map(|record| &*record.dynamodb.sequence_number).collect();
        let Outcome { failed, state } = target::hand_over(&*self.shared.target, event, &ids).await?;
        window.state = state;
        let taken = failed.first().copied().unwrap_or(records.len());
        self.shared.taken.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }

    /// The reason to give up records after so many failures, if there is one.
    fn gives_up(&self, records: &[Arc<Record>], failures: u32) -> Option<&'static str> {
        let MappingSettings { retries, record_age, .. } = self.shared.settings;
        let oldest = now_ms().saturating_sub(ms(record_age));
        if failures > retries {
            Some("RetryAttemptsExhausted")
        } else if records.first().is_some_and(|first| written_at(first) < oldest) {
            Some("RecordAgeExceeded")
        } else {
            None
        }
    }

    async fn send_away(&self, records: &[Arc<Record>], condition: &str, failures: u32) -> Result<()> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let summary = json!({
            "requestContext": { "condition": condition, "approximateInvokeCount": failures },
            "version": "1.0",
            "timestamp": rfc3339(now_ms()),
            "DDBStreamBatchInfo": {
                "shardId": self.shard_id,
                "startSequenceNumber": first.dynamodb.sequence_number,
                "endSequenceNumber": last.dynamodb.sequence_number,
                "approximateArrivalOfFirstRecord": rfc3339(written_at(first)),
                "approximateArrivalOfLastRecord": rfc3339(written_at(last)),
                "batchSize": records.len(),
                "streamArn": self.shared.stream.arn(),
            },
        });
        let message = NewMessage { body: summary.to_string(), attributes: Vec::new() };
        self.shared.queues.send(GIVEN_UP, message).await?.context("the summary is too large")?;
        Ok(())
    }

    /// Moves the position behind these records.
    fn advance(&mut self, records: &[Arc<Record>]) {
        let Some(last) = records.last() else { return };
        self.after = stream::place(last).unwrap_or(self.after);
        self.shared.positions.advance(self.shard_id, self.after);
    }
}
