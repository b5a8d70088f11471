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

/// A workerd that does not listen after this time won't.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Time for the requests in flight when it is stopped.
const GRACE: Duration = Duration::from_secs(10);

/// The program.
pub(super) struct Program {
    path: PathBuf,
    /// As npm writes it: `1.20261117`.
    pub(super) version: String,
}

impl Program {
    pub(super) async fn find(artifact: &Path) -> Result<Self> {
        let path = workerd(artifact).with_context(|| {
            format!("workerd is not installed: run `cargo xtask build`, or set {WORKERD} to the program")
        })?;
        let output = Command::new(&path).arg("--version").output().await;
        let output = output.with_context(|| format!("cannot run {} (set {WORKERD} to workerd)", path.display()))?;
        // It writes the date in it, `workerd 2026-11-17`, and is released as that number.
        let text = String::from_utf8_lossy(&output.stdout);
        let date = text.split_whitespace().nth(1).with_context(|| format!("{} is not workerd", path.display()))?;
        Ok(Self { version: format!("1.{}", date.replace('-', "")), path })
    }
}

/// A running workerd.
pub(super) struct Workerd {
    process: Process,
    pub(super) port: u16,
    /// Where it says what its objects used, if it has any.
    pub(super) meters_port: Option<u16>,
}

/// What workerd tells of each socket on its control descriptor.
#[derive(Deserialize)]
struct Listening {
    socket: String,
    /// 0 for a socket that has none.
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
        if matches!(role, Role::Services { .. }) {
            let bucket = data.join(services::BUCKET_FOLDER);
            std::fs::create_dir_all(&bucket).with_context(|| format!("cannot make {}", bucket.display()))?;
            command.arg("--directory-path").arg(format!("{}={}", services::BUCKET, bucket.display()));
        }
        // The ports are told on standard output, before anything else.
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
        let listening = tokio::time::timeout(READY_WITHIN, listening(&mut lines, role.sockets()))
            .await
            .with_context(|| format!("workerd did not listen within {READY_WITHIN:?}"))??;
        let Some(ports) = listening else {
            // It said why on standard error, which is passed on to ours.
            anyhow::bail!("workerd ended before it listened: {}", process.child().wait().await?);
        };
        let port = *ports.get("http").context("workerd did not say where it listens")?;
        // It has read all there is in it: gone now, the folder can't be left behind later, however this ends.
        folder.close().context("cannot remove the folder that workerd was started in")?;
        let log_requests = matches!(role, Role::Server { log_requests: true, .. });
        tokio::spawn(pass_on(lines, log_requests));
        Ok(Self { process, port, meters_port: ports.get("meters").copied() })
    }

    pub(super) fn usage(&self) -> Usage {
        self.process.usage().unwrap_or_default()
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.process.stop(GRACE).await
    }
}

/// Waits until workerd listens on so many sockets; their ports by name, or nothing when it has ended.
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

/// What is logged, as it comes; the pipe must be read in any case, or workerd would block on it.
async fn pass_on(mut logged: Lines<BufReader<ChildStdout>>, log_requests: bool) {
    while let Ok(Some(line)) = logged.next_line().await {
        if log_requests { lines::print(&line) } else { lines::print_error(&line) }
    }
}

/// Errors, each once: a thousand new isolates would say a thousand times what each has to say at its start.
async fn pass_on_once(mut logged: Lines<BufReader<ChildStderr>>) {
    let mut said = BTreeSet::new();
    while let Ok(Some(line)) = logged.next_line().await {
        if said.insert(line.clone()) {
            lines::print_error(&line);
        }
    }
}
