//! Well-behaved clients: they send at a fixed rate, with messageIds, and send unanswered events again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::command::soak::round::{Kind, Round, Sent};
use crate::command::soak::state::State;
use crate::load::{Answer, Connection, Endpoint, NO_EVENT};

/// Each client's kind, and the milliseconds from one of its requests to the next.
const CLIENTS: [(Kind, u64); 7] = [
    (Kind::Single, 50),
    (Kind::Single, 50),
    (Kind::Single, 50),
    (Kind::Batch, 500),
    (Kind::LookUp, 50),
    (Kind::LookUp, 50),
    (Kind::Report, 1000),
];
const BATCH: u64 = 50;
/// The wait after an unanswered request.
const PAUSE: Duration = Duration::from_millis(50);
const TRIES: usize = 5;
/// Reports must count every event within this time.
const COUNTED_WITHIN: Duration = Duration::from_secs(300);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The fate of the accepted events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    /// Events that the platform accepted.
    pub accepted: u64,
    /// Events that reports do not count and look-ups do not find.
    pub lost: u64,
    /// Events that reports count twice.
    pub doubled: u64,
    /// Events that were looked up.
    pub looked_up: u64,
    /// Events without an answer: they may be there or not.
    pub unanswered: u64,
}

/// The running clients.
pub(crate) struct Good {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    endpoint: Endpoint,
    event_type: String,
    next: AtomicU64,
    is_over: Arc<AtomicBool>,
    round: Mutex<Round>,
}

impl Good {
    /// Starts the clients. Their events have a type of their own.
    pub(crate) fn start(endpoint: &Endpoint, is_over: &Arc<AtomicBool>) -> Self {
        let event_type = format!("soak_{}", jiff::Timestamp::now().as_millisecond());
        let (endpoint, is_over) = (endpoint.clone(), Arc::clone(is_over));
        let (next, round) = (AtomicU64::new(0), Mutex::default());
        let shared = Arc::new(Shared { endpoint, event_type, next, is_over, round });
        let start = |(kind, every)| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { shared.client(kind, Duration::from_millis(every)).await })
        };
        Self { clients: CLIENTS.into_iter().map(start).collect(), shared }
    }

    /// Waits until the clients have seen the end of the round.
    pub(crate) async fn end(self) -> Round {
        for client in self.clients {
            // The panic of a client was already printed; what the client recorded is kept.
            let _panicked = client.await;
        }
        std::mem::take(&mut self.shared.round())
    }
}

