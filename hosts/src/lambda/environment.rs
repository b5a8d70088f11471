//! One execution environment: a process, its Runtime API, and one invocation at a time.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use hyper::body::Bytes;
use rustix::process::{Pid, Signal as Posix, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::oneshot;

use super::runtime_api::{Answer, Invocation, RuntimeApi, Signal};
use super::{Limits, log_stream};
use crate::process::Process;
use crate::s3::CREDENTIAL;
use crate::{Usage, lines};

/// A random UUID. Lambda's request ids and other ids of AWS have this form.
pub(crate) fn uuid() -> String {
    let bits = random();
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    let (first, second, third) = (high >> 32, high >> 16 & 0xffff, high & 0xfff);
    format!("{first:08x}-{second:04x}-4{third:03x}-8{:03x}-{:012x}", low >> 48 & 0xfff, low & 0xffff_ffff_ffff)
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    // Ids only need to differ. Without the system's randomness, nothing else here would work either.
    let _unavailable = getrandom::fill(&mut bytes);
    u128::from_ne_bytes(bytes)
}

/// Lambda's limit for environment variables in bytes, names and values together.
const VARIABLES_BYTES: usize = 4096;

/// The settings with which the environments of one function start.
pub(crate) struct Launch {
    pub(crate) name: &'static str,
    binary: PathBuf,
    variables: Vec<(String, String)>,
    pub(crate) limits: Limits,
    /// Bytes that its environments have printed.
    log_bytes: Arc<AtomicU64>,
}

impl Launch {
    /// The function `name`. `_HANDLER` tells the program `binary` which function it is.
    pub(crate) fn new(
        name: &'static str,
        binary: &Path,
        variables: Vec<(String, String)>,
        limits: Limits,
    ) -> Result<Self> {
        check(name, &variables)?;
        let binary = binary
            .canonicalize()
            .with_context(|| format!("{} is missing: run `cargo xtask build`", binary.display()))?;
        Ok(Self { name, binary, variables, limits, log_bytes: Arc::default() })
    }

    /// Bytes that its environments have printed.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// The command for a process whose Runtime API is at `api`.
    pub(crate) fn command(&self, api: &str) -> Result<Command> {
        let mut command = Command::new(&self.binary);
        let root = self.binary.parent().unwrap_or(Path::new("/"));
        command
            .current_dir(root)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api)
            .env("AWS_LAMBDA_FUNCTION_NAME", self.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", self.name))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "isotherm")
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            // The emulated DynamoDB accepts any credentials. The SDK signs with these as with real ones.
            .env("AWS_ACCESS_KEY_ID", CREDENTIAL)
            .env("AWS_SECRET_ACCESS_KEY", CREDENTIAL)
            .env("AWS_SESSION_TOKEN", CREDENTIAL)
            .env("LAMBDA_TASK_ROOT", root)
            .env("LAMBDA_RUNTIME_DIR", "/var/runtime")
            .env("_HANDLER", self.name)
            .env("LANG", "en_US.UTF-8")
            .env("PATH", path())
            .env("TZ", ":UTC")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log_stream()?)
            .stderr(log_stream()?);
        Ok(command)
    }
}

/// Fails if Lambda would refuse these variables.
fn check(function: &str, variables: &[(String, String)]) -> Result<()> {
    let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    ensure!(
        bytes <= VARIABLES_BYTES,
        "InvalidParameterValueException: Lambda was unable to configure {function}'s environment variables because the environment \
         variables you have provided exceeded the 4KB limit: {bytes} bytes; the limit is {VARIABLES_BYTES}; a configuration \
         that is longer can be an object, a parameter or a secret (ISOTHERM_CONFIG_S3, ISOTHERM_CONFIG_PARAMETER, ISOTHERM_CONFIG_SECRET)"
    );
    Ok(())
}
/// The longest line in bytes that is shown in one piece.
const LONGEST_LINE: u64 = 1 << 20;

/// If this environment variable is there, the lines of requests that succeed are shown. They are many.
const SHOW_REQUESTS: &str = "ISOTHERM_SHOW_REQUESTS";

