//! Counts passed and failed tests, by part and by host.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::build::{PLATFORMS, Scope};
use crate::shell::{show, since_start};

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The results of one part.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    part: &'static str,
    counts: Counts,
    /// The results by host. A test program with the platform's name tests each one.
    hosts: BTreeMap<&'static str, Counts>,
    /// The host whose test program is running.
    host: Option<&'static str>,
    /// A test whose outcome has not been printed yet. Where tests run one at a time, what they print comes first.
    running: Option<String>,
    failures: Vec<String>,
    skips: Vec<String>,
    started: f64,
}

impl Tally {
    pub(crate) fn new(part: &'static str) -> Self {
        Self { part, started: since_start(), ..Self::default() }
    }

    /// Counts one check.
    pub(crate) fn check(&mut self, name: &str, passed: bool) {
        if passed {
            self.counts.passed += 1;
        } else {
            self.counts.failed += 1;
            self.failures.push(name.to_owned());
        }
    }

    /// Counts a check that can't be made here. The summary says why.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        self.counts.skipped += 1;
        self.skips.push(format!("{name}: {why}"));
    }

    /// Runs a program that is one check.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
        self.check(&format!("{name}: `{}`", show(command)), status.success());
        Ok(())
    }

    /// Runs `cargo test`, shows its output, and counts its tests.
    pub(crate) fn cargo_test(&mut self, command: &mut Command) -> Result<()> {
        let mut own = Self::new(self.part);
        own.run(command, &mut std::io::stdout())?;
        own.check_ran_any(&show(command));
        self.add(own);
        Ok(())
    }

    /// Runs a program of libtest, and counts its tests. All are for `host`, if it is given.
    pub(super) fn test_program(
        &mut self,
        name: &str,
        host: Option<&'static str>,
        command: &mut Command,
        shown: &mut dyn Write,
    ) -> Result<()> {
        let line = format!("     Running {name}");
        _ = writeln!(shown, "{line}");
        self.read(&line);
        self.host = host.or(self.host);
        self.run(command, shown)
    }

    fn run(&mut self, command: &mut Command, shown: &mut dyn Write) -> Result<()> {
        // One pipe for both streams: cargo names on standard error the program whose lines follow on standard output.
        let (reader, writer) = std::io::pipe()?;
        command
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .envs([("CARGO_TERM_PROGRESS_WHEN", "never"), ("CARGO_TERM_COLOR", "never")]);
        let child = command.spawn();
        command.stdout(Stdio::null()).stderr(Stdio::null()); // closes our ends of the pipe, so that it can end
        let mut child = child.with_context(|| format!("cannot start {}", show(command)))?;
        for line in BufReader::new(reader).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            // If the reader of our output goes away, a signal ends the run, not this line.
            _ = writeln!(shown, "{line}");
            self.read(&line);
        }
        let status = child.wait()?;
        // No test names this failure: something did not compile, or a test program crashed.
        if !status.success() && self.counts.failed == 0 {
            self.check(&format!("`{}` ({status})", show(command)), false);
        }
        Ok(())
    }

    /// Checks that at least one test has run.
    pub(super) fn check_ran_any(&mut self, name: &str) {
        if self.counts.passed + self.counts.failed == 0 {
            self.check(&format!("{name} ran no test"), false);
        }
    }

    /// Adds the results of some tests of the same part.
    pub(super) fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        for (host, counts) in other.hosts {
            self.hosts.entry(host).or_default().add(counts);
        }
        self.failures.extend(other.failures);
        self.skips.extend(other.skips);
    }

    /// The part.
    pub(super) fn part(&self) -> &'static str {
        self.part
    }

    /// Reads one line of cargo or libtest.
    fn read(&mut self, line: &str) {
        if let Some(program) = line.trim_start().strip_prefix("Running ") {
            self.host = PLATFORMS.into_iter().find(|host| program.starts_with(&format!("tests/{host}.rs ")));
        }
        let started = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
        let (name, outcome) = match (started, self.running.take()) {
            (Some((name, outcome)), _) => (name.to_owned(), outcome),
            (None, Some(name)) => (name, line),
            (None, None) => return,
        };
        if !matches!(outcome, "ok" | "FAILED") && !outcome.starts_with("ignored") {
            self.running = Some(name);
            return;
        }
        let mut unnamed = Counts::default();
        let of_host = self.host.map_or(&mut unnamed, |host| self.hosts.entry(host).or_default());
        for counts in [&mut self.counts, of_host] {
            match outcome {
                "ok" => counts.passed += 1,
                "FAILED" => counts.failed += 1,
                _ => counts.skipped += 1,
            }
        }
        if outcome == "FAILED" {
            self.failures.push(on_host(self.host, &name));
        } else if outcome != "ok" {
            self.skips.push(format!("{}: {outcome}", on_host(self.host, &name)));
        }
    }
}

