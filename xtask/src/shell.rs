//! Starts programs, and reports what failed and where to read on.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::paths;

/// Prints the name of a new phase on standard error, with the time since the start.
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
    // The `cargo run` that started xtask has set these variables. Build scripts that watch them (ring's does) would
    // run again whenever cargo is called once with xtask and once without.
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

/// Runs a program and lets the user see its output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status}); its output is above", show(command));
    }
    Ok(())
}

/// Runs a program and logs its output. Shows the end of the log if the program fails.
pub(crate) fn run_logged(log: &str, command: &mut Command) -> Result<()> {
    let (file, path) = log_file(log)?;
    command.stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file);
    let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
    check_logged(command, status, &path)
}

/// Returns a program's standard output. The rest of its output is logged as in [`run_logged`].
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

/// Returns a program's standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", show(command)))?;
    if !out.status.success() {
        bail!("`{}` failed ({})", show(command), out.status);
    }
    String::from_utf8(out.stdout).with_context(|| format!("`{}` printed no UTF-8", show(command)))
}

/// Whether this program starts and succeeds.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command as a user would type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
