//! `isotherm up … --control`: `isotherm-host` in its own process, driven by lines of JSON over its standard streams.
//!
//! Measurements and tests of a platform use it. The host and the emulated stores then don't count as the client's
//! usage, and the host can be killed as a machine would die. It stops when its standard input closes.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{WaitOptions, wait};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::{ColdRequest, ColdSample, Meters, Platform, Runtime, Usage};

/// How long a host may take to start. A host that takes longer has failed.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a command may wait for its answer. This is longer than anything that a host waits for.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long an orderly stop may take; after that the host is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// One line to the host. Each variant names the variant of [`Answer`] that replies to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Force a cold start; the reply is [`Answer::Cold`].
    Cold(ColdRequest),
    /// Ask what was used so far; the reply is [`Answer::Usage`].
    Usage {},
    /// Ask what the services did so far; the reply is [`Answer::Meters`].
    Meters {},
}

/// One line from the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The first line: the host has started.
    Ready {
        /// The address at which the host answers.
        url: String,
        /// What the artifact runs on.
        runtime: Runtime,
    },
    /// The reply to [`Command::Cold`].
    Cold(ColdSample),
    /// The reply to [`Command::Usage`].
    Usage(Usage),
    /// The reply to [`Command::Meters`].
    Meters(Meters),
    /// The start or the command failed; the text says why.
    Error(String),
}

/// Lines of a log that a message shows.
const LAST_LINES: usize = 3;

/// How to run `isotherm up`.
#[derive(Clone, Debug)]
pub struct Up {
    /// The program `isotherm`.
    pub program: PathBuf,
    /// The platform to start.
    pub platform: Platform,
    /// The folder that holds the sets of artifacts: `target/artifacts`.
    pub artifacts: PathBuf,
    /// The set's folder there, such as `release`, `test`, `floor` or `article`.
    pub set: String,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The folder for the data; `None` for a temporary folder.
    pub data: Option<PathBuf>,
    /// As many instances of workerd in a cluster; Workers only.
    pub cluster: Option<u32>,
    /// The configuration as JSON.
    pub config: String,
    /// More environment variables for `isotherm up` and for the processes that it starts.
    pub environment: Vec<(String, String)>,
    /// The file that gets what the processes log; `None` for this process's standard error.
    pub log: Option<PathBuf>,
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
            cluster: None,
            config: crate::OPEN.to_owned(),
            environment: Vec::new(),
            log: None,
        }
    }

    /// Starts the platform and returns once it answers.
    ///
    /// # Errors
    /// Fails if the program cannot be started, or says why the platform did not answer.
    pub async fn start(&self) -> Result<Remote> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(["up", self.platform.name(), "--control", "--set", &self.set]);
        command.arg("--port").arg(self.port.to_string()).arg("--artifacts").arg(&self.artifacts);
        if let Some(data) = &self.data {
            command.arg("--data").arg(data);
        }
        if let Some(instances) = self.cluster {
            command.arg("--cluster").arg(instances.to_string());
        }
        command.env("ISOTHERM_CONFIG", &self.config).envs(self.environment.iter().map(|(name, value)| (name, value)));
        // In a process group of its own: Ctrl-C reaches only us, and closing its standard input stops it in order.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        if let Some(log) = &self.log {
            // A host that is started again goes on with its log.
            let file = File::options().create(true).append(true).open(log);
            let file = file.with_context(|| format!("cannot write to {}", log.display()))?;
            command.stderr(file);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let input = child.stdin.take().context("its standard input is not ours")?;
        let output = child.stdout.take().context("its standard output is not ours")?;
        let mut connection = Connection { input, output: BufReader::new(output).lines() };
        let failed = || format!("cannot start {}{}", self.platform, self.last_words());
        let ready = connection.answer(READY_WITHIN).await.with_context(failed)?;
        match ready {
            Answer::Ready { url, runtime } => Ok(Remote { child, connection, url, runtime }),
            other => bail!("{} answered {other:?} before it was ready", self.platform),
        }
    }

    /// The end of the log, for a message.
    fn last_words(&self) -> String {
        let Some(log) = &self.log else { return String::new() };
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
        format!("; its log {} ends with: {}", log.display(), last.into_iter().rev().collect::<Vec<_>>().join(" / "))
    }
}

/// A running `isotherm up`. When this is dropped, the process stops in order by itself.
pub struct Remote {
    child: Child,
    connection: Connection,
    url: String,
    runtime: Runtime,
}

impl Remote {
    /// The address at which the host answers, such as `http://127.0.0.1:8080`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process id; `None` once the process has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What the artifact runs on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Forces one cold start and sends `request` to the new instance.
    ///
    /// # Errors
    /// Fails if the host is gone, or if the new instance did not answer.
    pub async fn cold(&mut self, request: &ColdRequest) -> Result<ColdSample> {
        match self.connection.call(&Command::Cold(request.clone())).await? {
            Answer::Cold(sample) => Ok(sample),
            other => bail!("answered {other:?} to a cold start"),
        }
    }

    /// What the runtime's processes used so far.
    ///
    /// # Errors
    /// Fails if the host is gone.
    pub async fn usage(&mut self) -> Result<Usage> {
        match self.connection.call(&Command::Usage {}).await? {
            Answer::Usage(usage) => Ok(usage),
            other => bail!("answered {other:?} to a question for its usage"),
        }
    }

    /// What the platform's services did so far.
    ///
    /// # Errors
    /// Fails if the host is gone, or if its services' counters cannot be read.
    pub async fn meters(&mut self) -> Result<Meters> {
        match self.connection.call(&Command::Meters {}).await? {
            Answer::Meters(meters) => Ok(meters),
            other => bail!("answered {other:?} to a question for its meters"),
        }
    }

    /// Stops the host in order: it answers requests in flight and removes temporary data.
    ///
    /// # Errors
    /// Fails if the host ends with an error, or not in time.
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

    /// Kills the host with SIGKILL, as a machine dies. Its child processes end too. Temporary data stays behind.
    ///
    /// # Errors
    /// Fails if the process cannot be waited for.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill it")
    }
}

/// Waits for child processes that nobody holds any more, such as one whose start was given up. They stop by themselves.
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
