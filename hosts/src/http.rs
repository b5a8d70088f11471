//! Sends one HTTP request, timed to the first byte of its answer. Also formats the log line of a request.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::process::Process;
use crate::{ColdRequest, lines};

/// How long one request may take. A cold start that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The answer to a [`send`].
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The time at which the head of the answer had arrived.
    pub(crate) first_byte: Instant,
    pub(crate) body: Bytes,
}

/// Sends one request to 127.0.0.1 on a new connection and reads the whole answer.
pub(crate) async fn send(port: u16, request: &ColdRequest) -> Result<Answer> {
    tokio::time::timeout(ANSWER_WITHIN, exchange(port, request))
        .await
        .with_context(|| format!("{} {} was not answered within {ANSWER_WITHIN:?}", request.method, request.path))?
        .with_context(|| format!("{} http://127.0.0.1:{port}{}", request.method, request.path))
}

/// A GET of a path on 127.0.0.1.
pub(crate) async fn get(port: u16, path: &str) -> Result<Answer> {
    let (method, path) = ("GET".to_owned(), path.to_owned());
    send(port, &ColdRequest { method, path, headers: Vec::new(), body: String::new() }).await
}

async fn exchange(port: u16, request: &ColdRequest) -> Result<Answer> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // This task ends once `sender` is dropped below. Errors of the connection show up as errors of the answer.
    let connection = tokio::spawn(connection);
    let mut head = hyper::Request::builder()
        .method(request.method.as_str())
        .uri(&request.path)
        .header("host", format!("127.0.0.1:{port}"));
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    let response = sender.send_request(head.body(Full::new(Bytes::from(request.body.clone())))?).await?;
    let first_byte = Instant::now();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
    drop(sender);
    // The answer is complete, so it does not matter how its connection closed.
    let _closed = connection.await;
    Ok(Answer { status, first_byte, body })
}

/// A port on 127.0.0.1 that nothing listens on now, for programs that can't choose a free port themselves.
pub(crate) async fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port is free on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until something accepts connections on `port`. Fails if `process` ends before that, or after `limit`.
pub(crate) async fn wait_for_port(port: u16, process: &mut Process, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if let Some(status) = process.child().try_wait()? {
            anyhow::bail!("{} ended before it listened on port {port}: {status}", process.name());
        }
        anyhow::ensure!(Instant::now() < deadline, "{} did not listen on port {port} within {limit:?}", process.name());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Prints the log line of one request: `<RFC 3339> <METHOD> <path> <status> <ms>`.
pub(crate) fn log_request(method: &str, path: &str, status: u16, took: Duration) {
    let now = jiff::Timestamp::now();
    let ms = took.as_secs_f64() * 1000.0;
    lines::print(&format!("{now:.3} {method} {path} {status} {ms:.1}"));
}
