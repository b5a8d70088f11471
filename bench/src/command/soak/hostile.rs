//! Hostile clients: they send valid but costly requests, or invalid ones.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::command::soak::keys::HOSTILE;
use crate::command::soak::round::Statuses;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Number of connections of slow senders. The two constants below bound how long each lasts.
const SLOW: usize = 20;
const DRIPS: usize = 50;
const DRIP_EVERY: Duration = Duration::from_millis(200);
/// How often a waiting client looks whether the round is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const DAY: u64 = 24 * 60 * 60 * 1000;

/// A name in reports, and the function that makes the request of a turn.
type Kind = (&'static str, fn(u64) -> Ask);

/// The kinds of requests.
const KINDS: [Kind; 8] = [
    ("hostile: new numeric names", |turn| {
        let numbers =
            |event: u64| (0..128).map(move |at| (format!("k{:09}", (turn * 20 + event) * 128 + at), json!(at)));
        batch(
            (0..20).map(|event| json!({"userId": "u", "eventType": "n", "properties": Map::from_iter(numbers(event))})),
        )
    }),
    ("hostile: event types with long names", |turn| {
        let long = |event: u64, at: u64| format!("{turn:06}{event:03}{at}{}", "x".repeat(190));
        let names = move |event: u64| (0..8).map(move |at| (long(event, at), json!("v")));
        let event =
            |n: u64| json!({"userId": "u", "eventType": format!("e{n}"), "properties": Map::from_iter(names(n))});
        batch((0..300).map(event))
    }),
    ("hostile: values without end", |turn| {
        let event = |n: u64| {
            let value = format!("v{}", turn * 500 + n);
            json!({"userId": value, "eventType": "v", "properties": {"a": value, "b": value, "c": value}})
        };
        batch((0..500).map(event))
    }),
    ("hostile: hours over 20 years", |turn| {
        let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        let event = |n: u64| {
            let day = (turn * 500 + n) * 7919 % 7300;
            json!({"userId": "u", "eventType": "b", "timestamp": now - day * DAY, "properties": {"a": "x"}})
        };
        batch((0..500).map(event))
    }),
    ("hostile: gzip junk", |turn| {
        let empty = GzEncoder::new(Vec::new(), Compression::fast()).finish().unwrap_or_default();
        let mut zeros = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory cannot fail.
        let _written = zeros.write_all(&vec![b' '; 32 << 20]);
        let body = match turn % 3 {
            0 => empty.repeat(1_000_000 / empty.len().max(1)),
            1 => zeros.finish().unwrap_or_default(),
            _ => [&[0x1f, 0x8b, 8, 0], &[0xa5; 100_000][..]].concat(),
        };
        Ask { is_gzip: true, ..Ask::post("/events/batch", body) }
    }),
    ("hostile: junk", |turn| {
        let body = match turn % 3 {
            0 => "[".repeat(1_000_000),
            1 => format!("{{\"{}\":1}}", "x".repeat(1_000_000)),
            _ => "\u{0}".repeat(1_100_000),
        };
        Ask::post("/events/batch", body.into_bytes())
    }),
    ("hostile: wrong keys", |turn| {
        let ask = Ask::post("/events", vec![b'x'; 100_000]);
        Ask { key: format!("isotherm-soak-no-key-{turn}"), ..ask }
    }),
    ("hostile: the worst reports", |turn| {
        let functions = ["sum", "mean", "min", "max", "p50", "p90", "p95", "p99"];
        let metrics = functions.iter().map(|function| format!("{function}:k{:09}", turn % 128));
        let metrics = metrics.chain(["count".to_owned(), "users".to_owned()]).collect::<Vec<_>>().join(",");
        let hour =
            |ago: i64| (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(ago)).strftime("%Y-%m-%dT%H:00:00Z");
        let (from, to) = (hour(399 * 24), hour(0));
        let more = match turn % 3 {
            0 => "timeseries?interval=hour&groupBy=a&limit=10000&",
            1 => "top?dimension=a&limit=10000&",
            _ => "summary?",
        };
        Ask { method: "GET", ..Ask::post(&format!("/reports/{more}from={from}&to={to}&metrics={metrics}"), Vec::new()) }
    }),
];

/// One request.
struct Ask {
    method: &'static str,
    path: String,
    key: String,
    is_gzip: bool,
    body: Vec<u8>,
}

impl Ask {
    fn post(path: &str, body: Vec<u8>) -> Self {
        Self { method: "POST", path: path.to_owned(), key: HOSTILE.to_owned(), is_gzip: false, body }
    }

    fn head(&self, length: usize) -> String {
        let Self { method, path, key, is_gzip, .. } = self;
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: soak\r\nauthorization: Bearer {key}\r\nconnection: close\r\n");
        let encoding = if *is_gzip { "content-encoding: gzip\r\n" } else { "" };
        if *method == "POST" {
            // Writing to a string cannot fail.
            let _written = write!(head, "content-type: application/json\r\n{encoding}content-length: {length}\r\n");
        }
        head + "\r\n"
    }
}

fn batch(events: impl Iterator<Item = Value>) -> Ask {
    let body = json!({ "events": events.collect::<Vec<_>>() });
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let _written = packed.write_all(body.to_string().as_bytes());
    Ask { is_gzip: true, ..Ask::post("/events/batch", packed.finish().unwrap_or_default()) }
}

/// The running clients.
pub(crate) struct Hostile {
    statuses: Arc<Mutex<Statuses>>,
    clients: Vec<JoinHandle<()>>,
}

/// Numbers the requests of all rounds, so that each has new names and values.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Starts the clients. Each kind of request is sent every `every`.
pub(crate) fn start(url: &str, every: Duration, is_over: &Arc<AtomicBool>) -> Hostile {
    let address: Arc<str> = url.trim_start_matches("http://").into();
    let statuses: Arc<Mutex<Statuses>> = Arc::default();
    let count = |statuses: &Mutex<Statuses>, name: &str, status: Result<u16>| {
        let mut statuses = statuses.lock().unwrap_or_else(PoisonError::into_inner);
        *statuses.entry(name.to_owned()).or_default().entry(status.unwrap_or(0)).or_default() += 1;
    };
    let asking = KINDS.into_iter().map(|(name, ask)| {
        let (address, statuses, is_over) = (Arc::clone(&address), Arc::clone(&statuses), Arc::clone(is_over));
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let ask = ask(TURN.fetch_add(1, Ordering::Relaxed));
                count(&statuses, name, send(&address, &ask).await);
                pause(every, &is_over).await;
            }
        })
    });
    let slow = (0..SLOW).map(|_| {
        let (address, statuses, is_over) = (Arc::clone(&address), Arc::clone(&statuses), Arc::clone(is_over));
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                count(&statuses, "hostile: slow senders", drip(&address, &is_over).await);
                pause(every, &is_over).await;
            }
        })
    });
    let clients = asking.chain(slow).collect();
    Hostile { statuses, clients }
}

