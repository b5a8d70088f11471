//! `cargo xtask fuzz`: builds the fuzzing targets with coverage, runs them, and reports what they found.
//!
//! libFuzzer is compiled by its crate. The coverage that it needs is a pass of LLVM that stable rustc has. Kept
//! inputs are in `fuzz/corpus/<target>`, and words of each format in `fuzz/dict`. Inputs that a run adds go to
//! `target/fuzz/corpus/<target>`.

mod planted;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::paths;
use crate::shell::{cargo, phase, program, run};

/// Each target with its program and the most bytes of an input: longer inputs are slower and reach no more code.
pub(crate) const TARGETS: [(&str, &str, usize); 17] = [
    ("blocks", "fuzz-core", 384),
    ("config", "fuzz-core", 768),
    ("doors", "fuzz-core", 2048),
    ("gzip", "fuzz-core", 1152),
    ("http_head", "fuzz-http", 768),
    ("lambda_http", "fuzz-lambda", 2048),
    ("lambda_queue", "fuzz-lambda", 2048),
    ("lambda_stream", "fuzz-lambda", 2048),
    ("moved", "fuzz-core", 2048),
    ("packed", "fuzz-core", 384),
    ("pages", "fuzz-core", 704),
    ("query", "fuzz-core", 256),
    ("record", "fuzz-core", 832),
    ("request", "fuzz-core", 2048),
    ("shard", "fuzz-core", 512),
    ("stream", "fuzz-core", 704),
    ("watermark", "fuzz-core", 160),
];

const HELP: &str = "\
cargo xtask fuzz [TARGET]… [--runs N] [--seconds N] [--merge | --planted]

  TARGET        one of blocks config doors gzip http_head lambda_http lambda_queue lambda_stream moved packed pages query record
                request shard stream watermark (default: all, one after the other)
  --runs N      at most N inputs each, the same ones each time
  --seconds N   at most so long each (default, without --runs: 60)
  --merge       run nothing; keep in fuzz/corpus what runs have found, as few inputs as reach the same
  --planted     prove that each target finds the defect in fuzz/planted, planted in a copy

A run says how many edges of the program its inputs reached, of those there are, the other targets' and the libraries' among
them. What it adds is in target/fuzz/corpus, what fails in target/fuzz/found.
";

/// Makes rustc count which code an input reaches. It does not trace compared bytes, which would take as long as
/// everything else; the words in `fuzz/dict` replace that.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Clink-dead-code";
/// The target is named so that build scripts are not compiled with [`COVERAGE`].
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Keeps freed memory: an input takes less time than the system needs to take pages back and give others.
const MEMORY: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=67108864:glibc.malloc.trim_threshold=268435456");
/// libFuzzer does not search for shorter inputs, which would take a quarter of a run. The output of targets is
/// dropped: it has a line for each message that an adapter refuses.
const QUICK: [&str; 2] = ["-reduce_inputs=0", "-close_fd_mask=2"];
/// An input that takes longer is a finding.
const SLOW_SECONDS: u32 = 10;
/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// How long a target runs: until it reaches either bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) runs: Option<u64>,
    pub(crate) seconds: Option<u64>,
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) runs: u64,
    /// Number of the program's edges that were reached.
    pub(crate) coverage: u64,
    /// Number of the program's edges.
    pub(crate) edges: u64,
    /// The input that fails.
    pub(crate) found: Option<PathBuf>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    targets: Vec<String>,
    budget: Budget,
    merges: bool,
    is_planted: bool,
    wants_help: bool,
}

