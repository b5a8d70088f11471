//! Describes the machine of a run. Unknown facts are left open and are no reason to fail.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::results::{Commit, Machine};
use crate::system::{bytes, field};

/// Describes this machine. The caller fills in `seconds` at the end.
pub(crate) fn describe(program: &Path) -> Machine {
    let mut versions = BTreeMap::from([("isotherm".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    versions.extend(output(Command::new("rustc").arg("--version")).map(|version| ("rustc".to_owned(), version)));
    versions.extend(output(Command::new("node").arg("--version")).map(|version| ("node".to_owned(), version)));
    Machine {
        time: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        seconds: 0.0,
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_bytes: bytes("/proc/meminfo", "MemTotal").unwrap_or(0),
        os: field("/etc/os-release", "PRETTY_NAME").unwrap_or_else(unknown),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| unknown(), |text| text.trim().to_owned()),
        commit: program.parent().and_then(commit).or_else(|| commit(Path::new("."))),
        versions,
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The commit of the working tree of Isotherm that contains `folder`. The commit of another project would say nothing.
fn commit(folder: &Path) -> Option<Commit> {
    let git = |arguments: &[&str]| output(Command::new("git").arg("-C").arg(folder).args(arguments));
    let top = git(&["rev-parse", "--show-toplevel"])?;
    Path::new(&top).join("bench/workloads/flights.toml").exists().then_some(())?;
    let id = git(&["rev-parse", "HEAD"])?;
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    Some(Commit { id, dirty })
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_memory_and_a_kernel() {
        let machine = describe(Path::new("/nowhere/isotherm"));
        assert!(machine.cores >= 1 && machine.memory_bytes > 1 << 20, "{machine:?}");
        assert_ne!(machine.kernel, "unknown");
    }
}
