//! Runs the tests, part by part, and sums up.

mod contract;
mod deny;
mod deploy;
mod parts;
mod simulation;
mod tally;

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::build::{self, CONFORMANCE, Scope, WASM_CRATES, checked_crates, tested_crates};
use crate::fuzz::{self, Budget, Outcome};
use crate::gates;
use crate::paths;
use crate::setup::{self, Tools};
use crate::shell::{cargo, phase, program};
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
        let tests = &mut cargo_test(self.scope);
        build::all(&self.tools, &build::Set::ALL, self.scope.platforms(), tests.arg("--no-run"))
    }
}

/// Runs the named parts, or all that the scope has.
pub(crate) fn run(scope: Scope, only: &[&str]) -> Result<ExitCode> {
    let parts = parts::chosen(scope, only)?;
    eprintln!("{}", parts::needs(scope, &parts));
    let tools: Vec<&str> = parts.iter().flat_map(|part| part.tools(scope)).collect();
    let platforms = if parts.iter().any(|part| part.builds) { scope.platforms() } else { &[] };
    let run = Run { scope, tools: setup::install(platforms, &tools)? };
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

fn cargo_test(scope: Scope) -> Command {
    let mut test = tested_crates("test", scope);
    test.arg("--no-fail-fast");
    test
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
    let mut test = cargo_test(run.scope);
    // The hosts' own tests start artifacts, and fail if there are none.
    test.env("ISOTHERM_ARTIFACTS", paths::artifacts()).env("ISOTHERM_WORKERD", paths::workerd());
    test.args(["--", "--skip", "wasm::"]);
    match run.scope {
        Scope::Quick => tally.cargo_test(test.args(["--skip", "every_platform::"])),
        Scope::All => {
            tally.cargo_test(&mut test)?;
            // Built by itself: cargo would unite its features with those of the test programs, and build these once
            // more.
            tally.cargo_test(cargo().args(["test", "--release", "--package", build::TESTED_APART, "--lib"]))
        }
    }
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
    let mut test = cargo_test(Scope::All);
    tally.cargo_test(test.args(["--test", "vectors_in_wasm"]).env("ISOTHERM_VECTOR_MODULE", module))
}

/// Runs each target briefly from its kept inputs, the same way each time.
fn fuzzing(_: &Run, tally: &mut Tally) -> Result<()> {
    let programs = fuzz::build()?;
    for name in fuzz::names() {
        let Outcome { found, .. } = fuzz::fuzz_anew(&programs, name, Budget { runs: Some(2000), seconds: None })?;
        if let Some(input) = &found {
            println!("fuzz {name}: {} fails", input.display());
        }
        tally.check(&format!("fuzz {name}"), found.is_none());
    }
    Ok(())
}

fn conformance(run: &Run, tally: &mut Tally) -> Result<()> {
    if run.scope == Scope::Quick {
        return tally.cargo_test(conformance_test().args(["--test", "native", "--", "--skip", SDKS]));
    }
    tally.cargo_test(conformance_test().args(["--", "--skip", SDKS]))?;
    // The same functions, tested against an implementation of the Runtime API that is not ours.
    let peer = setup::python_tool("cargo-lambda");
    // Its gateway keeps only one line of a repeated header, where AWS's joins them, and has its own ways with other odd
    // bytes, so these cases can't be tested there.
    let asked =
        ["--test", "lambda", "--", "--skip", "access::repeated_headers_are_one_value", "--skip", RAW, "--skip", SDKS];
    tally.cargo_test_on("cargo-lambda", conformance_test().args(asked).env("ISOTHERM_CARGO_LAMBDA", peer))
}

/// The conformance test that sends odd bytes.
const RAW: &str = "routes::the_same_raw_bytes_mean_the_same";

/// The conformance tests that send with SDKs.
const SDKS: &str = "sdks::";

/// Sends with SDKs of other services.
fn sdks(run: &Run, tally: &mut Tally) -> Result<()> {
    let mut test = conformance_test();
    if run.scope == Scope::Quick {
        test.args(["--test", "native"]);
    }
    // Each test starts programs of its own, and some of them wait for others: one at a time is fast enough.
    tally.cargo_test(test.args(["--", SDKS, "--test-threads", "1"]))
}

fn conformance_test() -> Command {
    let mut test = cargo();
    test.args(["test", "--release", "--no-fail-fast", "--package", CONFORMANCE]);
    test.env("ISOTHERM_PROGRAM", paths::isotherm()).env("ISOTHERM_ARTIFACTS", paths::artifacts());
    test.env("ISOTHERM_WORKERD", paths::workerd());
    test
}
