//! Runs all tests, part by part, and sums up.

mod contract;
mod deny;
mod deploy;
mod simulation;
mod tally;

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::build::{self, Set, WASM_CRATES, exclude_wasm, native_crates};
use crate::fuzz::{self, Budget, Outcome};
use crate::gates;
use crate::paths;
use crate::setup::{self, Tools};
use crate::shell::{cargo, phase, program};
use crate::test::tally::{Summary, Tally};

type Part = fn(&Tools, &mut Tally) -> Result<()>;

/// The parts that `--only` can name, in the order in which they run: parts that fail quickly come first.
const PARTS: [(&str, Part); 14] = [
    ("fmt", fmt),
    ("deny", deny::check),
    ("clippy", clippy),
    ("doc", doc),
    ("dashboard", dashboard),
    ("build", build_artifacts),
    ("unit", unit),
    ("gates", gate),
    ("deploy", deploy::check),
    ("wasm", wasm),
    ("contract", contract::check),
    ("simulation", simulation::check),
    ("fuzz", fuzzing),
    ("conformance", conformance),
];

/// Runs the named parts, or all.
pub(crate) fn run(only: &[&str]) -> Result<ExitCode> {
    if let Some(unknown) = only.iter().find(|name| !PARTS.iter().any(|(part, _)| part == *name)) {
        let names = PARTS.map(|(part, _)| part).join(", ");
        bail!("there is no part {unknown:?}; the parts are {names}");
    }
    let tools = setup::all()?;
    let mut summary = Summary::default();
    for (name, part) in PARTS {
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        phase(&format!("test: {name}"));
        let mut tally = Tally::new(name);
        if let Err(error) = part(&tools, &mut tally) {
            tally.check(&format!("{error:#}"), false);
        }
        summary.add(tally);
    }
    Ok(summary.print())
}

fn fmt(_: &Tools, tally: &mut Tally) -> Result<()> {
    tally.command("cargo fmt", cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(tools: &Tools, tally: &mut Tally) -> Result<()> {
    let mut native = cargo();
    native.args(["clippy", "--release", "--workspace", "--all-targets", "--keep-going"]);
    exclude_wasm(&mut native);
    tally.command("clippy", native.args(["--", "--deny", "warnings"]))?;
    for (package, target) in WASM_CRATES {
        let mut wasm = cargo();
        wasm.args(["clippy", "--profile", "wasm", "--package", package]);
        if tools.has_clippy() {
            wasm.args(["--target", target]).env("RUSTUP_TOOLCHAIN", &tools.wasm_toolchain);
        } else {
            // Debian's toolchain has no clippy. The crates compile for this machine too, so clippy checks them for
            // it.
            println!(
                "{} has no clippy: {package} is checked for this machine instead of {target}",
                tools.wasm_toolchain
            );
        }
        wasm.env("CARGO_TARGET_DIR", paths::target().join("wasm-release"));
        tally.command(&format!("clippy {package}"), wasm.args(["--", "--deny", "warnings"]))?;
    }
    Ok(())
}

fn doc(_: &Tools, tally: &mut Tally) -> Result<()> {
    let mut doc = cargo();
    doc.args(["doc", "--release", "--workspace", "--no-deps", "--document-private-items", "--keep-going"]);
    exclude_wasm(&mut doc);
    // The example gives dependencies the features that clippy just checked them with, so they need no second check.
    doc.args(["--lib", "--bins", "--example", "expect"]);
    tally.command("rustdoc", doc.env("RUSTDOCFLAGS", "--deny warnings"))
}

fn cargo_test() -> Command {
    let mut test = native_crates("test");
    test.arg("--no-fail-fast");
    test
}

/// Checks that the committed page is what its source gives. The conformance tests look at the page in a browser.
fn dashboard(_: &Tools, tally: &mut Tally) -> Result<()> {
    for script in ["check", "unit"] {
        let mut npm = program("npm");
        npm.current_dir(paths::root().join("dashboard")).args(["run", "--silent", script]);
        tally.command(&format!("dashboard {script}"), &mut npm)?;
    }
    Ok(())
}

/// Builds what all later parts start: the artifacts, the test programs, and with them `isotherm`.
fn build_artifacts(tools: &Tools, tally: &mut Tally) -> Result<()> {
    build::all(tools, &Set::ALL, &build::PLATFORMS, cargo_test().arg("--no-run"))?;
    tally.check("artifacts", true);
    Ok(())
}

fn unit(_: &Tools, tally: &mut Tally) -> Result<()> {
    let mut test = cargo_test();
    // The hosts' own tests start artifacts, and fail if there are none.
    test.env("ISOTHERM_ARTIFACTS", paths::artifacts()).env("ISOTHERM_WORKERD", paths::workerd());
    tally.cargo_test(test.args(["--", "--skip", "wasm::"]))?;
    // Built by itself: cargo would unite its features with those of the test programs, and build these once more.
    tally.cargo_test(cargo().args(["test", "--release", "--package", build::TESTED_APART, "--lib"]))
}

fn gate(tools: &Tools, tally: &mut Tally) -> Result<()> {
    build_artifacts(tools, &mut Tally::default())?;
    for (name, problems) in gates::all(tools)? {
        for problem in &problems {
            println!("gate {name}: {problem}");
        }
        tally.check(&format!("gate {name}"), problems.is_empty());
    }
    Ok(())
}

fn wasm(tools: &Tools, tally: &mut Tally) -> Result<()> {
    let module = gates::vector_module(tools)?;
    tally.cargo_test(cargo_test().args(["--test", "vectors_in_wasm"]).env("ISOTHERM_VECTOR_MODULE", module))
}

/// Runs each target briefly from its kept inputs, the same way each time.
fn fuzzing(_: &Tools, tally: &mut Tally) -> Result<()> {
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

fn conformance(tools: &Tools, tally: &mut Tally) -> Result<()> {
    build_artifacts(tools, &mut Tally::default())?;
    let test = || {
        let mut test = cargo();
        test.args(["test", "--release", "--no-fail-fast", "--package", "isotherm-conformance"]);
        test.env("ISOTHERM_PROGRAM", paths::isotherm()).env("ISOTHERM_ARTIFACTS", paths::artifacts());
        test.env("ISOTHERM_WORKERD", paths::workerd());
        test
    };
    tally.cargo_test(&mut test())?;
    // The same functions, tested against an implementation of the Runtime API that is not ours.
    let peer = setup::python_tool("cargo-lambda");
    // Its gateway keeps only one line of a repeated header, where AWS's joins them, so that case can't be tested
    // there.
    let asked = ["--test", "lambda", "--", "--skip", "access::repeated_headers_are_one_value"];
    tally.cargo_test_on("cargo-lambda", test().args(asked).env("ISOTHERM_CARGO_LAMBDA", peer))
}
