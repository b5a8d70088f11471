//! Runs the tests, part by part, and sums up.

mod contract;
mod deny;
mod deploy;
mod pairs;
mod parts;
mod programs;
mod simulation;
mod tally;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::build::{self, PLATFORMS, Scope, WASM_CRATES, checked_crates, tested_crates};
use crate::fuzz::{self, Budget, Outcome};
use crate::gates;
use crate::paths;
use crate::setup::{self, Tools};
use crate::shell::{cargo, phase, program};
use crate::test::pairs::in_pairs;
use crate::test::programs::{CONFORMANCE, TestProgram, TestRun};
use crate::test::tally::{Summary, Tally};

pub(crate) use self::parts::{names, tools};

/// What a part knows of the run that it belongs to.
pub(crate) struct Run {
    scope: Scope,
    tools: Tools,
}

impl Run {
    /// Builds what parts start: the artifacts, the test programs, and with them `isotherm`.
    fn build(&self) -> Result<()> {
        let tests = &mut tested_crates("test", self.scope);
        build::all(&self.tools, &build::Set::ALL, self.scope.platforms(), tests.arg("--no-run"))
    }

    /// The test programs of native crates.
    fn test_programs(&self) -> Result<Vec<TestProgram>> {
        programs::of(&mut tested_crates("test", self.scope))
    }

    /// Runs of the conformance tests on one platform.
    fn on_platform(&self, platform: &str, arguments: &[&str]) -> Result<TestRun> {
        let programs = self.test_programs()?;
        let on_it = programs.iter().find(|program| program.tests_platform(platform));
        let program = on_it.with_context(|| format!("{CONFORMANCE}/tests/{platform}.rs is no test program"))?;
        Ok(with_artifacts(program.run(arguments)).that_has_tests())
    }

    /// Runs of the conformance tests on all platforms of the scope.
    fn on_platforms(&self, arguments: &[&str]) -> Result<Vec<TestRun>> {
        self.scope.platforms().iter().map(|platform| self.on_platform(platform, arguments)).collect()
    }
}

/// Runs the named parts, or all that the scope has.
pub(crate) fn run(scope: Scope, only: &[&str]) -> Result<ExitCode> {
    let parts = parts::chosen(scope, only)?;
    eprintln!("{}", parts::needs(scope, &parts));
    let tools: Vec<&str> = parts.iter().flat_map(|part| part.tools(scope)).collect();
    let platforms = if parts.iter().any(|part| part.builds) { scope.platforms() } else { &[] };
    // This is the longest of the builds that need no tools.
    let mut test_programs = tested_crates("test", scope);
    let beside = parts.iter().any(|part| part.builds).then(|| test_programs.arg("--no-run"));
    let run = Run { scope, tools: setup::install_beside(platforms, &tools, beside)? };
    let mut summary = Summary::new(scope);
    let mut is_built = false;
    for part in parts {
        phase(&format!("test: {}", part.name));
        let mut tally = Tally::new(part.name);
        let built = if part.builds && !is_built { run.build() } else { Ok(()) };
        is_built |= part.builds && built.is_ok();
        if let Err(error) = built.and_then(|()| (part.run)(&run, &mut tally)) {
            tally.check(&format!("{error:#}"), false);
        }
        summary.add(tally);
    }
    Ok(summary.print())
}

