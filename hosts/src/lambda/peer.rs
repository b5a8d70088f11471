//! Another implementation of the Runtime API to compare ours with: the emulator of `cargo lambda watch`.
//!
//! It replaces this host's Runtime API and the events of API Gateway; its own events are those of Function URLs. The
//! artifact's processes, DynamoDB and the port stay the same. Tests run against it, but it is never measured.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::environment::Launch;
use super::{log_stream, payload};
use crate::Usage;
use crate::http::{free_port, wait_for_port};
use crate::process::Process;

/// The emulator starts in milliseconds.
const READY_WITHIN: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(2);
/// The emulator takes the names of functions from the package in which it starts.
const MANIFEST: &str = "[package]\nname = \"functions\"\nversion = \"0.0.0\"\nedition = \"2024\"\n";

/// The running emulator, and one process for each function.
pub(crate) struct Peer {
    port: u16,
    emulator: Process,
    functions: Vec<Process>,
    folder: tempfile::TempDir,
}

impl Peer {
    /// Starts `program`, which must be cargo-lambda, and the functions.
    pub(crate) async fn start(program: &Path, launches: &[Launch]) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("isotherm-").tempdir().context("cannot make a temporary folder")?;
        let binary = |launch: &Launch| format!("[[bin]]\nname = \"{}\"\npath = \"main.rs\"\n", launch.name);
        let binaries: String = launches.iter().map(binary).collect();
        std::fs::write(folder.path().join("Cargo.toml"), format!("{MANIFEST}{binaries}"))?;
        std::fs::write(folder.path().join("main.rs"), "fn main() {}\n")?;
        let port = free_port().await?;
        let mut command = Command::new(program);
        command
            .args([
                "lambda",
                "watch",
                "--only-lambda-apis",
                "--disable-cors",
                "--invoke-address",
                "127.0.0.1",
                "--invoke-port",
            ])
            .arg(port.to_string())
            .current_dir(folder.path())
            .env("CARGO_NET_OFFLINE", "true")
            .stdin(Stdio::null())
            .stdout(log_stream()?)
            .stderr(log_stream()?);
        let mut emulator = Process::spawn(command)?;
        wait_for_port(port, &mut emulator, READY_WITHIN).await?;
        let function =
            |launch: &Launch| Process::spawn(launch.command(&format!("http://127.0.0.1:{port}/.rt/{}", launch.name))?);
        let functions = launches.iter().map(function).collect::<Result<_>>()?;
        Ok(Self { port, emulator, functions, folder })
    }

    /// Passes a request on to the Function URL of `function`.
    ///
    /// The emulator's Function URLs refuse a body that is not UTF-8. Such a request becomes a direct invocation.
    pub(crate) async fn forward(&self, function: &str, head: &Parts, body: Bytes) -> Result<Response<Full<Bytes>>> {
        if std::str::from_utf8(&body).is_err() {
            let event = payload::event(&head.method, &head.uri, &head.headers, &body)?;
            return payload::response(&self.invoke(function, event).await?);
        }
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(&head.method).uri(format!("/lambda-url/{function}{path}"));
        for (name, value) in head.headers.iter().filter(|(name, _)| *name != CONNECTION && *name != TRANSFER_ENCODING) {
            request = request.header(name, value);
        }
        let mut answer = self.send(request.body(Full::new(body))?).await?;
        answer.headers_mut().remove(CONTENT_LENGTH);
        answer.headers_mut().remove(TRANSFER_ENCODING);
        Ok(answer.map(Full::new))
    }

    /// Invokes `function` directly.
    pub(crate) async fn invoke(&self, function: &str, event: Bytes) -> Result<Bytes> {
        let invoke = Request::post(format!("/2015-03-31/functions/{function}/invocations"));
        let answer = self.send(invoke.body(Full::new(event))?).await?;
        ensure!(answer.status() == StatusCode::OK, "the emulator answers {}", answer.status());
        Ok(answer.into_body())
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let emulator = TcpStream::connect(("127.0.0.1", self.port));
        let stream = emulator.await.context("cargo-lambda's emulator does not listen")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // This task ends with the sender. Errors of the connection show up as errors of the answer.
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await.context("the emulator's answer broke off")?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// What the functions' processes used.
    pub(crate) fn usage(&self) -> Usage {
        self.functions.iter().filter_map(Process::usage).sum()
    }

    pub(crate) async fn stop(self) -> Result<()> {
        for function in self.functions {
            function.stop(GRACE).await?;
        }
        self.emulator.stop(GRACE).await?;
        self.folder.close().context("cannot remove a temporary folder")
    }
}
