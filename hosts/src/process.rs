//! A child process that never outlives this one, and what it used.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::Usage;

/// A running child. It is killed when this value is dropped, and when this process ends in any way.
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command`. Call it on a thread that lives as long as the child may: Linux sends the death signal when
    /// that thread ends. A tokio worker thread qualifies; a thread of `spawn_blocking` does not.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        let name = Path::new(command.as_std().get_program())
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        command.kill_on_drop(true);
        // In a process group of its own: Ctrl-C reaches only the host, which then stops its children in order.
        command.process_group(0);
        #[expect(unsafe_code, reason = "runs between fork and exec; prctl is async-signal-safe")]
        // SAFETY: the closure makes one system call, allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// The child, from which the caller can take the piped standard streams.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// CPU time so far and peak memory; `None` once the process has ended.
    pub(crate) fn usage(&self) -> Option<Usage> {
        Usage::of(self.child.id()?)
    }

    /// Sends SIGTERM, waits for at most `grace`, and then sends SIGKILL.
    pub(crate) async fn stop(mut self, grace: Duration) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // The process may have ended by itself in between. Then there is nothing to signal.
            let _ended = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))?;
        }
        Ok(())
    }
}

impl Usage {
    /// Reads `/proc` for one process; `None` if the process is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command's name is in parentheses and may contain anything, so fields are counted from the last
        // parenthesis. utime and stime are fields 14 and 15.
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
        Some(Self {
            cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()),
            peak_rss_bytes: peak.parse::<u64>().ok()? * 1024,
        })
    }
}
