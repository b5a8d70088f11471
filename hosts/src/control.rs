//! `isotherm up … --control`: `isotherm-host` in a process of its own, driven by lines of JSON over its standard streams.
//!
//! Whoever measures or tests a platform runs it that way, so that what the host and the emulated stores use is not
//! counted with the client, and so that a host can be killed as a machine would die. Closing its standard input stops it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{WaitOptions, wait};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::{ColdRequest, ColdSample, Meters, Platform, Runtime, Usage};

/// A host that has not started after this time won't.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// A command that is not answered after this time won't be. Longer than anything that a host waits for.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Time to stop in order, before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// One line to the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Force a cold start: [`Answer::Cold`].
    Cold(ColdRequest),
    /// What was used so far: [`Answer::Usage`].
    Usage {},
    /// What its services did so far: [`Answer::Meters`].
    Meters {},
}

/// One line from the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The first line: it is started.
    Ready {
        /// Where it answers.
        url: String,
        /// What the artifact runs on.
        runtime: Runtime,
    },
    /// To [`Command::Cold`].
    Cold(ColdSample),
    /// To [`Command::Usage`].
    Usage(Usage),
    /// To [`Command::Meters`].
    Meters(Meters),
    /// The start or the command failed, and why.
    Error(String),
}

/// How to run `isotherm up`.
#[derive(Clone, Debug)]
pub struct Up {
    /// The program `isotherm`.
    pub program: PathBuf,
    /// What it starts.
    pub platform: Platform,
    /// The folder that holds the sets of artifacts: `target/artifacts`.
    pub artifacts: PathBuf,
    /// `release`, `test` or `floor`.
    pub set: String,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Where the data is kept; `None` for a temporary folder.
    pub data: Option<PathBuf>,
    /// The configuration as JSON.
    pub config: String,
    /// More variables for its environment, and for that of what it starts.
    pub environment: Vec<(String, String)>,
}

impl Up {
    /// The release artifact on a free port, with temporary data, open to everyone on this machine.
    pub fn new(program: impl Into<PathBuf>, platform: Platform, artifacts: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            platform,
            artifacts: artifacts.into(),
            set: "release".to_owned(),
            port: 0,
            data: None,
            config: crate::OPEN.to_owned(),
            environment: Vec::new(),
        }
    }

    /// Starts it and returns when it answers.
    pub async fn start(&self) -> Result<Remote> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(["up", self.platform.name(), "--control", "--set", &self.set]);
        command.arg("--port").arg(self.port.to_string()).arg("--artifacts").arg(&self.artifacts);
        if let Some(data) = &self.data {
            command.arg("--data").arg(data);
        }
        command.env("ISOTHERM_CONFIG", &self.config).envs(self.environment.iter().map(|(name, value)| (name, value)));
        // A process group of its own: Ctrl-C reaches us alone, and closing its standard input stops it in order.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let input = child.stdin.take().context("its standard input is not ours")?;
        let output = child.stdout.take().context("its standard output is not ours")?;
        let mut connection = Connection { input, output: BufReader::new(output).lines() };
        let ready = connection.answer(READY_WITHIN).await.with_context(|| format!("cannot start {}", self.platform))?;
        match ready {
            Answer::Ready { url, runtime } => Ok(Remote { child, connection, url, runtime }),
            other => bail!("{} answered {other:?} before it was ready", self.platform),
        }
    }
}

/// A running `isotherm up`. Dropped, it stops in order by itself.
pub struct Remote {
    child: Child,
    connection: Connection,
    url: String,
    runtime: Runtime,
}

impl Remote {
    /// Where it answers, such as `http://127.0.0.1:8080`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process; `None` once that has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What the artifact runs on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Forces one cold start and sends `request` to the new instance.
    pub async fn cold(&mut self, request: &ColdRequest) -> Result<ColdSample> {
        match self.connection.call(&Command::Cold(request.clone())).await? {
            Answer::Cold(sample) => Ok(sample),
            other => bail!("answered {other:?} to a cold start"),
        }
    }

    /// What the runtime's processes used so far.
    pub async fn usage(&mut self) -> Result<Usage> {
        match self.connection.call(&Command::Usage {}).await? {
            Answer::Usage(usage) => Ok(usage),
            other => bail!("answered {other:?} to a question for its usage"),
        }
    }

    /// What the platform's services did so far.
    pub async fn meters(&mut self) -> Result<Meters> {
        match self.connection.call(&Command::Meters {}).await? {
            Answer::Meters(meters) => Ok(meters),
            other => bail!("answered {other:?} to a question for its meters"),
        }
    }

    /// Stops it in order: requests in flight are answered, temporary data goes.
    pub async fn stop(self) -> Result<()> {
        let Self { mut child, connection, .. } = self;
        drop(connection);
        let Ok(status) = tokio::time::timeout(STOP_WITHIN, child.wait()).await else {
            child.kill().await?;
            bail!("it did not stop within {STOP_WITHIN:?} and was killed");
        };
        let status = status?;
        anyhow::ensure!(status.success(), "it stopped with {status}");
        Ok(())
    }

    /// Kills it with SIGKILL, as a machine dies; what it started goes with it. Temporary data stays behind.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill it")
    }
}

/// Waits for every child that nobody holds any more, such as one whose start was given up: it stops in order by itself.
pub async fn stragglers() {
    let deadline = Instant::now() + STOP_WITHIN;
    while wait(WaitOptions::NOHANG).is_ok() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

struct Connection {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Connection {
    async fn call(&mut self, command: &Command) -> Result<Answer> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.input.write_all(&line).await.context("the host has ended")?;
        self.answer(ANSWER_WITHIN).await
    }

    async fn answer(&mut self, limit: Duration) -> Result<Answer> {
        let line = tokio::time::timeout(limit, self.output.next_line())
            .await
            .with_context(|| format!("the host did not answer within {limit:?}"))??
            .context("the host has ended")?;
        match serde_json::from_str(&line).with_context(|| format!("the host answered {line:?}"))? {
            Answer::Error(reason) => bail!(reason),
            answer => Ok(answer),
        }
    }
}