/// Runs the command.
pub(crate) fn command(arguments: &[String]) -> Result<ExitCode> {
    let Asked { targets, budget, merges, is_planted, wants_help } = asked(arguments)?;
    if wants_help {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = names().filter(|name| targets.is_empty() || targets.iter().any(|asked| asked == name));
    if is_planted {
        return planted::prove(chosen, budget);
    }
    let programs = build()?;
    let mut failed = 0;
    for name in chosen {
        if merges {
            merge(&programs, name)?;
            continue;
        }
        let Outcome { runs, coverage, edges, found } = fuzz(&programs, name, budget)?;
        println!("{name:14} {runs:>11} inputs, {coverage:>6} of {edges} edges");
        if let Some(input) = found {
            failed += 1;
            println!("{name:14} FOUND {}; its log is {}", input.display(), log(name).display());
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of all targets.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TARGETS.into_iter().map(|(name, ..)| name)
}

fn asked(arguments: &[String]) -> Result<Asked> {
    let mut asked = Asked::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut number =
            || rest.next().and_then(|value| value.parse().ok()).with_context(|| format!("{argument} needs a number"));
        match argument.as_str() {
            "--runs" => asked.budget.runs = Some(number()?),
            "--seconds" => asked.budget.seconds = Some(number()?),
            "--merge" => asked.merges = true,
            "--planted" => asked.is_planted = true,
            "--help" | "-h" => asked.wants_help = true,
            name if names().any(|known| known == name) => asked.targets.push(name.to_owned()),
            other => bail!("`cargo xtask fuzz` does not take {other:?}; see `cargo xtask fuzz --help`"),
        }
    }
    if asked.budget == Budget::default() {
        asked.budget.seconds = Some(60);
    }
    Ok(asked)
}

/// Builds the targets. Returns the folder of the programs.
pub(crate) fn build() -> Result<PathBuf> {
    build_in(paths::root(), &["--bins"])
}

/// Builds some programs of the project in `root`.
fn build_in(root: &Path, programs: &[&str]) -> Result<PathBuf> {
    phase("fuzz: building");
    // Cargo takes the crates of a copy for those of the project, so each has a folder of its own.
    let target = paths::target().join(if root == paths::root() { "fuzz" } else { "fuzz/of-planted" });
    let mut build = cargo();
    build.current_dir(root).args(["build", "--quiet", "--package", "isotherm-fuzz", "--profile", "fuzz"]);
    build.args(programs).args(["--target", TRIPLE]).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &target);
    run(&mut build)?;
    Ok(target.join(TRIPLE).join("fuzz"))
}

/// Runs a target from its kept inputs and those of earlier runs.
pub(crate) fn fuzz(programs: &Path, name: &str, budget: Budget) -> Result<Outcome> {
    phase(&format!("fuzz: {name}"));
    fuzz_in(&paths::target().join("fuzz/corpus").join(name), programs, name, budget)
}

/// Runs a target from its kept inputs alone, so that it tries the same inputs each time.
pub(crate) fn fuzz_anew(programs: &Path, name: &str, budget: Budget) -> Result<Outcome> {
    phase(&format!("fuzz: {name}"));
    let new = paths::target().join("fuzz/anew").join(name);
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    fuzz_in(&new, programs, name, budget)
}

/// Runs a target, and puts inputs that reach something new into `new`.
fn fuzz_in(new: &Path, programs: &Path, name: &str, Budget { runs, seconds }: Budget) -> Result<Outcome> {
    let findings = paths::target().join("fuzz/found").join(name);
    fs::create_dir_all(new)?;
    fs::create_dir_all(&findings)?;
    fs::create_dir_all(paths::logs())?;
    let mut fuzz = target(programs, name)?;
    fuzz.args(QUICK).args(["-print_final_stats=1".to_owned(), format!("-timeout={SLOW_SECONDS}")]);
    fuzz.arg(format!("-artifact_prefix={}/", findings.display()));
    // With a number of runs, the same inputs are tried each time.
    fuzz.args(runs.into_iter().flat_map(|runs| [format!("-runs={runs}"), "-seed=1".to_owned()]))
        .args(seconds.map(|seconds| format!("-max_total_time={seconds}")));
    let words = dictionary(name);
    if words.is_file() {
        fuzz.arg(format!("-dict={}", words.display()));
    }
    let mut child = fuzz.arg(new).arg(kept(name)).stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut outcome = Outcome::default();
    let mut log = fs::File::create(log(name))?;
    let mut said = Instant::now();
    for line in BufReader::new(child.stderr.take().context("a pipe")?).split(b'\n') {
        let line = line?;
        log.write_all(&line)?;
        log.write_all(b"\n")?;
        let line = String::from_utf8_lossy(&line);
        outcome.read(&line);
        if said.elapsed() > PROGRESS && line.starts_with('#') {
            said = Instant::now();
            phase(&format!("fuzz: {name} {line}"));
        }
    }
    let has_ended_well = child.wait()?.success();
    match &outcome.found {
        // Runs the target once more on this input, to log its output.
        Some(input) => drop(target(programs, name)?.arg(input).stdout(log.try_clone()?).stderr(log).status()?),
        None if !has_ended_well => bail!("{name} does not run; its log is {}", self::log(name).display()),
        None => {}
    }
    Ok(outcome)
}

impl Outcome {
    /// Reads a line of libFuzzer's output.
    fn read(&mut self, line: &str) {
        if let Some((runs, rest)) = line.strip_prefix('#').and_then(|line| line.split_once('\t')) {
            self.runs = runs.parse().unwrap_or(self.runs);
            let mut words = rest.split_whitespace().skip_while(|word| *word != "cov:").skip(1);
            self.coverage = words.next().and_then(|edges| edges.parse().ok()).unwrap_or(self.coverage);
        } else if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
            self.runs = runs.trim().parse().unwrap_or(self.runs);
        } else if let Some((_, rest)) = line.split_once("INFO: Loaded ") {
            let edges = rest.split_once('(').and_then(|(_, rest)| rest.split_once(" inline 8-bit counters"));
            self.edges = edges.and_then(|(edges, _)| edges.parse().ok()).unwrap_or(self.edges);
        } else if let Some((_, path)) = line.split_once("Test unit written to ")
            && !path.contains("/slow-unit-")
        {
            self.found = Some(PathBuf::from(path.trim()));
        }
    }
}