/// Copies a process's output to this program's standard error, as it would go to CloudWatch, and counts its bytes.
async fn show(printed: Option<impl AsyncRead + Unpin>, bytes: Arc<AtomicU64>) {
    let (Some(printed), mut line) = (printed, Vec::new()) else { return };
    let shows_requests = std::env::var_os(SHOW_REQUESTS).is_some();
    let mut printed = BufReader::new(printed);
    while let Ok(count @ 1..) = (&mut printed).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
        bytes.fetch_add(count as u64, Ordering::Relaxed);
        let text = String::from_utf8_lossy(&line);
        if shows_requests || !(text.starts_with("{\"time\":") && text.contains("\"level\":\"info\"")) {
            lines::print_error(text.trim_end_matches('\n'));
        }
        line.clear();
    }
}

/// Lambda's PATH, followed by this machine's. A bootstrap that is a script finds its interpreter in the latter.
fn path() -> OsString {
    let mut path = OsString::from("/usr/local/bin:/usr/bin/:/bin:/opt/bin");
    if let Some(ours) = std::env::var_os("PATH") {
        path.push(":");
        path.push(ours);
    }
    path
}

pub(crate) const REGION: &str = "us-east-1";
/// The AWS account of all emulated resources.
pub(crate) const ACCOUNT: &str = "123456789012";

/// The reason why an invocation has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Every environment was busy for too long.
    Throttled,
    /// No environment could be started.
    Init(anyhow::Error),
    /// The process ended.
    Exited(ExitStatus),
    /// The deadline passed.
    TimedOut(Duration),
    /// The function returned an error.
    Error(String),
    /// The event is over Lambda's limit.
    EventTooLarge,
    /// The response is over Lambda's limit.
    ResponseTooLarge,
    /// This host failed.
    Host(anyhow::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throttled => f.write_str("Rate Exceeded: every environment is busy"),
            Self::Init(error) => write!(f, "Runtime.InitError: {error:#}"),
            Self::Exited(status) => write!(f, "Runtime.ExitError: {status}"),
            Self::TimedOut(limit) => write!(f, "Sandbox.Timedout: the invocation took longer than {limit:?}"),
            Self::Error(error) => write!(f, "function error: {error}"),
            Self::EventTooLarge => f.write_str("RequestEntityTooLarge: the event is over 6 MB"),
            Self::ResponseTooLarge => f.write_str("Function.ResponseSizeTooLarge: the response is over 6 MB"),
            Self::Host(error) => write!(f, "the host failed: {error:#}"),
        }
    }
}

impl Failure {
    /// Whether the environment can't be used any more.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Exited(_) | Self::TimedOut(_) | Self::Host(_))
    }
}

/// The times at which an environment was started and at which it was ready for an invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Init {
    pub(crate) spawned: Instant,
    pub(crate) ready: Instant,
}

/// Where a function's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    /// To this program's standard error; its bytes are counted.
    Shown,
    /// Into the message of a failure. The logs of a hundred cold starts are noise.
    Kept,
}

/// A process that is ready for an invocation or works on one.
pub(crate) struct Environment {
    process: Process,
    pid: Option<u32>,
    api: RuntimeApi,
    arn: String,
    timeout: Duration,
    frozen: bool,
}

impl Environment {
    /// Starts a process and waits until it asks for its first invocation.
    pub(crate) async fn start(launch: &Launch, logs: Logs) -> Result<(Box<Self>, Init)> {
        let api = RuntimeApi::start().await?;
        let mut command = launch.command(&api.address().to_string())?;
        command.stdout(if logs == Logs::Kept { Stdio::null() } else { Stdio::piped() }).stderr(Stdio::piped());
        let spawned = Instant::now();
        let mut process = Process::spawn(command)?;
        if logs == Logs::Shown {
            let child = process.child();
            tokio::spawn(show(child.stdout.take(), Arc::clone(&launch.log_bytes)));
            tokio::spawn(show(child.stderr.take(), Arc::clone(&launch.log_bytes)));
        }
        let pid = process.child().id();
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", launch.name);
        let mut environment = Box::new(Self { process, pid, api, arn, timeout: launch.limits.timeout, frozen: false });
        match tokio::time::timeout(launch.limits.init, environment.ready()).await {
            Ok(Ok(ready)) => Ok((environment, Init { spawned, ready })),
            Ok(Err(error)) => {
                let logs = environment.kept_logs().await;
                Err(error.context(format!("cannot start {} from {}{logs}", launch.name, launch.binary.display())))
            }
            Err(_elapsed) => {
                bail!("{} did not ask for an invocation within {:?}", launch.binary.display(), launch.limits.init)
            }
        }
    }