/// The results of all parts.
#[derive(Debug)]
pub(crate) struct Summary {
    scope: Scope,
    parts: Vec<(Tally, f64)>,
}

impl Summary {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope, parts: Vec::new() }
    }

    pub(crate) fn add(&mut self, tally: Tally) {
        let seconds = since_start() - tally.started;
        self.parts.push((tally, seconds));
    }

    /// Prints what passed and failed, with the total last. Returns the exit code of the run.
    pub(crate) fn print(&self) -> ExitCode {
        println!("\n{:<14}{:>8}{:>8}{:>8}{:>10}", "part", "passed", "failed", "skipped", "minutes");
        let mut total = Counts::default();
        for (part, seconds) in &self.parts {
            println!("{}{:>10.1}", row(part.part, part.counts), seconds / 60.0);
            if part.part == "conformance" {
                let platforms = self.scope.platforms();
                let others = part.hosts.keys().copied().filter(|host| !platforms.contains(host));
                for host in platforms.iter().copied().chain(others) {
                    println!("{}", row(&format!("  {host}"), part.hosts.get(host).copied().unwrap_or_default()));
                }
            }
            total.add(part.counts);
        }
        println!("{}{:>10.1}", row("all", total), since_start() / 60.0);
        for (heading, lines) in [
            ("skipped", self.parts.iter().flat_map(|(part, _)| &part.skips).collect::<Vec<_>>()),
            ("failed", self.parts.iter().flat_map(|(part, _)| &part.failures).collect()),
        ] {
            for line in lines {
                println!("{heading}: {line}");
            }
        }
        if self.scope == Scope::Quick {
            println!("left out: the other platforms and what takes long; `cargo xtask test --all` tests everything");
        }
        let skipped = if total.skipped == 0 { String::new() } else { format!(", {} skipped", total.skipped) };
        println!("\n{} passed, {} failed{skipped}", total.passed, total.failed);
        if total.failed == 0 && total.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn on_host(host: Option<&str>, test: &str) -> String {
    host.map_or_else(|| test.to_owned(), |host| format!("{host}: {test}"))
}

fn row(name: &str, counts: Counts) -> String {
    format!("{name:<14}{:>8}{:>8}{:>8}", counts.passed, counts.failed, counts.skipped)
}

#[cfg(test)]
impl Tally {
    /// How many passed, failed and were skipped.
    pub(super) fn counted(&self) -> (usize, usize, usize) {
        (self.counts.passed, self.counts.failed, self.counts.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_libtest_are_counted_by_host() {
        let mut tally = Tally::new("conformance");
        for line in [
            "     Running tests/spin.rs (target/release/deps/spin-1)",
            "running 1 test",
            "test limits::gzip_bomb ... ok",
            "     Running tests/lambda.rs (target/release/deps/lambda-1)",
            "test writers::one_of_100_wins ... FAILED",
            "test bodies::slow ... ignored, needs an hour",
            "test sdks::pages ... what the test prints",
            "and more of it",
            "ok",
            "test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
            "     Running unittests src/lib.rs (target/release/deps/isotherm-1)",
            "test inspiring ... ok",
        ] {
            tally.read(line);
        }
        assert_eq!(tally.counts, Counts { passed: 3, failed: 1, skipped: 1 });
        assert_eq!(tally.hosts["spin"], Counts { passed: 1, failed: 0, skipped: 0 });
        assert_eq!(tally.hosts["lambda"], Counts { passed: 1, failed: 1, skipped: 1 });
        assert_eq!(tally.failures, ["lambda: writers::one_of_100_wins"]);
        assert_eq!(tally.skips, ["lambda: bodies::slow: ignored, needs an hour"]);
    }

    #[test]
    fn a_test_program_that_fails_without_a_failed_test_is_a_failure() {
        let mut tally = Tally::new("unit");
        let mut shown = Vec::new();
        let mut program = Command::new("sh");
        tally.test_program("x", None, program.args(["-c", "echo test a ... ok; exit 101"]), &mut shown).unwrap();
        assert_eq!(shown, b"     Running x\ntest a ... ok\n");
        assert_eq!((tally.counts.passed, tally.counts.failed), (1, 1));
        let mut tally = Tally::new("conformance");
        let mut shell = Command::new("sh");
        let lambda = shell.args(["-c", "echo test a ... ok"]);
        tally.test_program("tests/lambda.rs (x)", Some("cargo-lambda"), lambda, &mut Vec::new()).unwrap();
        assert_eq!(tally.hosts.keys().collect::<Vec<_>>(), [&"cargo-lambda"]);
    }

    #[test]
    fn a_run_without_tests_is_a_failure() {
        let mut tally = Tally::new("unit");
        tally.cargo_test(&mut Command::new("true")).unwrap();
        assert_eq!(tally.counts.failed, 1);
    }
}
