//! Makes stale artifacts: `target/artifacts/<set>/<platform>`.
//!
//! Cargo decides what is stale. Bundles and zips are made again when the outputs of cargo that they contain have
//! changed. Each adapter is built by itself, so that it gets no feature that another crate asks for.

mod baseline;
mod component;
mod files;
mod workers;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Result, anyhow, bail};

use crate::paths;
use crate::setup::{self, Tools};
use crate::shell::{cargo, phase, run};

/// Crates that only make sense in wasm, each with its target.
pub(crate) const WASM_CRATES: [(&str, &str); 4] = [
    ("isotherm-workers", "wasm32-unknown-unknown"),
    ("isotherm-floor-workers", "wasm32-unknown-unknown"),
    ("isotherm-spin", "wasm32-wasip2"),
    ("isotherm-floor-spin", "wasm32-wasip2"),
];

/// The platforms, as commands name them.
pub(crate) const PLATFORMS: [&str; 4] = ["lambda", "workers", "spin", "native"];

/// How much of the project is built and tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Core, the tools and the native platform: what builds without wasmtime, AWS's SDKs and a wasm toolchain.
    Quick,
    /// Every crate and platform.
    All,
}

impl Scope {
    pub(crate) fn platforms(self) -> &'static [&'static str] {
        match self {
            Self::Quick => &["native"],
            Self::All => &PLATFORMS,
        }
    }
}

/// A set of artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// The artifacts that are deployed and measured.
    Release,
    /// The release artifacts with the feature `test-stamp`.
    Test,
    /// The artifacts to compare with: the smallest hello function on each runtime, and beside them, in the folder
    /// `baseline`: what a user would have otherwise.
    Floor,
}

impl Set {
    pub(crate) const ALL: [Self; 3] = [Self::Release, Self::Test, Self::Floor];

    pub(crate) fn parse(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|set| set.name() == name) {
            Some(set) => Ok(set),
            None => bail!("there is no set {name:?}; the sets are release, test and floor"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Test => "test",
            Self::Floor => "floor",
        }
    }

    /// The crate that makes this set's artifact on `platform`.
    fn package(self, platform: &str) -> String {
        match self {
            Self::Release | Self::Test => format!("isotherm-{platform}"),
            Self::Floor => format!("isotherm-floor-{platform}"),
        }
    }

    fn features(self) -> &'static [&'static str] {
        if self == Self::Test { &["--features", "test-stamp"] } else { &[] }
    }

    /// Options for the native packages of ours that are built for this set alone. Test artifacts need not be fast. With
    /// less optimisation they build in half the time.
    fn native_options(self, package: &str) -> Vec<String> {
        let slower = |package: &str| format!("profile.artifact.package.{package}.opt-level=1");
        let packages = if self == Self::Test { &["isotherm-core", package][..] } else { &[] };
        packages.iter().flat_map(|package| ["--config".to_owned(), slower(package)]).collect()
    }

    pub(crate) fn folder(self, platform: &str) -> PathBuf {
        paths::artifacts().join(self.name()).join(platform)
    }
}

/// Builds the artifacts of `sets` for `platforms`, and runs `beside` at the same time.
pub(crate) fn all(tools: &Tools, sets: &[Set], platforms: &[&str], beside: &mut Command) -> Result<()> {
    if registry_folders().is_empty() {
        // Without this, the first build would not know which paths to replace, and the second would start over.
        phase("build: fetching crates");
        run(cargo().args(["fetch", "--locked"]))?;
    }
    // Two builds at a time, in folders of their own, so that neither waits for the other's lock. The native build
    // takes about as long as all others together: most of it is linking with LTO, which keeps one core busy.
    thread::scope(|scope| {
        let native = scope.spawn(|| native(sets, platforms));
        let others = run(beside).and_then(|()| wasm(tools, sets, platforms));
        native.join().map_err(|_| anyhow!("the thread of the native builds panicked"))??;
        others
    })?;
    if sets.contains(&Set::Floor) && platforms.contains(&"lambda") {
        phase("build: the baseline");
        baseline::build()?;
    }
    phase("build: done");
    Ok(())
}

/// Sets up and builds what `isotherm compare` needs for `platforms`.
pub(crate) fn measured(platforms: &[&str]) -> Result<()> {
    let mut isotherm = isotherm(platforms);
    let tools = setup::install_beside(platforms, &[], Some(&mut isotherm))?;
    all(&tools, &[Set::Release, Set::Floor], platforms, &mut isotherm)
}

