//! The plain server: the binary itself, one process per instance.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::http;
use crate::meters::count;
use crate::process::Process;
use crate::{ColdRequest, ColdSample, Meters, Options, Runtime, Usage, lines};

/// How long a server may take to listen. A server that takes longer has failed.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Names in the data folder: the folder of backups, and the file with everything else.
const BACKUP: &str = "backup";
const DATABASE: &str = "events.sqlite";
/// How long requests in flight may take when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// The server's process.
pub(crate) struct NativeHost {
    launch: Launch,
    server: Server,
    /// The data of the instances of [`NativeHost::cold`]. On a platform, the store exists before an instance starts.
    /// So an instance that is not measured creates this data once.
    cold_data: OnceCell<tempfile::TempDir>,
}

/// The settings that every instance starts with.
struct Launch {
    binary: PathBuf,
    config: String,
}

/// Which of an instance's lines are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    /// For cold starts, which are many and alike.
    Nothing,
    Notices,
    Requests,
}

/// One instance.
struct Server {
    process: Process,
    port: u16,
}

impl NativeHost {
    pub(crate) async fn start(options: &Options, data: &Path) -> Result<Self> {
        let binary = options.artifact.join("isotherm-native");
        anyhow::ensure!(binary.is_file(), "{} is missing: run `cargo xtask build`", binary.display());
        let launch = Launch { binary, config: options.config.clone() };
        let server =
            launch.start(data, options.port, if options.log_requests { Log::Requests } else { Log::Notices }).await?;
        Ok(Self { launch, server, cold_data: OnceCell::new() })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// The runtime of a native binary is the operating system.
    pub(crate) fn runtime(&self) -> Runtime {
        let system = rustix::system::uname();
        Runtime {
            name: system.sysname().to_string_lossy().to_lowercase(),
            version: system.release().to_string_lossy().into_owned(),
        }
    }

    pub(crate) async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        let data = self.cold_data.get_or_try_init(|| self.launch.prepare(request)).await?;
        self.launch.cold(data.path(), request).await
    }

    pub(crate) fn usage(&self) -> Usage {
        self.server.process.usage().unwrap_or_default()
    }

    /// The customer pays for a machine, not for operations. So only stored data is counted.
    pub(crate) async fn meters(&self, data: &Path) -> Result<Meters> {
        let mut meters = Meters::default();
        (meters.objects, meters.object_bytes) = count::files(&data.join(BACKUP))?;
        count::add_database(&mut meters, &data.join(DATABASE))?;
        Ok(meters)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.server.process.stop(GRACE).await
    }
}

impl Launch {
    /// Starts a new process and waits until it listens.
    async fn start(&self, data: &Path, port: u16, log: Log) -> Result<Server> {
        let mut command = Command::new(&self.binary);
        command.arg("--port").arg(port.to_string()).arg("--data").arg(data);
        // The other platforms' hosts back events up too.
        command.arg("--backup").arg(data.join(BACKUP));
        if let Log::Requests = log {
            command.arg("--log-requests");
        }
        command.env("ISOTHERM_CONFIG", &self.config);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::spawn(command)?;
        let output = process.child().stdout.take().context("its standard output is not ours")?;
        let mut errors = process.child().stderr.take().context("its standard error is not ours")?;
        let mut said = BufReader::new(output).lines();
        let first = tokio::time::timeout(READY_WITHIN, said.next_line())
            .await
            .with_context(|| format!("{} did not listen within {READY_WITHIN:?}", self.binary.display()))??;
        let address = first.as_deref().and_then(|line| line.strip_prefix("ready http://127.0.0.1:"));
        let Some(port) = address.and_then(|port| port.parse().ok()) else {
            drop(said);
            let mut reason = String::new();
            errors.read_to_string(&mut reason).await?;
            let status = process.child().wait().await?;
            let reason = reason.lines().last().unwrap_or_default();
            anyhow::bail!("{} ended before it listened, with {status}: {reason}", self.binary.display());
        };
        // Always read both pipes: the server would block on a full pipe.
        // Standard output is only for who looks at requests: it may be a control's channel.
        let to = if log == Log::Requests { lines::print } else { lines::print_error };
        tokio::spawn(forward(said, to, log));
        tokio::spawn(forward(BufReader::new(errors).lines(), lines::print_error, log));
        Ok(Server { process, port })
    }

    /// Makes a data folder as a stopped instance leaves it.
    async fn prepare(&self, request: &ColdRequest) -> Result<tempfile::TempDir> {
        let data = tempfile::Builder::new()
            .prefix("isotherm-")
            .tempdir()
            .context("cannot make a temporary folder for data")?;
        self.cold(data.path(), request).await?;
        Ok(data)
    }

    async fn cold(&self, data: &Path, request: &ColdRequest) -> Result<ColdSample> {
        let spawned = Instant::now();
        let server = self.start(data, 0, Log::Nothing).await?;
        let init = spawned.elapsed();
        let answer = http::send(server.port, request).await?;
        let sample =
            ColdSample { init, first_response: answer.first_byte.duration_since(spawned), status: answer.status };
        server.process.stop(GRACE).await?;
        Ok(sample)
    }
}

/// Passes lines on as they arrive, until the server ends. [`Log::Nothing`] drops them.
async fn forward<R: AsyncRead + Unpin>(mut said: Lines<BufReader<R>>, to: fn(&str), log: Log) {
    while let Ok(Some(line)) = said.next_line().await {
        if log != Log::Nothing {
            to(&line);
        }
    }
}
