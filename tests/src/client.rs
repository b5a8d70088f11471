//! Requests of the tests, and the client that sends them.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use isotherm_core::{RETENTION, TEST_STAMP};
use serde_json::Value;
use tokio::net::TcpStream;

/// No host takes longer, however slow the machine is.
const LIMIT: Duration = Duration::from_secs(60);
/// When every request of the tests arrives, in milliseconds: an hour ago, so that hosts that look at a clock neither take their
/// events for expired nor have reports that are not complete up to then.
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
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as it is sent.
    pub body: Vec<u8>,
}

impl Ask {
    /// A request with a stamp that no other request has.
    pub fn new(method: &str, target: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let count = u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
        // In the middle: ids that count up from here meet no other request's, and request ids differ too.
        let ask = Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() };
        ask.stamped(*RECEIVED_AT, count << 56)
    }

    /// The same request when events that are sent now have expired.
    pub fn after_retention(mut self) -> Self {
        let (_, stamp) = self.headers.remove(0);
        let entropy = stamp.split_once('.').and_then(|(_, entropy)| u128::from_str_radix(entropy, 16).ok());
        self.stamped(*RECEIVED_AT + RETENTION.0 * 1000, entropy.unwrap_or_default())
    }

    /// Its stamp is its first header.
    fn stamped(mut self, received_at: u64, entropy: u128) -> Self {
        self.headers.insert(0, (TEST_STAMP.to_owned(), format!("{received_at}.{entropy:032x}")));
        self
    }

    /// `GET target`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// One event.
    pub fn event(event: &Value) -> Self {
        Self::new("POST", "/events").json(event.to_string())
    }

    /// A batch in its JSON envelope.
    pub fn batch(events: &[Value]) -> Self {
        Self::new("POST", "/events/batch").json(serde_json::json!({ "events": events }).to_string())
    }

    /// With this JSON as its body.
    pub fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With this header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body of its own compressed by gzip.
    pub fn gzip(mut self) -> Self {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &self.body).expect("memory takes it");
        self.body = encoder.finish().expect("memory takes it");
        self.header("content-encoding", "gzip")
    }
}

/// What a host answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, with their values.
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

    /// A member of the body as text, empty where there is none.
    #[track_caller]
    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends `ask` on a connection of its own to `127.0.0.1:port`.
pub async fn send(port: u16, ask: &Ask) -> Result<Answer> {
    tokio::time::timeout(LIMIT, exchange(port, ask)).await.context("no answer in time")?
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