fn fmt(_: &Run, tally: &mut Tally) -> Result<()> {
    tally.command("cargo fmt", cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(run: &Run, tally: &mut Tally) -> Result<()> {
    let mut native = checked_crates("clippy", run.scope);
    tally.command("clippy", native.args(["--all-targets", "--keep-going", "--", "--deny", "warnings"]))?;
    if run.scope == Scope::Quick {
        return Ok(());
    }
    for (package, target) in WASM_CRATES {
        let mut wasm = cargo();
        wasm.args(["clippy", "--profile", "wasm", "--package", package]);
        if run.tools.has_clippy() {
            wasm.args(["--target", target]).env("RUSTUP_TOOLCHAIN", &run.tools.wasm_toolchain);
        } else {
            // Debian's toolchain has no clippy. The crates compile for this machine too, so clippy checks them for
            // it.
            let toolchain = &run.tools.wasm_toolchain;
            println!("{toolchain} has no clippy: {package} is checked for this machine instead of {target}");
        }
        wasm.env("CARGO_TARGET_DIR", paths::target().join("wasm-release"));
        tally.command(&format!("clippy {package}"), wasm.args(["--", "--deny", "warnings"]))?;
    }
    Ok(())
}

fn doc(run: &Run, tally: &mut Tally) -> Result<()> {
    let mut doc = checked_crates("doc", run.scope);
    doc.args(["--no-deps", "--document-private-items", "--keep-going"]);
    // The example gives dependencies the features that clippy just checked them with, so they need no second check.
    doc.args(["--lib", "--bins", "--example", "expect"]);
    tally.command("rustdoc", doc.env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Checks that the committed page is what its source gives. The conformance tests look at the page in a browser.
fn dashboard(_: &Run, tally: &mut Tally) -> Result<()> {
    for script in ["check", "unit"] {
        let mut npm = program("npm");
        npm.current_dir(paths::root().join("dashboard")).args(["run", "--silent", script]);
        tally.command(&format!("dashboard {script}"), &mut npm)?;
    }
    Ok(())
}

fn build(_: &Run, tally: &mut Tally) -> Result<()> {
    tally.check("artifacts", true);
    Ok(())
}

fn unit(run: &Run, tally: &mut Tally) -> Result<()> {
    let is_quick = run.scope == Scope::Quick;
    let arguments =
        if is_quick { &["--skip", "wasm::", "--skip", "every_platform::"][..] } else { &["--skip", "wasm::"] };
    let programs = run.test_programs()?;
    let is_unit = |program: &&TestProgram| !PLATFORMS.iter().any(|platform| program.tests_platform(platform));
    // The longest come first, so that none is left to run alone in the end.
    let mut units: Vec<_> = programs.iter().filter(is_unit).collect();
    units.sort_by_key(|program| program.place());
    // The hosts' own tests start artifacts, and fail if there are none.
    let mut runs: Vec<TestRun> = units.into_iter().map(|program| with_artifacts(program.run(arguments))).collect();
    if !is_quick {
        // It builds for minutes on one core, so it begins first.
        runs.insert(0, TestRun::of_cargo(build::tests_apart()));
    }
    programs::run(tally, runs)?;
    let mut docs = tested_crates("test", run.scope);
    tally.command("the examples in docs", docs.args(["--quiet", "--doc"]))
}

/// A run that finds what the parts of the tests start.
fn with_artifacts(run: TestRun) -> TestRun {
    run.env("ISOTHERM_PROGRAM", paths::isotherm())
        .env("ISOTHERM_ARTIFACTS", paths::artifacts())
        .env("ISOTHERM_WORKERD", paths::workerd())
}

fn gate(run: &Run, tally: &mut Tally) -> Result<()> {
    for (name, problems) in gates::run(run.scope, &run.tools)? {
        for problem in &problems {
            println!("gate {name}: {problem}");
        }
        tally.check(&format!("gate {name}"), problems.is_empty());
    }
    Ok(())
}

fn wasm(run: &Run, tally: &mut Tally) -> Result<()> {
    let module = gates::vector_module(&run.tools)?;
    let mut test = tested_crates("test", Scope::All);
    tally.cargo_test(test.args(["--test", "vectors_in_wasm"]).env("ISOTHERM_VECTOR_MODULE", module))
}

/// Runs each target briefly from its kept inputs, the same way each time.
fn fuzzing(_: &Run, tally: &mut Tally) -> Result<()> {
    let programs = fuzz::build()?;
    in_pairs(tally, fuzz::names().collect(), |_, name, tally| {
        let Outcome { found, .. } = fuzz::fuzz_anew(&programs, name, Budget { runs: Some(2000), seconds: None })?;
        if let Some(input) = &found {
            println!("fuzz {name}: {} fails", input.display());
        }
        tally.check(&format!("fuzz {name}"), found.is_none());
        Ok(())
    })
}

fn conformance(run: &Run, tally: &mut Tally) -> Result<()> {
    let mut runs = run.on_platforms(&["--skip", SDKS])?;
    if run.scope == Scope::All {
        // The same functions, tested against an implementation of the Runtime API that is not ours. Its gateway keeps only one
        // line of a repeated header, where AWS's joins them, and has its own ways with other odd bytes, so these cases can't
        // be tested there.
        let but = ["--skip", "access::repeated_headers_are_one_value", "--skip", RAW, "--skip", SDKS];
        let peer = setup::python_tool("cargo-lambda");
        // The longest come first.
        runs.insert(0, run.on_platform("lambda", &but)?.on("cargo-lambda").env("ISOTHERM_CARGO_LAMBDA", &peer));
    }
    programs::run(tally, runs)
}

/// The conformance test that sends odd bytes.
const RAW: &str = "routes::the_same_raw_bytes_mean_the_same";

/// The conformance tests that send with SDKs.
const SDKS: &str = "sdks::";

/// The one of them that takes minutes.
const OUTAGE: &str = "outage_of_sdks::";

/// Sends with SDKs of other services.
fn sdks(run: &Run, tally: &mut Tally) -> Result<()> {
    // Each test starts programs of its own, and some of them wait for others: one at a time is fast enough.
    let mut runs = run.on_platforms(&[SDKS, "--skip", OUTAGE, "--test-threads", "1"])?;
    if run.scope == Scope::All {
        // The longest comes first.
        runs.insert(0, run.on_platform("native", &[OUTAGE])?.on("native, an outage"));
    }
    programs::run(tally, runs)
}
