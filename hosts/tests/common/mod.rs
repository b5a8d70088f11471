//! Helpers that the tests of the hosts share.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper of a test finds wrong fails the test")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// The folder of a platform in one of the sets that `cargo xtask build` makes. A test fails without it: a host that
/// can't be tested has not passed.
#[track_caller]
pub(crate) fn built(set: &str, platform: &str) -> PathBuf {
    let root = std::env::var_os("ISOTHERM_ARTIFACTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/artifacts"), PathBuf::from);
    let artifact = root.join(set).join(platform);
    assert!(artifact.is_dir(), "no artifact in {}: run `cargo xtask build`", artifact.display());
    artifact
}

/// Whether this process has these variables. If not, the test runs again in a process that has them.
#[allow(dead_code, reason = "few hosts' tests need variables")]
pub(crate) fn has_variables(test: &str, variables: &[(&str, &str)]) -> bool {
    let has_all = variables.iter().all(|(name, value)| std::env::var_os(name).is_some_and(|is| is == *value));
    if !has_all {
        run_apart(test, variables);
    }
    has_all
}

/// Runs a test of this program in a new process with these variables. Returns what it printed.
#[allow(dead_code, reason = "likewise")]
pub(crate) fn run_apart(test: &str, variables: &[(&str, &str)]) -> String {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", test, "--include-ignored", "--nocapture"]).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = process.stdin(Stdio::null()).output().unwrap();
    let printed = [stdout, stderr].map(|printed| String::from_utf8_lossy(&printed).into_owned()).concat();
    println!("{printed}");
    // The process also succeeds if no test has this name.
    assert!(status.success() && printed.contains("1 passed"), "{test} has not passed: {printed}");
    printed
}

/// A host's answer.
#[allow(dead_code, reason = "not every host's tests look at all of it")]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

#[allow(dead_code, reason = "likewise")]
impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }
}

/// Sends one request on a new connection.
pub(crate) async fn send(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    try_send(url, method, path, headers, body).await.unwrap()
}

/// Sends one request on a new connection, which may break off.
pub(crate) async fn try_send(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let head = hyper::Request::builder().method(method).uri(path).header("host", "127.0.0.1");
    let head = headers.iter().fold(head, |head, (name, value)| head.header(*name, *value));
    let (head, body) = sender.send_request(head.body(Full::new(body.into()))?).await?.into_parts();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.collect().await?.to_bytes() })
}
