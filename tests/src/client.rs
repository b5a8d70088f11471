//! Requests of the tests, and the client that sends them.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use isotherm_core::{Millis, RETENTION, Seconds, Stamp, TEST_STAMP};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No host may take longer, however slow the machine is.
const LIMIT: Duration = Duration::from_secs(60);
/// When every request of the tests arrives, in milliseconds: one hour ago. So hosts that look at a clock do not take
/// the events for expired, and their reports are complete up to then.
pub(crate) static RECEIVED_AT: LazyLock<u64> = LazyLock::new(|| {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or_default() - 60 * 60 * 1000
});

/// One request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as it is sent.
    pub body: Vec<u8>,
}

impl Ask {
    /// A request with a stamp of its own.
    pub fn new(method: &str, target: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let count = u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
        // The count is in the middle of the entropy. So ids that count up from it meet no other request's, and
        // request ids differ too.
        let ask = Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() };
        ask.stamped(*RECEIVED_AT, count << 56)
    }

    /// The same request, received when events that are sent now have expired.
    pub fn after_retention(self) -> Self {
        self.after(RETENTION)
    }

    /// The same request, received later.
    pub fn after(mut self, Seconds(later): Seconds) -> Self {
        let (_, stamp) = self.headers.remove(0);
        let entropy = stamp.split_once('.').and_then(|(_, entropy)| u128::from_str_radix(entropy, 16).ok());
        self.stamped(*RECEIVED_AT + later * 1000, entropy.unwrap_or_default())
    }

    /// Inserts the stamp as the first header.
    fn stamped(mut self, received_at: u64, entropy: u128) -> Self {
        self.headers.insert(0, (TEST_STAMP.to_owned(), format!("{received_at}.{entropy:032x}")));
        self
    }

    /// The stamp of its header, if it has one.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let (_, stamp) = self.headers.iter().find(|(name, _)| name == TEST_STAMP)?;
        let (received_at, entropy) = stamp.split_once('.')?;
        let received_at = Millis(received_at.parse().ok()?);
        Some(Stamp { received_at, entropy: u128::from_str_radix(entropy, 16).ok()? })
    }

    /// A request `GET target`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A request with one event.
    pub fn event(event: &Value) -> Self {
        Self::new("POST", "/events").json(event.to_string())
    }

    /// A request with a batch in its JSON envelope.
    pub fn batch(events: &[Value]) -> Self {
        Self::new("POST", "/events/batch").json(serde_json::json!({ "events": events }).to_string())
    }

    /// Sets the body to this JSON.
    pub fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Compresses the body with gzip.
    pub fn gzip(mut self) -> Self {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &self.body).expect("memory takes it");
        self.body = encoder.finish().expect("memory takes it");
        self.header("content-encoding", "gzip")
    }
}

/// A host's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A member of the body as text, or an empty text if it is missing.
    #[track_caller]
    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends `ask` to `127.0.0.1:port` on a connection of its own.
pub async fn send(port: u16, ask: &Ask) -> Result<Answer> {
    tokio::time::timeout(LIMIT, exchange(port, ask)).await.context("no answer in time")?
}

/// Sends these bytes to `127.0.0.1:port`. They must ask to close the connection after the answer.
pub async fn send_raw(port: u16, bytes: &[u8]) -> Result<Answer> {
    tokio::time::timeout(LIMIT, exchange_raw(port, bytes)).await.context("no answer in time")?
}

async fn exchange_raw(port: u16, bytes: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let (head, body) = (0..answer.len())
        .find_map(|at| Some((&answer[..at], answer[at..].strip_prefix(b"\r\n\r\n")?)))
        .context("the answer has no end of its head")?;
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("the answer has no status")?.parse()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(Answer { status, headers, body: Bytes::copy_from_slice(body) })
}

async fn exchange(port: u16, ask: &Ask) -> Result<Answer> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = hyper::Request::builder().method(ask.method.as_str()).uri(&ask.target).header("host", "test");
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(ask.body.clone())))?).await?;
    let status = response.status().as_u16();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok(Answer { status, headers, body })
}
