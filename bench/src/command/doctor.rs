//! `isotherm doctor`: what is missing on this machine for a comparison, and how to get it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;
use isotherm_hosts::Platform;
use isotherm_tools::{Source, TOOLS, Tool, version};
use serde::Serialize;

use crate::measure::artifact;
use crate::measure::role::Role;
use crate::say;
use crate::system;

/// The flags of `isotherm doctor`.
#[derive(Args, Clone, Debug)]
#[command(
    before_help = "Examples:
  isotherm doctor           what is missing, and how to get it
  isotherm doctor --json    the same for a program",
    after_help = "Exit codes: 0 everything is there that a comparison needs, 1 something is missing."
)]
pub struct Doctor {
    /// Where `cargo xtask build` put the artifacts
    #[arg(long, value_name = "DIR", env = "ISOTHERM_ARTIFACTS", default_value = "target/artifacts")]
    artifacts: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The state of one thing on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// It is not there, and only builds or tests need it.
    Absent,
    /// A comparison runs, but shows less or is less sure.
    Poor,
    /// A platform can't be started, or none can.
    Missing,
}

/// One thing that was checked.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    /// What is there, or why it is missing.
    found: String,
    /// What to do about it; empty if nothing.
    advice: String,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Good, found: found.into(), advice: String::new() }
    }

    fn bad(what: &'static str, state: State, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state, found: found.into(), advice: advice.into() }
    }
}

/// If other programs keep more than this share of each core busy, figures are noisy.
const LOAD_PER_CORE: f64 = 0.25;
/// Bytes for the four platforms, their floors and stores.
const MEMORY: u64 = 2 << 30;
const CORES: usize = 2;
/// Open files for the sockets of the load and of the hosts.
const FILES: u64 = 1024;

