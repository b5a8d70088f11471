//! Starts programs, and says what failed and where to read on.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::paths;

/// Says on standard error what begins, with the time since the start.
pub(crate) fn phase(name: &str) {
    eprintln!("[{:6.1} s] {name}", since_start());
}

/// Seconds since the first call.
pub(crate) fn since_start() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// A program in the project's folder.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(paths::root());
    // Set by the `cargo run` that started xtask. Build scripts that watch them (ring's does) would run again each time
    // that cargo is called with and without xtask.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text == "CARGO" || text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// `cargo`, as rustup finds it.
pub(crate) fn cargo() -> Command {
    program("cargo")
}

/// Runs a program whose output is the user's to see.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status}); its output is above", show(command));
    }
    Ok(())
}

/// Runs a program whose output matters only when it fails: then its end is shown.
pub(crate) fn run_logged(log: &str, command: &mut Command) -> Result<()> {
    let (file, path) = log_file(log)?;
    command.stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file);
    let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
    check_logged(command, status, &path)
}

/// What a program prints on standard output, the rest of its output as in [`run_logged`].
pub(crate) fn output_logged(log: &str, command: &mut Command) -> Result<String> {
    let (file, path) = log_file(log)?;
    let out = command.stdin(Stdio::null()).stderr(file).output();
    let out = out.with_context(|| format!("cannot start {}", show(command)))?;
    check_logged(command, out.status, &path)?;
    String::from_utf8(out.stdout).with_context(|| format!("`{}` printed no UTF-8", show(command)))
}

fn log_file(name: &str) -> Result<(File, PathBuf)> {
    fs::create_dir_all(paths::logs())?;
    let path = paths::logs().join(format!("{name}.log"));
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((file, path))
}

fn check_logged(command: &Command, status: ExitStatus, log: &Path) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(30)..] {
        eprintln!("    {line}");
    }
    bail!("`{}` failed ({status}); its whole output is in {}", show(command), log.display());
}

/// What a program prints on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", show(command)))?;
    if !out.status.success() {
        bail!("`{}` failed ({})", show(command), out.status);
    }
    String::from_utf8(out.stdout).with_context(|| format!("`{}` printed no UTF-8", show(command)))
}

/// Whether this program can be started and says so.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