/// Builds the program `isotherm`, and `isotherm-host`, which starts `platforms`.
pub(crate) fn isotherm(platforms: &[&str]) -> Command {
    let programs = ["--bin", "isotherm", "--bin", "isotherm-host"];
    if platforms.len() < PLATFORMS.len() {
        let mut build = cargo();
        build.args(["build", "--release", "--package", "isotherm-bench", "--package", "isotherm-hosts"]).args(programs);
        let features: Vec<String> = platforms.iter().map(|platform| format!("isotherm-hosts/{platform}")).collect();
        build.args(["--no-default-features", "--features", &features.join(",")]);
        return build;
    }
    // From the same crates and features as the tests, so that the tests find them built.
    let mut build = tested_crates("build", Scope::All);
    // The example matters: cargo also unites the features of development dependencies once something in the build
    // needs them.
    build.args(programs).args(["--example", "expect"]);
    build
}

/// A native crate whose tests run apart, with the dependencies that its artifact was built with: AWS's SDKs are large.
const TESTED_APART: &str = "isotherm-lambda";

/// The simulation is a part of its own: its seeds take as long as all other tests of native crates together.
pub(crate) const SIMULATION: &str = "isotherm-simulation";

/// Native crates that have no tests of their own.
const WITHOUT_TESTS: [(&str, &str); 4] = [
    ("isotherm-fuzz", "fuzz"),
    ("isotherm-floor-lambda", "bench/floors/lambda"),
    ("isotherm-floor-native", "bench/floors/native"),
    ("isotherm-wasm-bindgen", "xtask/wasm-bindgen"),
];

/// The tested crates of [`Scope::Quick`].
const QUICK_CRATES: [&str; 8] = [
    "isotherm-bench",
    "isotherm-conformance",
    "isotherm-core",
    "isotherm-hosts",
    "isotherm-native",
    "isotherm-tools",
    "isotherm-vector-runner",
    "xtask",
];

/// A cargo command for the native crates of a scope.
fn native_crates(command: &str, scope: Scope) -> Command {
    let mut cargo = cargo();
    cargo.args([command, "--release"]);
    match scope {
        Scope::Quick => {
            cargo.args(QUICK_CRATES.iter().flat_map(|package| ["--package", package]));
            cargo.args(["--no-default-features", "--features", "isotherm-hosts/native"]);
        }
        Scope::All => {
            cargo.arg("--workspace");
            cargo.args(WASM_CRATES.iter().flat_map(|(package, _)| ["--exclude", package]));
        }
    }
    cargo
}

/// `cargo build` or `cargo test` of the native crates that have tests, always of all of a scope. Cargo unites the
/// features of crates that are built together, so another selection would build much of it once more.
pub(crate) fn tested_crates(command: &str, scope: Scope) -> Command {
    let mut cargo = native_crates(command, scope);
    if scope == Scope::All {
        let apart = [SIMULATION, TESTED_APART];
        let excluded = WITHOUT_TESTS.iter().map(|(package, _)| *package).chain(apart);
        cargo.args(excluded.flat_map(|package| ["--exclude", package]));
    }
    cargo
}

/// The tests of [`TESTED_APART`]. They are built on one core, because other tests run beside it.
pub(crate) fn tests_apart() -> Command {
    let mut test = artifact_cargo("test");
    test.args(["--profile", "artifact", "--package", TESTED_APART, "--lib", "--jobs", "1"]);
    // The tests take less time than better code would take to build.
    test.arg("--config").arg(format!("profile.artifact.package.{TESTED_APART}.opt-level=0"));
    test
}

/// `cargo clippy` or `cargo doc` of the native crates.
pub(crate) fn checked_crates(command: &str, scope: Scope) -> Command {
    let mut cargo = native_crates(command, scope);
    if scope == Scope::Quick {
        cargo.args(["--package", SIMULATION]);
    }
    cargo
}

/// The program esbuild, which `setup` installed.
fn esbuild() -> PathBuf {
    paths::tools().join("npm/node_modules/@esbuild/linux-x64/bin/esbuild")
}

/// The program wasm-opt, which `setup` installed.
fn wasm_opt() -> PathBuf {
    paths::tools().join("npm/node_modules/binaryen/bin/wasm-opt")
}

/// Builds the plain server of a set. Returns its path.
pub(crate) fn server(set: Set) -> Result<PathBuf> {
    phase(&format!("build: native ({})", set.name()));
    let package = set.package("native");
    let mut build = artifact_cargo("build");
    build.args(["--profile", "artifact", "--package", &package, "--bins"]).args(set.features());
    run(build.args(set.native_options(&package)))?;
    let to = set.folder("native").join("isotherm-native");
    files::copy_if_changed(&paths::target().join("artifact").join(&package), &to)?;
    Ok(to)
}