/// Checks the machine and prints the findings.
///
/// # Errors
/// Fails if standard output can't be written.
pub fn doctor(flags: &Doctor) -> Result<ExitCode> {
    let mut findings: Vec<Finding> =
        Platform::ALL.iter().flat_map(|platform| artifacts(&flags.artifacts, *platform)).collect();
    findings.extend([workerd(&flags.artifacts), spin()]);
    findings.extend(TOOLS.iter().map(|tool| found(tool, &flags.artifacts)));
    findings.extend([loopback(), cores(), memory(), load(), governor(), files()]);
    if flags.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&findings)?))?;
    } else {
        say(&text(&findings))?;
    }
    let is_missing = findings.iter().any(|finding| finding.state == State::Missing);
    Ok(if is_missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { what, state, found, advice } in findings {
        let mark = match state {
            State::Good => "ok     ",
            State::Absent => "absent ",
            State::Poor => "poor   ",
            State::Missing => "MISSING",
        };
        text += &format!("{mark}  {what:<22} {found}\n");
        if !advice.is_empty() {
            text += &format!("{:33}→ {advice}\n", "");
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    text += &match (count(State::Missing), count(State::Poor)) {
        (0, 0) => "\nEverything is there for a comparison.\n".to_owned(),
        (0, poor) => format!("\nA comparison runs; {poor} of the above make its figures poorer.\n"),
        (missing, _) => format!("\n{missing} missing: what needs it can't be compared.\n"),
    };
    text
}

fn artifacts(folder: &Path, platform: Platform) -> impl Iterator<Item = Finding> {
    let baseline = (platform == Platform::Lambda).then_some(Role::Baseline);
    [Role::Own, Role::Floor].into_iter().chain(baseline).map(move |role| {
        let what = match platform {
            Platform::Lambda => "artifact lambda",
            Platform::Workers => "artifact workers",
            Platform::Spin => "artifact spin",
            Platform::Native => "artifact native",
        };
        let folder = folder.join(role.set()).join(platform.name());
        match artifact::files(platform, role, &folder) {
            Ok(files) => Finding::good(what, format!("{} files in {}", files.len(), folder.display())),
            Err(problem) => {
                let advice = "cargo xtask build, or name another folder with --artifacts";
                Finding::bad(what, State::Missing, format!("{problem:#}"), advice)
            }
        }
    })
}

fn workerd(artifacts: &Path) -> Finding {
    let program = isotherm_hosts::workerd(artifacts);
    match program.and_then(|program| Some((version(Command::new(&program).arg("--version"))?, program))) {
        Some((version, program)) => Finding::good("workerd", format!("{version}, {}", program.display())),
        None => Finding::bad(
            "workerd",
            State::Missing,
            "none is installed that runs",
            "cargo xtask setup installs it with the runtime and bundlers; ISOTHERM_WORKERD names another",
        ),
    }
}

/// Looks for a tool of the list that set-up installs from. Nothing that a comparison starts needs one of these, except
/// Node.js, in which the baseline runs.
fn found(tool: &Tool, artifacts: &Path) -> Finding {
    let there = match tool.installed() {
        // Some programs print all that they are built with.
        None => tool.version().map(|version| version.chars().take(70).collect()),
        Some(path) => project(artifacts, &path).map(|path| path.display().to_string()),
    };
    if let Some(there) = there {
        return Finding::good(tool.name, there);
    }
    let state = if tool.name == "node" { State::Missing } else { State::Absent };
    let by_the_user = matches!(tool.source, Source::User(_));
    let way = if by_the_user { tool.way() } else { format!("cargo xtask installs it from {}", tool.way()) };
    let needs = match tool.platforms {
        [] => "tests".to_owned(),
        platforms => format!("builds for {}", platforms.join(", ")),
    };
    Finding::bad(tool.name, state, format!("{}; {needs} need it", tool.purpose), way)
}

/// The place of `path` in the project whose artifacts these are, or in the current folder.
fn project(artifacts: &Path, path: &Path) -> Option<PathBuf> {
    let artifacts = artifacts.canonicalize().ok();
    let folders = artifacts.iter().flat_map(|artifacts| artifacts.ancestors()).chain([Path::new(".")]);
    folders.map(|folder| folder.join(path)).find(|path| path.exists())
}

fn spin() -> Finding {
    match version(Command::new("spin").arg("--version")).filter(|version| version.starts_with("spin ")) {
        Some(version) => Finding::good("spin", version),
        None => Finding::good("spin", "not on the PATH: the component runs in an embedded wasmtime"),
    }
}

fn loopback() -> Finding {
    match TcpListener::bind(("127.0.0.1", 0)) {
        Ok(_) => Finding::good("ports", "127.0.0.1 has free ones"),
        Err(error) => Finding::bad(
            "ports",
            State::Missing,
            format!("nothing can listen on 127.0.0.1: {error}"),
            "a sandbox or a firewall forbids it: allow the loopback interface",
        ),
    }
}

fn cores() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match cores {
        CORES.. => Finding::good("cores", cores.to_string()),
        _ => Finding::bad(
            "cores",
            State::Poor,
            cores.to_string(),
            "the load needs one for itself: use a machine with two",
        ),
    }
}

fn memory() -> Finding {
    let Some(bytes) = system::bytes("/proc/meminfo", "MemAvailable") else {
        return Finding::bad("memory", State::Poor, "unknown", "this system has no /proc: figures of memory will be 0");
    };
    let found = format!("{:.1} GB available", bytes as f64 / 1e9);
    match bytes {
        MEMORY.. => Finding::good("memory", found),
        _ => Finding::bad("memory", State::Poor, found, "a comparison takes up to 2 GB: end other programs"),
    }
}

fn load() -> Finding {
    let load = fs::read_to_string("/proc/loadavg").ok();
    let load: Option<f64> = load.and_then(|text| text.split(' ').next()?.parse().ok());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match load {
        Some(load) if load > LOAD_PER_CORE * cores as f64 => Finding::bad(
            "load",
            State::Poor,
            format!("{load} on {cores} cores, averaged over a minute"),
            "other programs are at work, and figures will be noisy: wait, or end them",
        ),
        Some(load) => Finding::good("load", format!("{load} on {cores} cores, averaged over a minute")),
        None => Finding::bad(
            "load",
            State::Poor,
            "unknown",
            "this system has no /proc/loadavg: see yourself that it is idle",
        ),
    }
}

fn governor() -> Finding {
    match system::governor() {
        Some(governor) if governor != "performance" => Finding::bad(
            "frequency",
            State::Poor,
            format!("the governor is {governor}: clocks change while it is measured"),
            "cpupower frequency-set --governor performance",
        ),
        Some(governor) => Finding::good("frequency", format!("the governor is {governor}")),
        None => Finding::good("frequency", "in nobody's hands here, as on most virtual machines"),
    }
}

fn files() -> Finding {
    match system::number("/proc/self/limits", "Max open files") {
        Some(most) if most < FILES => Finding::bad(
            "open files",
            State::Missing,
            format!("{most} at once"),
            format!("the load opens many sockets: ulimit -n {FILES}"),
        ),
        Some(most) => Finding::good("open files", format!("{most} at once")),
        None => Finding::good("open files", "no limit is known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let floor = folder.path().join("floor/native");
        fs::create_dir_all(&floor).unwrap();
        fs::write(floor.join("isotherm-native"), "x").unwrap();
        // An artifact that is only half there can't be compared either.
        let release = folder.path().join("release/native");
        fs::create_dir_all(&release).unwrap();
        fs::write(release.join("notes"), "x").unwrap();
        let found: Vec<Finding> = artifacts(folder.path(), Platform::Native).collect();
        assert_eq!(found.iter().map(|finding| finding.state).collect::<Vec<_>>(), [State::Missing, State::Good]);
        let text = text(&found);
        assert!(text.contains("MISSING  artifact native") && text.contains("→ cargo xtask build"), "{text}");
        assert!(text.ends_with("1 missing: what needs it can't be compared.\n"), "{text}");
    }

    #[test]
    fn a_tool_is_found_in_the_project_of_the_artifacts() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = folder.path().join("target/artifacts");
        fs::create_dir_all(&artifacts).unwrap();
        let source = Source::Npm { lock: "somewhere", into: "target/tools/of-a-test" };
        let tool = Tool { name: "packages", purpose: "bundlers", source, platforms: &["spin"] };
        let absent = found(&tool, &artifacts);
        assert_eq!((absent.state, &*absent.found), (State::Absent, "bundlers; builds for spin need it"));
        assert_eq!(absent.advice, "cargo xtask installs it from npm, into target/tools/of-a-test/node_modules");
        fs::create_dir_all(folder.path().join("target/tools/of-a-test/node_modules")).unwrap();
        assert_eq!(found(&tool, &artifacts).state, State::Good);
    }

    #[test]
    fn this_machine_has_ports_cores_and_memory() {
        for finding in [loopback(), cores(), memory(), files()] {
            assert!(!finding.found.is_empty() && (finding.state == State::Good) == finding.advice.is_empty());
        }
        assert_eq!(loopback().state, State::Good);
    }
}
