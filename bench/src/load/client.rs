//! One target's client: it records what it sent and received, and whether the answers were right.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::time::Instant;

use anyhow::{Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::load::{Answer, Connection, Endpoint, Sequence, Step};
use crate::workload::{Mix, Route};

/// A target with more errors than this is not measured further.
const ERRORS_BEARABLE: u64 = 20;

/// Number of errors that are kept as text.
const ERRORS_SHOWN: usize = 5;

/// A well-formed id that no event has.
pub(crate) const NO_EVENT: &str = "evt_00000000000000000000000000";

/// The answer that a target must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The answer that the contract requires.
    Contract,
    /// `hello` to every request, as a floor answers.
    Hello,
}

/// Counts of what was sent and answered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests, including failed ones.
    pub requests: u64,
    /// Requests with a batch.
    pub batches: u64,
    /// Bytes of the answers, including their heads.
    pub response_bytes: u64,
    /// Events in the requests.
    pub sent: u64,
    /// Events that the target accepted.
    pub accepted: u64,
    /// Events that the target already had.
    pub duplicates: u64,
    /// Events looked up and found.
    pub found: u64,
    /// Missing or wrong answers.
    pub errors: u64,
    /// The first errors, as text.
    pub first_errors: Vec<String>,
}

impl Tally {
    /// Counts an error and keeps its text if it is one of the first.
    pub fn error(&mut self, text: String) {
        self.errors += 1;
        if self.first_errors.len() < ERRORS_SHOWN {
            self.first_errors.push(text);
        }
    }
}

/// The times of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The route of the request.
    pub route: Route,
    /// Seconds from the due time to the last byte of the answer. They include any delay of the client itself.
    pub latency: f64,
    /// Seconds from the due time until the client sent the request.
    pub lag: f64,
}

/// Sends one target its sequence of requests.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    expect: Expect,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    idle: Vec<Connection>,
    sequence: Sequence,
    /// The number and id under which each event of the data was last accepted.
    known: Vec<Option<(u64, Box<str>)>>,
    /// The id under which each event of the data was accepted in the first pass.
    first: Vec<Option<Box<str>>>,
    tally: Tally,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    event_id: Box<str>,
    #[serde(default)]
    duplicate: bool,
}

#[derive(Deserialize)]
struct Batch {
    results: Vec<EventResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventResult {
    index: usize,
    status: Box<str>,
    #[serde(default)]
    event_id: Option<Box<str>>,
    #[serde(default)]
    message: Option<Box<str>>,
}

impl Client {
    /// A client of the target at `endpoint`.
    pub fn new(endpoint: impl Into<Endpoint>, expect: Expect, sequence: Sequence) -> Self {
        let known = vec![None; sequence.events().len()];
        let first = vec![None; known.len()];
        let state = RefCell::new(State { idle: Vec::new(), sequence, known, first, tally: Tally::default() });
        Self { endpoint: endpoint.into(), expect, state }
    }

    /// What was sent and answered so far.
    pub fn tally(&self) -> Tally {
        self.state.borrow().tally.clone()
    }

    /// Whether every event was sent at least once.
    pub fn is_through(&self) -> bool {
        self.state.borrow().sequence.is_through()
    }

    /// How many events were handed out for sending.
    pub fn sent(&self) -> u64 {
        self.state.borrow().sequence.sent()
    }

    /// Fails once there are too many errors to continue.
    pub fn bearable(&self) -> Result<()> {
        let state = self.state.borrow();
        ensure!(
            state.tally.errors <= ERRORS_BEARABLE,
            "{} wrong answers, the first: {}",
            state.tally.errors,
            state.tally.first_errors.first().map_or("", String::as_str)
        );
        Ok(())
    }

    /// Counts an error from outside [`Client::perform`].
    pub fn error(&self, text: String) {
        self.state.borrow_mut().tally.error(text);
    }

    /// The next request of the sequence.
    pub fn step(&self, mix: &Mix, batch_sizes: &[usize]) -> Step {
        self.state.borrow_mut().sequence.step(mix, batch_sizes)
    }

    /// Opens connections in advance, so that no measured request waits for one.
    pub async fn connect(&self, count: usize) -> Result<()> {
        let mut fresh = Vec::new();
        for _ in 0..count {
            fresh.push(Connection::open(&self.endpoint).await?);
        }
        self.state.borrow_mut().idle = fresh;
        Ok(())
    }

    /// Closes the idle connections. Otherwise a server may close them in the middle of a measurement.
    pub fn disconnect(&self) {
        self.state.borrow_mut().idle.clear();
    }

    /// Sends one request, checks the answer, and counts it.
    pub async fn perform(&self, step: &Step, due: Instant) -> Option<Sample> {
        let (path, id) = self.path(step);
        let sent = Instant::now();
        let answer = self.exchange(&path, step.body.clone()).await;
        let mut state = self.state.borrow_mut();
        state.tally.requests += 1;
        state.tally.batches += u64::from(step.route == Route::Batch);
        state.tally.sent += step.count as u64;
        state.tally.response_bytes += answer.as_ref().map_or(0, |answer| answer.bytes as u64);
        let checked = answer.and_then(|answer| {
            let at = answer.at;
            state.check(self.expect, step, id.as_deref(), &answer).map(|()| at)
        });
        match checked {
            Ok(at) => Some(Sample {
                route: step.route,
                latency: at.duration_since(due).as_secs_f64(),
                lag: sent.duration_since(due).as_secs_f64(),
            }),
            Err(error) => {
                let text = format!("{} ({}): {error:#}", step.route, state.place(step));
                state.tally.error(text);
                None
            }
        }
    }