/// Adds inputs that runs have found to the kept ones, then keeps as few as reach the same code. Inputs that somebody
/// has named stay.
fn merge(programs: &Path, name: &str) -> Result<()> {
    let (kept, least) = (kept(name), paths::target().join("fuzz/least").join(name));
    let new = paths::target().join("fuzz/corpus").join(name);
    fs::create_dir_all(&new)?;
    clear(&least)?;
    for input in fs::read_dir(&kept)? {
        let input = input?;
        if !is_hash(&input.file_name().to_string_lossy()) {
            fs::copy(input.path(), least.join(input.file_name()))?;
        }
    }
    let mut merge = target(programs, name)?;
    merge.args(["-set_cover_merge=1", "-use_counters=0", "-verbosity=0"]).args([&least, &kept, &new]);
    run(merge.stderr(Stdio::null()))?;
    clear(&kept)?;
    for input in fs::read_dir(&least)? {
        let input = input?;
        fs::copy(input.path(), kept.join(input.file_name()))?;
    }
    println!("{name:14} {} inputs are kept", fs::read_dir(&kept)?.count());
    Ok(())
}

/// Makes an empty folder, or empties an existing one.
fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

/// Whether libFuzzer has named this input, by its hash.
fn is_hash(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn target(programs: &Path, name: &str) -> Result<std::process::Command> {
    let (_, file, longest) = known(name)?;
    let mut target = program(programs.join(file));
    target.env("ISOTHERM_FUZZ_TARGET", name).envs([MEMORY]).arg(format!("-max_len={longest}"));
    Ok(target)
}

fn known(name: &str) -> Result<(&'static str, &'static str, usize)> {
    TARGETS.into_iter().find(|(known, ..)| *known == name).context("a target")
}

fn kept(name: &str) -> PathBuf {
    paths::root().join("fuzz/corpus").join(name)
}

fn dictionary(name: &str) -> PathBuf {
    paths::root().join("fuzz/dict").join(format!("{name}.dict"))
}

fn log(name: &str) -> PathBuf {
    paths::logs().join(format!("fuzz-{name}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read() {
        let mut outcome = Outcome::default();
        outcome.read("INFO: Loaded 1 modules   (72813 inline 8-bit counters): 72813 [0x5, 0x6),");
        assert_eq!(outcome.edges, 72813);
        outcome.read("#7180\tNEW    cov: 6087 ft: 15953 corp: 592/122Kb");
        assert_eq!((outcome.runs, outcome.coverage), (7180, 6087));
        outcome.read("artifact_prefix='x/'; Test unit written to x/slow-unit-1");
        assert_eq!(outcome.found, None);
        outcome.read("artifact_prefix='x/'; Test unit written to x/crash-1");
        outcome.read("stat::number_of_executed_units: 7300");
        assert_eq!((outcome.runs, outcome.found), (7300, Some(PathBuf::from("x/crash-1"))));
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let asked = |text: &str| super::asked(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let budget = Budget { runs: Some(5), seconds: None };
        assert_eq!(
            asked("gzip --runs 5").unwrap(),
            Asked { targets: vec!["gzip".to_owned()], budget, ..Asked::default() }
        );
        assert!(asked("--help").unwrap().wants_help);
        assert!(asked("gzap").is_err() && asked("--runs").is_err() && asked("--runs x").is_err());
    }

    #[test]
    fn every_target_has_inputs_and_a_planted_defect() {
        for name in names() {
            assert!(HELP.contains(name), "{name}");
            assert!(kept(name).is_dir(), "{name}");
            let applies = crate::shell::works(program("git").args(["apply", "--check"]).arg(planted::patch(name)));
            assert!(applies, "the defect of {name} is planted in code that is gone");
        }
    }
}