    /// The process's standard error, after a line break. Kills the process first, so that it can't write any more.
    pub(crate) async fn kept_logs(&mut self) -> String {
        let Some(mut stderr) = self.process.child().stderr.take() else { return String::new() };
        // Killing only fails if the process has already ended.
        let _ended = self.process.child().start_kill();
        let mut logs = Vec::new();
        match stderr.read_to_end(&mut logs).await {
            Ok(_) => format!("\n{}", String::from_utf8_lossy(&logs).trim_end()),
            Err(_) => String::new(),
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Waits until the process asks for an invocation. Returns the time at which it asked.
    pub(crate) async fn ready(&mut self) -> Result<Instant> {
        tokio::select! {
            signal = self.api.signal() => match signal {
                Some(Signal::Next(at)) => Ok(at),
                Some(Signal::InitError(error)) => bail!("it said: {error}"),
                None => bail!("its Runtime API has ended"),
            },
            status = self.process.child().wait() => bail!("its process ended: {}", status?),
        }
    }

    /// Runs one invocation on a process that has asked for one, and returns its answer.
    pub(crate) async fn invoke(&mut self, event: Bytes) -> Result<Bytes, Failure> {
        self.thaw();
        let (answer, answered) = oneshot::channel();
        let deadline = SystemTime::now() + self.timeout;
        let deadline_ms = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let invocation = Invocation {
            deadline_ms,
            arn: self.arn.clone(),
            trace: format!("Root=1-{:08x}-{:024x};Sampled=0", deadline_ms / 1000, random() >> 32),
            request_id: uuid(),
            event,
            answer,
        };
        self.api.hand_over(invocation).await.map_err(Failure::Host)?;
        tokio::select! {
            biased;
            answer = answered => match answer {
                Ok(Answer::Response(body)) => Ok(body),
                Ok(Answer::Error(error)) => Err(Failure::Error(error)),
                Ok(Answer::TooLarge) => Err(Failure::ResponseTooLarge),
                Err(_dropped) => Err(Failure::Host(anyhow::anyhow!("the invocation was lost"))),
            },
            status = self.process.child().wait() => Err(match status {
                Ok(status) => Failure::Exited(status),
                Err(error) => Failure::Host(error.into()),
            }),
            () = tokio::time::sleep(self.timeout) => Err(Failure::TimedOut(self.timeout)),
        }
    }

    /// Freezes the process: for it, no time passes until the next invocation.
    pub(crate) fn freeze(&mut self) {
        self.signal(Posix::STOP);
        self.frozen = true;
    }

    fn thaw(&mut self) {
        if self.frozen {
            self.signal(Posix::CONT);
            self.frozen = false;
        }
    }

    fn signal(&self, signal: Posix) {
        if let Some(pid) = self.pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // If the process has ended, the next invocation notices.
            let _ended = kill_process(pid, signal);
        }
    }

    /// Kills the process, as Lambda does with an environment that has no extensions. Returns what it used.
    pub(crate) async fn end(mut self: Box<Self>) -> Usage {
        let usage = self.process.usage().unwrap_or_default();
        // Killing only fails if the process has already ended.
        let _ended = self.process.child().kill().await;
        usage
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn an_environment_has_4096_bytes() {
        let of = |bytes: usize| check("ingest", &[("NAME".to_owned(), "x".repeat(bytes - 4))]);
        assert!(of(4096).is_ok());
        assert!(of(4097).is_err_and(|error| error.to_string().contains("exceeded the 4KB limit: 4097 bytes")));
    }
}
