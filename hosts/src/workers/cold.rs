//! Cold starts: a running workerd makes a new isolate for each request.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Artifact;
use super::config::Role;
use super::workerd::{Program, Workerd};
use crate::{ColdRequest, ColdSample};

/// How long a cold start may take. One that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The workerd that makes the isolates; see cold.js.
pub(super) struct ColdStarts {
    workerd: Workerd,
    data: tempfile::TempDir,
}

impl ColdStarts {
    pub(super) async fn start(
        program: &Program,
        artifact: &Artifact,
        config: &str,
        request: &ColdRequest,
    ) -> Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("isotherm-")
            .tempdir()
            .context("cannot make a temporary folder for data")?;
        let workerd = Workerd::start(program, artifact, config, Role::ColdStarts, data.path()).await?;
        let starts = Self { workerd, data };
        // The first sample is not measured: on the platform, processes have made isolates before, and the store exists.
        starts.sample(request).await?;
        Ok(starts)
    }

    pub(super) async fn sample(&self, request: &ColdRequest) -> Result<ColdSample> {
        let sample = tokio::time::timeout(ANSWER_WITHIN, self.measure(request)).await;
        sample.with_context(|| format!("a new isolate did not answer within {ANSWER_WITHIN:?}"))?
    }

    async fn measure(&self, request: &ColdRequest) -> Result<ColdSample> {
        let stream = TcpStream::connect(("127.0.0.1", self.workerd.port)).await.context("cannot connect to workerd")?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // This task ends once `sender` is dropped below. Errors of the connection show up as errors of the answer.
        let connection = tokio::spawn(connection);
        let head =
            hyper::Request::builder().method(request.method.as_str()).uri(&request.path).header("host", "127.0.0.1");
        let head = request.headers.iter().fold(head, |head, (name, value)| head.header(name, value));
        let message = head.body(Full::new(Bytes::from(request.body.clone())))?;
        let begun = Instant::now();
        let mut body = sender.send_request(message).await.context("workerd did not answer")?.into_body();
        let mut lines = String::new();
        read_lines(&mut body, &mut lines, 1).await?;
        let init = begun.elapsed();
        read_lines(&mut body, &mut lines, 2).await?;
        let first_response = begun.elapsed();
        let status = lines.strip_prefix("ready\n").and_then(|line| line.trim_end().parse().ok());
        let status = status.with_context(|| format!("workerd told {lines:?} of a new isolate"))?;
        // workerd ends the answer once everything that the sample started is done.
        body.collect().await.context("the answer broke off")?;
        drop(sender);
        // The answer is complete, so it does not matter how its connection closed.
        let _closed = connection.await;
        Ok(ColdSample { init, first_response, status })
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.workerd.stop().await?;
        self.data.close().context("cannot remove the temporary data of cold starts")
    }
}

/// Reads until `lines` has `count` lines of the answer. Each line arrives when the event that it reports has happened.
async fn read_lines(body: &mut Incoming, lines: &mut String, count: usize) -> Result<()> {
    while lines.matches('\n').count() < count {
        let frame = body.frame().await.context("a new isolate failed; workerd said why on standard error")??;
        lines.push_str(&String::from_utf8_lossy(frame.data_ref().context("the answer is not text")?));
    }
    Ok(())
}