impl Hostile {
    /// Waits until the clients have seen the end of the round.
    pub(crate) async fn end(self) -> Statuses {
        for client in self.clients {
            // The panic of a client was already printed; what the client counted is kept.
            let _panicked = client.await;
        }
        std::mem::take(&mut self.statuses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits for `time`, or until the round is over.
async fn pause(time: Duration, is_over: &AtomicBool) {
    let ends = Instant::now() + time;
    while !is_over.load(Ordering::Relaxed) && Instant::now() < ends {
        tokio::time::sleep(LOOK_EVERY.min(ends - Instant::now())).await;
    }
}

/// Sends one request and returns the status of the answer.
async fn send(address: &str, ask: &Ask) -> Result<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(ask.head(ask.body.len()).as_bytes()).await?;
        // A server that refuses the head may not read the body. Only the answer counts.
        let _refused = stream.write_all(&ask.body).await;
        status(&mut stream).await
    };
    tokio::time::timeout(ANSWER_WITHIN, exchange).await?
}

/// Sends a body that never ends.
async fn drip(address: &str, is_over: &AtomicBool) -> Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(Ask::post("/events/batch", Vec::new()).head(1 << 20).as_bytes()).await?;
    for _ in 0..DRIPS {
        if is_over.load(Ordering::Relaxed) || stream.write_all(b" ").await.is_err() {
            break;
        }
        tokio::time::sleep(DRIP_EVERY).await;
    }
    stream.shutdown().await?;
    tokio::time::timeout(Duration::from_secs(1), status(&mut stream)).await?
}

/// Reads an answer to its end.
async fn status(stream: &mut TcpStream) -> Result<u16> {
    let mut answer = Vec::new();
    // A connection may be reset after it carried the answer.
    let _reset = stream.read_to_end(&mut answer).await;
    let head = String::from_utf8_lossy(answer.get(..12).context("no answer")?).into_owned();
    head.rsplit(' ').next().and_then(|status| status.parse().ok()).context("no status")
}

#[cfg(test)]
mod tests {
    use isotherm_core::{Admission, Config, Millis, Plan, Request, Service, Stamp};

    use super::*;
    use crate::command::soak::keys::CONFIG;

    #[test]
    fn costly_batches_are_valid_and_junk_is_not() {
        let service = Service::new(Config::parse(CONFIG).unwrap());
        let now = Millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap());
        for (kind, (name, ask)) in KINDS.into_iter().enumerate() {
            for turn in 0..3 {
                let Ask { method, path, key, is_gzip, body } = ask(turn);
                let mut headers =
                    vec![("authorization", format!("Bearer {key}")), ("content-type", "application/json".to_owned())];
                headers.extend(is_gzip.then(|| ("content-encoding", "gzip".to_owned())));
                let (path, query) = path.split_once('?').unwrap_or((&path, ""));
                let request = Request { method, path, query, headers: &headers, body: &body };
                let stored = match service.admit(&request, Stamp { received_at: now, entropy: 1 }) {
                    Admission::Plan(Plan::Store(plan)) => plan.events().len(),
                    _ => 0,
                };
                assert_eq!(stored, [20, 300, 500, 500].get(kind).copied().unwrap_or(0), "{name} {turn}");
            }
        }
    }
}