    /// Sends one request outside the sequence.
    pub async fn exchange(&self, path: &str, body: bytes::Bytes) -> Result<Answer> {
        let idle = self.state.borrow_mut().idle.pop().filter(|connection| !connection.is_closed());
        // A floor whose runtime leaves bodies unread closes its connection after a large body. Chance decides whether
        // the client sees that before its next request leaves. So the client sends the request again, as any client
        // does. A platform's requests are never repeated.
        let may_repeat = idle.is_some() && self.expect == Expect::Hello;
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.endpoint).await?,
        };
        let mut answer = connection.exchange(path, body.clone()).await;
        if may_repeat && answer.as_ref().is_err_and(is_closed_unanswered) {
            connection = Connection::open(&self.endpoint).await?;
            answer = connection.exchange(path, body).await;
        }
        let answer = answer?;
        self.state.borrow_mut().idle.push(connection);
        Ok(answer)
    }

    /// The id under which the target first accepted the event at `index` of the data.
    pub fn first_id_of(&self, index: usize) -> Option<Box<str>> {
        self.state.borrow().first[index].clone()
    }

    fn path(&self, step: &Step) -> (String, Option<Box<str>>) {
        match step.route {
            Route::Single => ("/events".to_owned(), None),
            Route::Batch => ("/events/batch".to_owned(), None),
            Route::Get => {
                let id = self.state.borrow().known_at_or_before(step.event);
                (format!("/events/{}", id.as_deref().unwrap_or(NO_EVENT)), id)
            }
        }
    }
}

impl State {
    /// The id of event `nth`, or of the nearest earlier event while the answer for `nth` is still on its way.
    fn known_at_or_before(&self, nth: u64) -> Option<Box<str>> {
        let events = self.sequence.events();
        let nearest = (0..=nth.min(self.known.len() as u64 - 1)).find_map(|back| {
            let (_, index) = events.place(nth - back);
            self.known[index].as_ref()
        });
        nearest.map(|(_, id)| id.clone())
    }

    fn learn(&mut self, nth: u64, id: Box<str>) {
        let (_, index) = self.sequence.events().place(nth);
        if nth == index as u64 {
            self.first[index] = Some(id.clone());
        }
        if self.known[index].as_ref().is_none_or(|(known, _)| *known < nth) {
            self.known[index] = Some((nth, id));
        }
    }

    fn check(&mut self, expect: Expect, step: &Step, id: Option<&str>, answer: &Answer) -> Result<()> {
        match (expect, step.route) {
            (Expect::Hello, _) => {
                let said = answer.body.trim_ascii();
                ensure!(answer.status == 200 && said == b"hello", "{}, not 200 hello", shown(answer));
            }
            (Expect::Contract, Route::Single) => {
                let one: One = json(answer, 202)?;
                if one.duplicate {
                    self.tally.duplicates += 1;
                } else {
                    self.tally.accepted += 1;
                }
                self.learn(step.event, one.event_id);
            }
            (Expect::Contract, Route::Batch) => {
                let batch: Batch = json(answer, 200)?;
                ensure!(batch.results.len() == step.count, "{} results for {} events", batch.results.len(), step.count);
                let mut refused = None;
                for (place, result) in batch.results.into_iter().enumerate() {
                    ensure!(result.index == place, "result {place} has index {}", result.index);
                    match (&*result.status, result.event_id) {
                        ("accepted", Some(id)) => {
                            self.tally.accepted += 1;
                            self.learn(step.event + place as u64, id);
                        }
                        ("duplicate", Some(id)) => {
                            self.tally.duplicates += 1;
                            self.learn(step.event + place as u64, id);
                        }
                        (status, _) => {
                            let message = result.message.unwrap_or_default();
                            refused = refused.or(Some(anyhow!("event {place} of the batch: {status} {message}")));
                        }
                    }
                }
                if let Some(refused) = refused {
                    return Err(refused);
                }
            }
            (Expect::Contract, Route::Get) => match id {
                Some(id) => {
                    let one: One = json(answer, 200)?;
                    ensure!(*one.event_id == *id, "asked for {id}, got {}", one.event_id);
                    self.tally.found += 1;
                }
                None => ensure!(answer.status == 404, "{}, not 404", shown(answer)),
            },
        }
        Ok(())
    }

    /// The place of the step's events in the data, for messages.
    fn place(&self, step: &Step) -> String {
        let events = self.sequence.events();
        let (pass, index) = events.place(step.event);
        let line = events.line_number(index);
        match (step.count, pass) {
            (0 | 1, 0) => format!("line {line}"),
            (0 | 1, _) => format!("line {line}, pass {}", pass + 1),
            (count, 0) => format!("{count} events from line {line} on"),
            (count, _) => format!("{count} events from line {line} on, pass {}", pass + 1),
        }
    }
}

/// Whether the other side closed the connection before the first byte of an answer.
fn is_closed_unanswered(error: &anyhow::Error) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(|error| {
        let is_reset = std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<std::io::Error>())
            .is_some_and(|error| matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
        error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_reset
    })
}

fn json<'a, T: Deserialize<'a>>(answer: &'a Answer, status: u16) -> Result<T> {
    if answer.status != status {
        bail!("{}, not {status}", shown(answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| anyhow!("{}: {error}", shown(answer)))
}

fn shown(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let short: String = text.trim().chars().take(200).collect();
    format!("answered {} {short}", answer.status)
}
