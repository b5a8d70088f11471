//! The endpoint that is checked.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac as _};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::load::{Connection, Endpoint};

/// An endpoint, and what tells the events of this check from all others.
pub(super) struct Server {
    write: Endpoint,
    read: Endpoint,
    /// Whether requests have a key.
    pub(super) is_keyed: bool,
    /// The type of all events of this check.
    pub(super) event_type: String,
    patience: Duration,
}

/// A sender of Standard Webhooks that the endpoint's configuration names.
pub(super) struct Webhooks {
    id: String,
    /// The bytes of its secret.
    secret: Vec<u8>,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: hyper::HeaderMap,
    pub(super) body: Bytes,
}

impl Webhooks {
    /// `secret` is `whsec_` and the base64 of the secret's bytes.
    ///
    /// # Errors
    /// Fails if it is not.
    pub(super) fn new(id: &str, secret: &str) -> Result<Self> {
        let secret = secret.trim().strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        let secret = secret.context("the secret of webhooks is whsec_ and base64")?;
        Ok(Self { id: id.to_owned(), secret })
    }

    /// The signature of a message, as
    /// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md> says.
    fn sign(&self, id: &str, sent: i64, message: &str) -> Result<String> {
        let hmac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.secret)?;
        let hmac = hmac.chain_update(format!("{id}.{sent}.{message}"));
        Ok(format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes())))
    }
}

impl Server {
    pub(super) fn new(write: Endpoint, read: Endpoint, is_keyed: bool, patience: u64) -> Self {
        let event_type = format!("isotherm check {}", jiff::Timestamp::now());
        Self { write, read, is_keyed, event_type, patience: Duration::from_secs(patience) }
    }

    /// An event of this check.
    pub(super) fn event(&self, message_id: &str) -> Value {
        let message_id = format!("{} {message_id}", self.event_type);
        json!({"userId": "u", "eventType": self.event_type, "messageId": message_id, "properties": {"n": 1}})
    }

    /// Sends a request. Each has a connection of its own, so that none suffers from what came before.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let endpoint = if method == "POST" { &self.write } else { &self.read };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let (head, body) = Connection::open(endpoint).await?.send(request).await?.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, &[], "").await
    }

    /// Sends JSON.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Sends a message with the signature of `signed`.
    pub(super) async fn message(
        &self,
        webhooks: &Webhooks,
        id: &str,
        sent: i64,
        signed: &str,
        message: &str,
    ) -> Result<Answer> {
        let headers = [
            ("content-type", "application/json"),
            ("authorization", ""),
            ("webhook-id", id),
            ("webhook-timestamp", &sent.to_string()),
            ("webhook-signature", &webhooks.sign(id, sent, signed)?),
        ];
        self.send("POST", &format!("/webhooks/{}", webhooks.id), &headers, message.to_owned()).await
    }

    /// Waits until a report counts so many events of a type.
    pub(super) async fn counts(&self, event_type: &str, count: u64) -> Result<()> {
        let mut path = "/reports/summary?eventType=".to_owned();
        for byte in event_type.bytes() {
            path += &format!("%{byte:02X}");
        }
        let end = Instant::now() + self.patience;
        loop {
            let answer = self.get(&path).await?;
            answer.is(200)?;
            let counted = answer.json()?["rows"][0]["count"].as_u64();
            if counted == Some(count) {
                return Ok(());
            }
            let is_late = Instant::now() > end || counted.is_some_and(|counted| counted > count);
            ensure!(!is_late, "{count} events were accepted, and a report counts {counted:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Answer {
    /// Fails unless the answer has this status.
    pub(super) fn is(&self, status: u16) -> Result<()> {
        let body = String::from_utf8_lossy(&self.body);
        let shown: String = body.chars().take(200).collect();
        ensure!(self.status == status, "expected {status}, but the answer is {} {shown}", self.status);
        Ok(())
    }

    /// Fails unless the answer is an error with this status and code, in the shape of the contract.
    pub(super) fn is_error(&self, status: u16, code: &str) -> Result<()> {
        self.is(status)?;
        let body = self.json()?;
        ensure!(body["code"] == code, "expected the code {code}: {body}");
        ensure!(body["error"] == code, "`error` is not the code: {body}");
        ensure!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "an error without a message: {body}");
        let id = body["requestId"].as_str().unwrap_or_default();
        ensure!(id.len() == 30 && id.starts_with("req_"), "an error without a requestId: {body}");
        Ok(())
    }

    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!("no JSON: {}", String::from_utf8_lossy(&self.body).chars().take(200).collect::<String>())
        })
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
