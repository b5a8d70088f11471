//! Test programs: cargo builds them, and they run here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::paths;
use crate::shell::{output, phase, program, show};
use crate::test::pairs::in_pairs;
use crate::test::tally::Tally;

/// The folder of the conformance tests, which has a test program for each platform.
pub(super) const CONFORMANCE: &str = "tests";

/// A test program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TestProgram {
    /// The folder of its package. Cargo would run it there.
    folder: PathBuf,
    /// Its source file, within that folder.
    source: PathBuf,
    path: PathBuf,
}

/// One run of a test program.
#[derive(Debug)]
pub(super) struct TestRun {
    /// What cargo would say: `tests/lambda.rs (target/release/deps/lambda-1)`.
    name: String,
    /// The host whose tests these are, if the name does not tell it.
    host: Option<&'static str>,
    /// A run without a test is a failure.
    has_tests: bool,
    command: Command,
}

/// The programs of a `cargo test`. Builds those that are stale.
pub(super) fn of(tests: &mut Command) -> Result<Vec<TestProgram>> {
    let messages = output(tests.args(["--no-run", "--message-format", "json-render-diagnostics"]))?;
    let programs = messages.lines().filter_map(|line| serde_json::from_str(line).ok().and_then(|line| read(&line)));
    Ok(programs.collect())
}

/// Reads a message of cargo. `None` if it is not about a test program.
fn read(message: &Value) -> Option<TestProgram> {
    let path = message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?;
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    let source = Path::new(message["target"]["src_path"].as_str()?).strip_prefix(folder).ok()?;
    Some(TestProgram { folder: folder.to_owned(), source: source.to_owned(), path: path.into() })
}

impl TestProgram {
    /// True for the conformance tests of this platform.
    pub(super) fn tests_platform(&self, platform: &str) -> bool {
        self.folder == paths::root().join(CONFORMANCE) && self.source == Path::new(&format!("tests/{platform}.rs"))
    }

    /// The place among other programs: the tests of workerd's host wait for minutes, those within libraries compute, and the
    /// others are short.
    pub(super) fn place(&self) -> u8 {
        match self.source.to_str() {
            Some("tests/workers.rs") => 0,
            Some("src/lib.rs") => 1,
            _ => 2,
        }
    }

    /// A run with these arguments of libtest.
    pub(super) fn run(&self, arguments: &[&str]) -> TestRun {
        let mut command = program(&self.path);
        command.current_dir(&self.folder).args(arguments);
        let name = format!("{} ({})", self.source.display(), self.path.display());
        TestRun { name, host: None, has_tests: false, command }
    }
}

impl TestRun {
    /// A run of `cargo test`, which builds its programs first.
    pub(super) fn of_cargo(command: Command) -> Self {
        Self { name: show(&command), host: None, has_tests: true, command }
    }

    /// Counts all tests for `host`.
    pub(super) fn on(mut self, host: &'static str) -> Self {
        self.host = Some(host);
        self
    }

    /// Makes a run without a test a failure.
    pub(super) fn that_has_tests(mut self) -> Self {
        self.has_tests = true;
        self
    }

    /// Sets an environment variable.
    pub(super) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }
}

/// Runs them all. Shows the output of each when it ends.
pub(super) fn run(tally: &mut Tally, runs: Vec<TestRun>) -> Result<()> {
    run_into(tally, runs, &mut std::io::stdout())
}

fn run_into(tally: &mut Tally, runs: Vec<TestRun>, shown: &mut (impl Write + Send)) -> Result<()> {
    let part = tally.part();
    let (mut all, shown) = (Tally::new(part), Mutex::new(shown));
    in_pairs(&mut all, runs, |_, TestRun { name, host, has_tests, mut command }, own| {
        phase(&format!("{part}: {name}"));
        let mut output = Vec::new();
        let ran = own.test_program(&name, host, &mut command, &mut output).context(name.clone());
        if has_tests {
            own.check_ran_any(&name);
        }
        // If the reader of our output goes away, a signal ends the run, not this.
        _ = shown.lock().unwrap_or_else(PoisonError::into_inner).write_all(&output);
        ran
    })?;
    all.check_ran_any(part);
    tally.add(all);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_of_cargo_name_test_programs() {
        let target = json!({"name": "lambda", "kind": ["test"], "src_path": "/p/tests/tests/lambda.rs"});
        let message = |is_test: bool, executable: Value| {
            json!({"reason": "compiler-artifact", "manifest_path": "/p/tests/Cargo.toml", "target": target,
                "profile": {"test": is_test}, "executable": executable})
        };
        let found = read(&message(true, json!("/p/target/lambda-1"))).unwrap();
        assert_eq!((&*found.folder, &*found.source), (Path::new("/p/tests"), Path::new("tests/lambda.rs")));
        assert!(!found.tests_platform("lambda"), "it is of another project");
        assert_eq!(read(&message(true, Value::Null)), None);
        assert_eq!(read(&message(false, json!("/p/target/isotherm"))), None);
    }

    #[test]
    fn all_runs_are_counted() {
        let run = |text: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", text]);
            TestRun { name: "tests/spin.rs (x)".to_owned(), host: None, has_tests: false, command }
        };
        let mut tally = Tally::new("unit");
        let runs = vec![run("echo test a ... ok"), run("echo test b ... FAILED; exit 101"), run("exit 3")];
        let mut shown = Vec::new();
        run_into(&mut tally, runs, &mut shown).unwrap();
        assert!(String::from_utf8(shown).unwrap().contains("test b ... FAILED\n"));
        assert_eq!(tally.counted(), (1, 2, 0));
        let mut tally = Tally::new("unit");
        let runs = vec![run("echo test a ... ok"), run("true").that_has_tests()];
        run_into(&mut tally, runs, &mut Vec::new()).unwrap();
        assert_eq!(tally.counted(), (1, 1, 0), "a platform without tests is a failure");
        let mut tally = Tally::new("unit");
        run_into(&mut tally, vec![run("true")], &mut Vec::new()).unwrap();
        assert_eq!(tally.counted(), (0, 1, 0), "a run without tests is a failure");
    }
}
