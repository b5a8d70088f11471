//! Installs missing tools.
//!
//! All of them come ready-made from npm and PyPI. Stamp files record what is installed, so that a second run asks no
//! registry and takes a moment.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::build::PLATFORMS;
use crate::paths;
use crate::shell::{cargo, output_logged, phase, program, run_logged, works};

/// What builds and tests need to know about the tools.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// The rustup toolchain that has the wasm targets. It is empty if no requested platform is wasm.
    pub(crate) wasm_toolchain: String,
}

impl Tools {
    /// Whether this toolchain can lint; Debian's can't.
    pub(crate) fn has_clippy(&self) -> bool {
        works(cargo().env("RUSTUP_TOOLCHAIN", &self.wasm_toolchain).args(["clippy", "--version"]))
    }
}

/// The wasm targets of the adapters and of core's own tests.
const WASM_TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip2"];

/// What comes from PyPI, for tests only: the folder of tools, where its requirements with their hashes are, and what it is. Each has a
/// folder of its own, which pip writes whole.
const PYTHON_TOOLS: [(&str, &str, &str); 4] = [
    ("python", "xtask/python/requirements.txt", "cargo-deny and cargo-lambda"),
    ("schemathesis", "xtask/schemathesis/requirements.txt", "schemathesis"),
    ("deploy", "xtask/deploy/requirements.txt", "linters for deploy/: SAM's, cfn-lint, hadolint, zizmor and others"),
    ("checkov", "xtask/checkov/requirements.txt", "checkov"),
];

/// Tools from npm.
const NPM_TOOLS: [NpmTools; 3] = [
    NpmTools {
        folder: "npm",
        locked_in: "xtask/npm",
        what: "workerd, esbuild and wasm-opt",
        platforms: &["lambda", "workers", "spin"],
    },
    NpmTools {
        folder: "article",
        locked_in: "bench/baseline",
        what: "AWS's SDK for the function that Isotherm is compared with",
        platforms: &["lambda"],
    },
    NpmTools { folder: "wrangler", locked_in: "xtask/wrangler", what: "wrangler and its Node.js", platforms: &[] },
];

struct NpmTools {
    /// The folder's name among the tools.
    folder: &'static str,
    /// The folder of package.json and the lock file.
    locked_in: &'static str,
    what: &'static str,
    /// The platforms whose builds need these tools; none where only tests do.
    platforms: &'static [&'static str],
}

/// Installs everything.
pub(crate) fn all() -> Result<Tools> {
    debian_packages(true)?;
    let tools = for_builds(&PLATFORMS)?;
    for_tests()?;
    Ok(tools)
}

/// Installs what builds for these platforms need. `cargo xtask compare` runs such builds.
pub(crate) fn for_builds(platforms: &[&str]) -> Result<Tools> {
    let needs = |any: &[&str]| any.iter().any(|platform| platforms.contains(platform));
    fs::create_dir_all(paths::tools())?;
    debian_packages(false)?;
    let wasm_toolchain = if needs(&["workers", "spin"]) { wasm_toolchain()? } else { String::new() };
    for tools in NPM_TOOLS.iter().filter(|tools| needs(tools.platforms)) {
        npm(tools)?;
    }
    Ok(Tools { wasm_toolchain })
}

/// Installs what only `cargo xtask test` needs.
pub(crate) fn for_tests() -> Result<()> {
    dashboard()?;
    NPM_TOOLS.iter().filter(|tools| tools.platforms.is_empty()).try_for_each(npm)?;
    PYTHON_TOOLS.into_iter().try_for_each(pypi)
}

/// A program that [`for_tests`] installed from PyPI.
pub(crate) fn python_tool(name: &str) -> PathBuf {
    paths::tools().join("python/bin").join(name)
}

/// The folder of schemathesis and the packages that it needs.
pub(crate) fn schemathesis_folder() -> PathBuf {
    paths::tools().join("schemathesis")
}

/// The folder of wrangler and the Node.js that it needs.
pub(crate) fn wrangler_folder() -> PathBuf {
    paths::tools().join("wrangler")
}

/// Packages exactly as their requirements say.
fn pypi((folder, requirements, what): (&str, &str, &str)) -> Result<()> {
    let (requirements, dir) = (paths::root().join(requirements), paths::tools().join(folder));
    let text = fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let stamp = Stamp::new(folder, text);
    if stamp.holds() && dir.is_dir() {
        return Ok(());
    }
    phase(&format!("set-up: {what} from PyPI"));
    _ = fs::remove_dir_all(&dir);
    let mut pip = program("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target"]).arg(dir);
    run_logged(&format!("setup-{folder}"), pip.arg("--requirement").arg(requirements))?;
    stamp.set()
}

