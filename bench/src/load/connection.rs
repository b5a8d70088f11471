//! HTTP/1.1 connections that are kept open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer that takes longer is an error.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How every request shows who sends it, as it would where the function is deployed. The key is no secret: it opens fresh data on
/// loopback, for the time of a run.
pub const AUTHORIZED: &str = "Bearer isotherm-compare";

/// The configuration that [`AUTHORIZED`] goes with: the SHA-256 of that key.
pub const CONFIG: &str = r#"{"keys": [{"sha256": "228966299e9ddc2014b7a99622ed106d369a53d09e1bf855a30cc7310c34298f", "tenant": "compare", "scope": "both"}]}"#;

/// Of an answer's head, `HTTP/1.1 202 Accepted` or so and the empty line.
const STATUS_LINE: usize = 24;

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Its length, head and body.
    pub bytes: usize,
    /// The body.
    pub body: Bytes,
    /// When its last byte was here.
    pub at: Instant,
}

/// One connection, for one request at a time.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    /// Connects; no request is sent yet.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(socket)).await?;
        // Ends with the connection; what goes wrong on it is told to whoever waits for an answer.
        tokio::spawn(async move {
            let _told_to_the_sender = driver.await;
        });
        Ok(Self { sender, host: HeaderValue::from_str(&address.to_string())? })
    }

    /// Whether the other side closed it.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and reads the answer to its end. A body is sent as JSON with POST; none is a GET.
    pub async fn exchange(&mut self, path: &str, body: Bytes) -> Result<Answer> {
        tokio::time::timeout(ANSWER_WITHIN, self.exchange_whole(path, body))
            .await
            .with_context(|| format!("no answer within {} s", ANSWER_WITHIN.as_secs()))?
    }

    async fn exchange_whole(&mut self, path: &str, body: Bytes) -> Result<Answer> {
        let mut request = Request::builder()
            .uri(path)
            .header(HOST, self.host.clone())
            .header(AUTHORIZATION, HeaderValue::from_static(AUTHORIZED));
        if !body.is_empty() {
            request = request.method(Method::POST).header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = request.body(Full::new(body))?;
        self.sender.ready().await.context("the connection was closed")?;
        let response = self.sender.send_request(request).await.context("no answer")?;
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let head = STATUS_LINE + headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
        let body = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
        Ok(Answer { status, bytes: head + body.len(), body, at: Instant::now() })
    }
}

#[cfg(test)]
mod tests {
    use isotherm_core::{Admission, Config, Millis, Plan, Request, Service, Stamp};

    use super::*;

    #[test]
    fn the_key_is_the_configured_one() {
        let service = Service::new(Config::parse(CONFIG).unwrap());
        let find = |authorization: &str| {
            let headers = vec![("authorization", authorization.to_owned())];
            let path = "/events/evt_00000000000000000000000000";
            let request = Request { method: "GET", path, query: "", headers: &headers, body: b"" };
            matches!(
                service.admit(&request, Stamp { received_at: Millis(0), entropy: 0 }),
                Admission::Plan(Plan::Find(_))
            )
        };
        assert!(find(AUTHORIZED) && !find("Bearer other"));
    }
}