fn native(sets: &[Set], platforms: &[&str]) -> Result<()> {
    for set in sets {
        if platforms.contains(&"native") {
            server(*set)?;
        }
        if platforms.contains(&"lambda") {
            lambda(*set)?;
        }
    }
    Ok(())
}

/// Builds the program of the functions, and the zip that is deployed for each function.
fn lambda(set: Set) -> Result<()> {
    phase(&format!("build: lambda ({})", set.name()));
    let package = set.package("lambda");
    let mut build = artifact_cargo("build");
    build.args(["--profile", "artifact", "--package", &package, "--bins"]).args(set.features());
    run(build.args(set.native_options(&package)))?;
    let to = set.folder("lambda").join("bootstrap");
    let program = if set == Set::Floor { &*package } else { "bootstrap" };
    files::copy_if_changed(&paths::target().join("artifact").join(program), &to)?;
    files::zip_if_changed(&to, &to.with_extension("zip"))
}

fn wasm(tools: &Tools, sets: &[Set], platforms: &[&str]) -> Result<()> {
    for set in sets {
        if platforms.contains(&"spin") {
            phase(&format!("build: spin ({})", set.name()));
            let package = set.package("spin");
            let module = wasm_module(tools, *set, &package, "wasm32-wasip2", set.features())?;
            component::shrink_if_changed(&wasm_opt(), &module, &set.folder("spin").join("isotherm.wasm"))?;
        }
        if platforms.contains(&"workers") {
            phase(&format!("build: workers ({})", set.name()));
            workers::build(tools, *set)?;
        }
    }
    Ok(())
}

/// Builds the library `package` for a wasm target. Returns the path of its module.
pub(crate) fn wasm_module(tools: &Tools, set: Set, package: &str, target: &str, options: &[&str]) -> Result<PathBuf> {
    let dir = wasm_target_dir(set);
    let mut build = artifact_cargo("build");
    build.args(["--profile", "wasm", "--package", package, "--lib", "--target", target]);
    build.env("CARGO_ENCODED_RUSTFLAGS", wasm_flags());
    run(build.args(options).env("CARGO_TARGET_DIR", &dir).env("RUSTUP_TOOLCHAIN", &tools.wasm_toolchain))?;
    Ok(dir.join(target).join("wasm").join(format!("{}.wasm", package.replace('-', "_"))))
}

/// Options for rustc, as cargo's variable holds them: no paths of this machine, and sha2 with its rounds in a loop, since
/// unrolled they take 15 kB.
fn wasm_flags() -> String {
    let mut flags = remapped_paths();
    flags.extend(["--cfg", "sha2_backend_soft=\"compact\""].map(str::to_owned));
    flags.join("\x1f")
}

/// Cargo names a wasm module only after its crate, so two sets in one folder would overwrite each other's modules.
fn wasm_target_dir(set: Set) -> PathBuf {
    paths::target().join(if set == Set::Test { "wasm-test" } else { "wasm-release" })
}

/// `cargo build` or `cargo test` for something that is deployed. The result contains no paths of this machine.
fn artifact_cargo(command: &str) -> Command {
    let mut cargo = cargo();
    cargo.arg(command).env("CARGO_ENCODED_RUSTFLAGS", remapped_paths().join("\x1f"));
    cargo
}

/// Options for rustc that replace this machine's source folders in panic messages with neutral names.
fn remapped_paths() -> Vec<String> {
    let folders =
        registry_folders().into_iter().map(|folder| format!("--remap-path-prefix={}=/crates", folder.display()));
    [format!("--remap-path-prefix={}=/isotherm", paths::root().display())].into_iter().chain(folders).collect()
}

/// The folders where cargo unpacks crates, one for each registry.
fn registry_folders() -> Vec<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let Some(cargo_home) = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home) else { return Vec::new() };
    let folders = fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_are_left_out_of_the_tests_have_none() {
        for (package, folder) in WITHOUT_TESTS {
            let tests = ["--recursive", "--quiet", "--include=*.rs", "--regexp=#\\[test\\]", "--regexp=::test[](]"];
            let found = Command::new("grep").args(tests).arg(paths::root().join(folder)).status().unwrap();
            assert_eq!(found.code(), Some(1), "{package} has tests that nothing runs: see WITHOUT_TESTS");
        }
    }
}