/// Checks that the programs builds need are there, and installs Debian's packages that a machine may still lack.
fn debian_packages(for_tests: bool) -> Result<()> {
    for (name, hint) in [
        ("rustup", "install it from https://rustup.rs"),
        ("cc", "apt-get install build-essential"),
        ("node", "install Node.js 20 or later"),
        ("npm", "install it with Node.js"),
        ("python3", "apt-get install python3"),
    ] {
        if !on_path(name) {
            bail!("there is no `{name}` on the PATH, and the builds need it: {hint}");
        }
    }
    let mut missing = Vec::new();
    let python_tools_missing = PYTHON_TOOLS.iter().any(|(folder, ..)| !paths::tools().join(folder).is_dir());
    if for_tests && python_tools_missing && !works(program("python3").args(["-m", "pip", "--version"])) {
        missing.push("python3-pip");
    }
    if for_tests {
        missing.extend(["chromium", "curl", "sqlite3"].into_iter().filter(|name| !on_path(name)));
    }
    if missing.is_empty() {
        return Ok(());
    }
    phase(&format!("set-up: {} from Debian", missing.join(" ")));
    let mut install = program("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "--quiet", "--yes", "--no-install-recommends"]);
    install.args(&missing);
    let advice = || format!("install these packages yourself, as root: {}", missing.join(" "));
    run_logged("setup-apt-update", program("apt-get").args(["update", "--quiet"])).with_context(advice)?;
    run_logged("setup-apt-install", &mut install).with_context(advice)
}

fn on_path(name: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

/// Finds or installs the toolchain with the wasm targets, by either way of wasm-toolchain.sh.
fn wasm_toolchain() -> Result<String> {
    let stamp = paths::tools().join("wasm-toolchain.txt");
    if let Ok(name) = fs::read_to_string(&stamp)
        && WASM_TARGETS.iter().all(|target| has_target(&name, target))
    {
        return Ok(name);
    }
    phase("set-up: Rust for wasm (about a minute where rustup reaches no server)");
    let mut script = program("bash");
    script.arg(paths::root().join("xtask/wasm-toolchain.sh")).arg(paths::tools().join("wasm-toolchain"));
    let printed =
        output_logged("setup-wasm", &mut script).context("no Rust toolchain with the wasm targets can be had")?;
    let name = printed.trim().to_owned();
    if let Some(target) = WASM_TARGETS.iter().find(|target| !has_target(&name, target)) {
        bail!("the toolchain {name} has no {target}, although xtask/wasm-toolchain.sh says so");
    }
    fs::write(stamp, &name)?;
    Ok(name)
}

fn has_target(toolchain: &str, target: &str) -> bool {
    let mut rustc = program("rustc");
    rustc.env("RUSTUP_TOOLCHAIN", toolchain).args(["--print", "target-libdir", "--target", target]);
    rustc
        .output()
        .is_ok_and(|out| out.status.success() && Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir())
}

/// Installs the packages of a lock file, exactly as it says, in a folder of the tools.
fn npm(NpmTools { folder, locked_in, what, .. }: &NpmTools) -> Result<()> {
    let (from, dir) = (paths::root().join(locked_in), paths::tools().join(folder));
    let lock = from.join("package-lock.json");
    let lock_text = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let stamp = Stamp::new(folder, lock_text);
    if stamp.holds() && dir.join("node_modules").is_dir() {
        return Ok(());
    }
    phase(&format!("set-up: {what} from npm"));
    fs::create_dir_all(&dir)?;
    fs::copy(from.join("package.json"), dir.join("package.json"))?;
    fs::copy(lock, dir.join("package-lock.json"))?;
    fs::copy(paths::root().join(".npmrc"), dir.join(".npmrc"))?;
    run_logged(&format!("setup-{folder}"), program("npm").current_dir(&dir).args(["ci", "--ignore-scripts"]))?;
    stamp.set()
}

/// Installs what builds the dashboard and drives the browser that tests it.
fn dashboard() -> Result<()> {
    let dir = paths::root().join("dashboard");
    let lock = fs::read_to_string(dir.join("package-lock.json")).context("cannot read dashboard/package-lock.json")?;
    let stamp = Stamp::new("dashboard", lock);
    if stamp.holds() && dir.join("node_modules").is_dir() {
        return Ok(());
    }
    phase("set-up: the dashboard's packages from npm");
    run_logged("setup-dashboard", program("npm").current_dir(&dir).args(["ci", "--ignore-scripts"]))?;
    stamp.set()
}

/// Remembers what was installed, as text. If the text differs, the tool is installed again.
struct Stamp {
    path: PathBuf,
    content: String,
}

impl Stamp {
    fn new(name: &str, content: String) -> Self {
        Self { path: paths::tools().join("stamps").join(name), content }
    }

    fn holds(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.content)
    }

    fn set(&self) -> Result<()> {
        fs::create_dir_all(paths::tools().join("stamps"))?;
        fs::write(&self.path, &self.content).with_context(|| format!("cannot write {}", self.path.display()))
    }
}