impl Shared {
    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn client(&self, kind: Kind, every: Duration) {
        let mut connection = None;
        let mut due = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            due += every;
            tokio::time::sleep_until(due.into()).await;
            let count = match kind {
                Kind::Single => 1,
                Kind::Batch => BATCH,
                Kind::LookUp | Kind::Report => 0,
            };
            let first = self.next.fetch_add(count, Ordering::Relaxed);
            let sent = Sent { event_type: self.event_type.clone(), first, count };
            let (path, body) = match kind {
                Kind::Single => ("/events".to_owned(), sent.event(0).to_string().into()),
                Kind::Batch => ("/events/batch".to_owned(), sent.batch()),
                Kind::LookUp => {
                    let known = self.round().examples.last().map(|(_, id)| id.clone());
                    (format!("/events/{}", known.as_deref().unwrap_or(NO_EVENT)), Bytes::new())
                }
                Kind::Report => (summary(&self.event_type), Bytes::new()),
            };
            let answer = exchange(&self.endpoint, &mut connection, &path, body).await;
            let is_answered = answer.is_ok();
            self.note(kind, sent, due, answer.ok());
            if !is_answered {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn note(&self, kind: Kind, sent: Sent, due: Instant, answer: Option<Answer>) {
        let mut round = self.round();
        round.count(kind, answer.as_ref().map_or(0, |answer| answer.status));
        let brings_events = sent.count > 0;
        match answer {
            Some(answer) => {
                let micros = u32::try_from(answer.at.duration_since(due).as_micros()).unwrap_or(u32::MAX);
                round.latencies.entry(kind.name().to_owned()).or_default().push(micros);
                if brings_events {
                    round.learn(&sent, sent.taken(&answer));
                }
            }
            None if brings_events => round.unanswered.push(sent),
            None => {}
        }
    }
}

fn summary(event_type: &str) -> String {
    format!("/reports/summary?eventType={event_type}&metrics=count,users,p95:depDelay")
}

/// Sends one request on the open connection, or on a new one if it is closed.
async fn exchange(endpoint: &Endpoint, connection: &mut Option<Connection>, path: &str, body: Bytes) -> Result<Answer> {
    let mut open = match connection.take().filter(|open| !open.is_closed()) {
        Some(open) => open,
        None => Connection::open(endpoint).await?,
    };
    let answer = open.exchange(path, body).await?;
    *connection = Some(open);
    Ok(answer)
}

/// Sends unanswered events again, and counts those that are accepted now.
pub(crate) async fn send_again(endpoint: &Endpoint, state: &mut State) {
    let mut connection = None;
    for _ in 0..TRIES {
        for sent in std::mem::take(&mut state.unanswered) {
            let Ok(answer) = exchange(endpoint, &mut connection, "/events/batch", sent.batch()).await else {
                state.unanswered.push(sent);
                continue;
            };
            let mut round = Round::default();
            round.learn(&sent, sent.taken(&answer));
            state.unanswered.extend(round.unanswered);
            for (event_type, count) in round.accepted {
                *state.accepted.entry(event_type).or_default() += count;
            }
        }
        if state.unanswered.is_empty() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Checks that every accepted event is there exactly once.
pub(crate) async fn verify(endpoint: &Endpoint, state: &State) -> Result<Found> {
    let mut connection = None;
    let unanswered = state.unanswered.iter().map(|sent| sent.count).sum();
    let mut found = Found { unanswered, ..Found::default() };
    let mut deadline = Instant::now() + COUNTED_WITHIN;
    for (event_type, expected) in &state.accepted {
        let mut before = 0;
        let counted = loop {
            // Events without an answer may be counted too.
            let may_be = state.unanswered.iter().filter(|sent| sent.event_type == *event_type);
            let allowed = *expected..=expected + may_be.map(|sent| sent.count).sum::<u64>();
            let counted = match exchange(endpoint, &mut connection, &summary(event_type), Bytes::new()).await {
                Ok(answer) if answer.status == 200 => {
                    let body: Value = serde_json::from_slice(&answer.body).context("a report is no JSON")?;
                    body["rows"][0]["count"].as_u64().unwrap_or(0)
                }
                _ => 0,
            };
            if allowed.contains(&counted) {
                break *expected;
            }
            // While a backlog is being folded, the wait goes on, however long it takes.
            if counted > before {
                (before, deadline) = (counted, Instant::now() + COUNTED_WITHIN);
            }
            if Instant::now() > deadline {
                break counted;
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        };
        found.accepted += expected;
        found.lost += expected.saturating_sub(counted);
        found.doubled += counted.saturating_sub(*expected);
    }
    for (name, id) in &state.examples {
        let path = format!("/events/{id}");
        let mut answer = exchange(endpoint, &mut connection, &path, Bytes::new()).await;
        for _ in 0..TRIES {
            if answer.as_ref().is_ok_and(|answer| [200, 404].contains(&answer.status)) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            answer = exchange(endpoint, &mut connection, &path, Bytes::new()).await;
        }
        let answer = answer.context("an event cannot be looked up")?;
        ensure!([200, 404].contains(&answer.status), "a look-up is answered {}", answer.status);
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        found.looked_up += 1;
        found.lost += u64::from(body["messageId"] != **name);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_answer_does_not_accept_is_sent_again() {
        let answer =
            |status, body: Value| Answer { status, bytes: 0, body: body.to_string().into(), at: Instant::now() };
        let sent = Sent { event_type: "t".to_owned(), first: 9, count: 3 };
        let results = json!({"results": [{"status": "accepted", "eventId": "a"}, {"status": "retry", "eventId": "b"},
            {"status": "duplicate", "eventId": "c"}]});
        let mut round = Round::default();
        round.learn(&sent, sent.taken(&answer(200, results)));
        assert_eq!(round.accepted["t"], 2);
        assert_eq!(round.unanswered, [Sent { event_type: "t".to_owned(), first: 10, count: 1 }]);
        round.learn(&sent, sent.taken(&answer(503, json!({}))));
        assert_eq!((round.accepted["t"], round.unanswered.len()), (2, 4));
        assert_eq!(round.examples, []);
        let one = Sent { count: 1, first: 20, ..sent };
        round.learn(&one, one.taken(&answer(202, json!({"eventId": "d"}))));
        assert_eq!(round.examples, [("t-20".to_owned(), "d".to_owned())]);
    }
}
