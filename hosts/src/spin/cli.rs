//! Runs `spin up`, where Spin is installed.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, getpgid, kill_process_group};
use tokio::process::{Child, Command};

use super::CONFIG_VARIABLE;
use crate::lines::log;
use crate::process::Process;
use crate::{ColdRequest, ColdSample, Options, Runtime, Usage, http};

const MANIFEST: &str = include_str!("../../../deploy/spin/spin.toml");
/// The component's path in [`MANIFEST`].
const DEPLOYED: &str = r#""../../target/artifacts/release/spin/isotherm.wasm""#;
/// wasi:http 0.3.0 came during version 4. An earlier release of version 4 reports the problem itself when it starts.
const OLDEST: u64 = 4;
/// How long Spin may take to listen, including the time to compile.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longer than the second after which Spin drops an instance without a request.
const IDLE: Duration = Duration::from_millis(1_200);
/// How long requests in flight may take when Spin stops.
const GRACE: Duration = Duration::from_secs(10);

/// The installed program.
pub(super) struct Spin {
    program: PathBuf,
    version: String,
}

impl Spin {
    /// Looks for Spin on the PATH. `None` if it is missing or too old for the component, or if `spin` is the model
    /// checker of the same name.
    pub(super) async fn on_path() -> Option<Self> {
        let program = find(env::var_os("PATH")?.as_os_str())?;
        let mut command = Command::new(&program);
        command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(10), command.output()).await.ok()?.ok()?;
        let version = version(&String::from_utf8_lossy(&output.stdout))?;
        if major(&version)? < OLDEST {
            log!(
                "spin: {} is {version}, too old for this component: running it in an embedded wasmtime",
                program.display()
            );
            return None;
        }
        Some(Self { program, version })
    }

    pub(super) async fn up(self, component: &Path, options: &Options, data: &Path) -> Result<SpinUp> {
        let port = match options.port {
            0 => http::free_port().await?,
            port => port,
        };
        // Spin reads the manifest while it starts, and creates its other files beside its state.
        let state = data.join(".spin");
        std::fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
        let manifest_file = state.join("spin.toml");
        std::fs::write(&manifest_file, manifest(component)?)
            .with_context(|| format!("cannot write {}", manifest_file.display()))?;
        let mut command = Command::new(&self.program);
        command.arg("up").arg("--from").arg(&manifest_file);
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        command.arg("--state-dir").arg(data);
        command.env(format!("SPIN_VARIABLE_{}", CONFIG_VARIABLE.to_uppercase()), &options.config);
        // Spin's own messages would mix with the lines of requests.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = Process::spawn(command)?;
        let group = Group::of(&mut process)?;
        http::wait_for_port(port, &mut process, READY_WITHIN).await?;
        if options.log_requests {
            log!("spin: `spin up` does not log its requests");
        }
        Ok(SpinUp { process, group, port, version: self.version })
    }
}

/// A running `spin up`.
pub(crate) struct SpinUp {
    process: Process,
    group: Group,
    port: u16,
    version: String,
}

impl SpinUp {
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn runtime(&self) -> Runtime {
        Runtime { name: "spin".to_owned(), version: self.version.clone() }
    }

    /// Waits until no instance is left, so that the request gets a new one.
    /// Spin does not report how long it took to instantiate. So `init` is zero, and `first_response` is the total.
    pub(super) async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        tokio::time::sleep(IDLE).await;
        let started = Instant::now();
        let answer = http::send(self.port, request).await?;
        let first_response = answer.first_byte.duration_since(started);
        Ok(ColdSample { init: Duration::ZERO, first_response, status: answer.status })
    }

    pub(super) fn usage(&self) -> Usage {
        self.group.usage()
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.group.terminate();
        let stopped = self.process.stop(GRACE).await;
        self.group.end().await?;
        stopped
    }
}

/// `spin up` and the processes that it starts; one of them does the work.
struct Group {
    leader: Pid,
    /// Kills the group when its standard input ends: when this is dropped, or when this process ends in any way.
    guard: Child,
}

impl Group {
    fn of(process: &mut Process) -> Result<Self> {
        let leader = process.child().id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let leader = leader.context("spin has ended already")?;
        let mut guard = Command::new("sh");
        guard.arg("-c").arg("read -r _; kill -KILL \"-$0\"").arg(leader.as_raw_nonzero().to_string());
        // In a process group of its own, so that Ctrl-C does not end the guard first.
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Self { leader, guard: guard.spawn().context("cannot start sh")? })
    }

    fn terminate(&self) {
        // Processes that have ended by themselves need no signal.
        let _ended = kill_process_group(self.leader, Signal::TERM);
    }

    async fn end(mut self) -> Result<()> {
        drop(self.guard.stdin.take());
        self.guard.wait().await.context("cannot wait for what is left of spin")?;
        Ok(())
    }

    fn usage(&self) -> Usage {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        let ours = pids.filter(|pid| getpgid(Pid::from_raw(*pid)).is_ok_and(|group| group == self.leader));
        ours.filter_map(|pid| Usage::of(pid.cast_unsigned())).sum()
    }
}

fn find(path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join("spin")).find(|program| {
        // Checks that somebody may execute it. Whether we may shows when we start it.
        program.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}

/// Parses the version: `4.1.0` of `spin 4.1.0 (8f2c1ab 2026-10-01)`.
fn version(output: &str) -> Option<String> {
    let version = output.strip_prefix("spin ")?.split_whitespace().next()?;
    major(version).map(|_| version.to_owned())
}

fn major(version: &str) -> Option<u64> {
    let (major, _) = version.split_once('.')?;
    major.parse().ok()
}

/// The manifest that operators deploy with, pointed at this component.
fn manifest(component: &Path) -> Result<String> {
    let component = component.to_str().context("the artifact's path is not UTF-8, which a manifest has to be")?;
    // A JSON string is also a TOML string.
    Ok(MANIFEST.replace(DEPLOYED, &serde_json::to_string(component)?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn versions_are_those_of_spin_and_not_of_the_model_checker() {
        assert_eq!(super::version("spin 4.1.0 (8f2c1ab 2026-10-01)\n").as_deref(), Some("4.1.0"));
        assert_eq!(super::version("Spin Version 6.5.2 -- 6 December 2019\n"), None);
        assert_eq!(super::version(""), None);
    }

    #[test]
    fn the_manifest_names_the_artifact_that_is_run() {
        let manifest = super::manifest(Path::new("/tmp/a \"b\"/isotherm.wasm")).expect("a manifest");
        assert!(manifest.contains(r#"source = "/tmp/a \"b\"/isotherm.wasm""#), "{manifest}");
        assert!(manifest.contains(super::CONFIG_VARIABLE), "{manifest}");
    }
}
