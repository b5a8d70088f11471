//! The program workerd, and one process of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStderr, ChildStdout, Command};

use super::Artifact;
use super::config::{self, Role};
use super::services;
use crate::process::Process;
use crate::tools::{WORKERD, workerd};
use crate::{Usage, lines};

/// How long workerd may take to listen. A workerd that takes longer has failed.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long requests in flight may take when workerd stops.
const GRACE: Duration = Duration::from_secs(10);

/// The installed program.
pub(super) struct Program {
    path: PathBuf,
    /// The version as npm writes it: `1.20261117`.
    pub(super) version: String,
}

impl Program {
    pub(super) async fn find(artifact: &Path) -> Result<Self> {
        let path = workerd(artifact).with_context(|| {
            format!("workerd is not installed: run `cargo xtask build`, or set {WORKERD} to the program")
        })?;
        let output = Command::new(&path).arg("--version").output().await;
        let output = output.with_context(|| format!("cannot run {} (set {WORKERD} to workerd)", path.display()))?;
        // workerd prints a date, `workerd 2026-11-17`, and is released under that date as a number.
        let text = String::from_utf8_lossy(&output.stdout);
        let date = text.split_whitespace().nth(1).with_context(|| format!("{} is not workerd", path.display()))?;
        Ok(Self { version: format!("1.{}", date.replace('-', "")), path })
    }
}

/// A running workerd.
pub(super) struct Workerd {
    process: Process,
    pub(super) port: u16,
    /// The port at which it reports what its objects used, if it has any.
    pub(super) meters_port: Option<u16>,
}

/// A line about one socket, which workerd writes to its control descriptor.
#[derive(Deserialize)]
struct Listening {
    /// Missing for the socket at which a cluster's instances reach each other.
    #[serde(default)]
    socket: String,
    /// 0 for a socket without a port.
    port: u16,
}

impl Workerd {
    pub(super) async fn start(
        program: &Program,
        artifact: &Artifact,
        config: &str,
        role: Role<'_>,
        data: &Path,
    ) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("isotherm-").tempdir().context("cannot make a temporary folder")?;
        config::write(folder.path(), artifact, config, role)?;
        let mut command = Command::new(&program.path);
        command.arg("serve").arg(config::FILE).current_dir(folder.path());
        command.arg("--directory-path").arg(format!("{}={}", config::DATA, data.display()));
        if let Role::Server { namespace: Some(namespace), .. } = role {
            std::fs::create_dir_all(namespace).with_context(|| format!("cannot make {}", namespace.display()))?;
            command.arg("--directory-path").arg(format!("{}={}", config::NAMESPACE, namespace.display()));
        }
        if matches!(role, Role::Services { .. }) {
            let bucket = data.join(services::BUCKET_FOLDER);
            std::fs::create_dir_all(&bucket).with_context(|| format!("cannot make {}", bucket.display()))?;
            command.arg("--directory-path").arg(format!("{}={}", services::BUCKET, bucket.display()));
        }
        // workerd writes the ports to standard output, before anything else.
        command.arg("--control-fd=1");
        if role.is_experimental() {
            command.arg("--experimental");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        if matches!(role, Role::ColdStarts) {
            command.stderr(Stdio::piped());
        }
        let mut process = Process::spawn(command)?;
        let output = process.child().stdout.take().context("workerd's standard output is not ours")?;
        if let Some(errors) = process.child().stderr.take() {
            tokio::spawn(pass_on_once(BufReader::new(errors).lines()));
        }
        let mut lines = BufReader::new(output).lines();
        let listening = tokio::time::timeout(READY_WITHIN, listening(&mut lines, role.sockets(artifact)))
            .await
            .with_context(|| format!("workerd did not listen within {READY_WITHIN:?}"))??;
        let Some(ports) = listening else {
            // workerd gave the reason on standard error, which is passed on to ours.
            anyhow::bail!("workerd ended before it listened: {}", process.child().wait().await?);
        };
        let port = *ports.get("http").context("workerd did not say where it listens")?;
        // workerd has read all files. Without the folder, nothing can be left behind, however workerd ends.
        folder.close().context("cannot remove the folder that workerd was started in")?;
        let log_requests = matches!(role, Role::Server { log_requests: true, .. });
        tokio::spawn(pass_on(lines, log_requests));
        Ok(Self { process, port, meters_port: ports.get("meters").copied() })
    }

    pub(super) fn usage(&self) -> Usage {
        self.process.usage().unwrap_or_default()
    }

    /// Whether its process has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.process.child().try_wait(), Ok(None))
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.process.stop(GRACE).await
    }
}

/// Waits until workerd listens on `sockets` sockets. Returns their ports by name; `None` if workerd has ended.
async fn listening(lines: &mut Lines<BufReader<ChildStdout>>, sockets: usize) -> Result<Option<BTreeMap<String, u16>>> {
    let mut ports = BTreeMap::new();
    for _ in 0..sockets {
        let Some(line) = lines.next_line().await? else { return Ok(None) };
        let Listening { socket, port } =
            serde_json::from_str(&line).with_context(|| format!("workerd said {line:?} instead of a socket's port"))?;
        ports.insert(socket, port);
    }
    Ok(Some(ports))
}

/// Passes log lines on as they arrive. Someone must always read the pipe: workerd would block on a full one.
async fn pass_on(mut logged: Lines<BufReader<ChildStdout>>, log_requests: bool) {
    while let Ok(Some(line)) = logged.next_line().await {
        if log_requests { lines::print(&line) } else { lines::print_error(&line) }
    }
}

/// Passes each distinct error on once: a thousand new isolates would repeat their messages a thousand times.
async fn pass_on_once(mut logged: Lines<BufReader<ChildStderr>>) {
    let mut said = BTreeSet::new();
    while let Ok(Some(line)) = logged.next_line().await {
        if said.insert(line.clone()) {
            lines::print_error(&line);
        }
    }
}
