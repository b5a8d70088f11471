//! HTTP/1.1 connections that stay open.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::rt::{Read, Write};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::load::Endpoint;

/// Opening a connection fails after this time.
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// A request fails if its answer takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Every request authenticates itself, as it would at a deployed function. The key is no secret: it opens fresh data on
/// loopback, and only during a run.
pub const AUTHORIZED: &str = "Bearer isotherm-compare";

/// The configuration for [`AUTHORIZED`], with the SHA-256 of its key.
pub const CONFIG: &str = r#"{"keys": [{"sha256": "228966299e9ddc2014b7a99622ed106d369a53d09e1bf855a30cc7310c34298f", "tenant": "compare", "scope": "both"}]}"#;

/// Bytes of an answer's status line, such as `HTTP/1.1 202 Accepted`, and of the empty line after the head.
const STATUS_LINE: usize = 24;

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Bytes of the answer, head and body.
    pub bytes: usize,
    /// The body.
    pub body: Bytes,
    /// When its last byte arrived.
    pub at: Instant,
}

/// One connection, for one request at a time.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    endpoint: Endpoint,
    /// Time for the TCP handshake: one round trip.
    pub connecting: Duration,
    /// Time for the TLS handshake after it, if there is one.
    pub securing: Option<Duration>,
}

impl Connection {
    /// Connects without sending a request.
    ///
    /// # Errors
    /// Fails if nobody listens there or the certificate is not trusted.
    pub async fn open(endpoint: &Endpoint) -> Result<Self> {
        let address = endpoint.address;
        let open = tokio::time::timeout(OPEN_WITHIN, Self::open_whole(endpoint)).await;
        open.map_err(|_late| anyhow::anyhow!("{address} does not answer within {} s", OPEN_WITHIN.as_secs()))?
    }

    async fn open_whole(endpoint: &Endpoint) -> Result<Self> {
        let started = Instant::now();
        let address = endpoint.address;
        let socket = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        let connecting = started.elapsed();
        socket.set_nodelay(true)?;
        let (sender, securing) = match &endpoint.tls {
            None => (handshake(TokioIo::new(socket)).await?, None),
            Some(tls) => {
                let started = Instant::now();
                let stream = tls.connector.connect(tls.name.clone(), socket).await;
                let stream = stream.with_context(|| format!("no TLS with {address}"))?;
                let securing = started.elapsed();
                (handshake(TokioIo::new(stream)).await?, Some(securing))
            }
        };
        Ok(Self { sender, endpoint: endpoint.clone(), connecting, securing })
    }

    /// Whether the other side closed the connection.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and reads the answer to its end. With a body it is a POST of JSON; with an empty one it is a
    /// GET.
    pub async fn exchange(&mut self, path: &str, body: Bytes) -> Result<Answer> {
        tokio::time::timeout(ANSWER_WITHIN, self.exchange_whole(path, body))
            .await
            .with_context(|| format!("no answer within {} s", ANSWER_WITHIN.as_secs()))?
    }

    /// Sends any request to a path of the endpoint, and reads the answer to its end. The endpoint's key goes with it
    /// unless the request has the header `authorization`; if that is empty, none goes with it.
    ///
    /// # Errors
    /// Fails if there is no whole answer in time.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        tokio::time::timeout(ANSWER_WITHIN, self.send_whole(request))
            .await
            .with_context(|| format!("no answer within {} s", ANSWER_WITHIN.as_secs()))?
    }

    async fn send_whole(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let Endpoint { host, authorization, prefix, .. } = &self.endpoint;
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        *request.uri_mut() = format!("{prefix}{target}").parse()?;
        request.headers_mut().insert(HOST, host.clone());
        match (request.headers().get(AUTHORIZATION), authorization) {
            (Some(own), _) if own.is_empty() => drop(request.headers_mut().remove(AUTHORIZATION)),
            (None, Some(authorization)) => {
                drop(request.headers_mut().insert(AUTHORIZATION, authorization.clone()));
            }
            _ => {}
        }
        self.sender.ready().await.context("the connection was closed")?;
        let (head, body) = self.sender.send_request(request).await.context("no answer")?.into_parts();
        let body = body.collect().await.context("the answer broke off")?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    async fn exchange_whole(&mut self, path: &str, body: Bytes) -> Result<Answer> {
        let Endpoint { host, authorization, prefix, .. } = &self.endpoint;
        let mut request = Request::builder().header(HOST, host.clone());
        request = if prefix.is_empty() { request.uri(path) } else { request.uri(format!("{prefix}{path}")) };
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
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

async fn handshake(stream: impl Read + Write + Send + Unpin + 'static) -> Result<SendRequest<Full<Bytes>>> {
    let (sender, driver) = http1::handshake(stream).await?;
    // The task ends with the connection. Its errors reach the caller that waits for an answer.
    tokio::spawn(async move {
        let _told_to_the_sender = driver.await;
    });
    Ok(sender)
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
