//! Checks the invariants in ARCHITECTURE.md that no compiler checks. A test that breaks its rule proves each one.
//!
//! A check takes its subject (a folder, the text of a file, bytes) and returns the problems it found, one line each.

mod adapters;
mod artifacts;
mod circles;
mod core;
mod deploy;
mod imports;
mod openapi;
mod operate;
mod rooms;
mod source;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build::{self, Scope, Set};
use crate::paths;
use crate::setup::Tools;
use crate::shell::{output, program};

/// Runs every gate of a scope. Returns each one's name with its problems.
pub(crate) fn run(scope: Scope, tools: &Tools) -> Result<Vec<(&'static str, Vec<String>)>> {
    let root = paths::root();
    let tracked = output(program("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let tracked: Vec<PathBuf> = tracked.split_terminator('\0').map(|path| root.join(path)).collect();
    let (private, platforms) = (machine_paths(), scope.platforms());
    let template = fs::read_to_string(root.join("deploy/lambda/template.yaml"))?;
    let runbook = fs::read_to_string(root.join("docs/lambda.md"))?;
    let mut gates = vec![
        ("core is pure", core::purity(&root.join("core/src"))?),
        ("the contract is OpenAPI", openapi::problems(&root.join("core/src/openapi.json"))?),
        ("adapters are thin", adapters::problems(&root.join("adapters"))?),
        ("no files in a circle", circles(root)?),
        ("bench's data goes one way", rooms::problems(&root.join("bench/src"))?),
        ("deploy/ names what adapters read", operate::unread_names(&root.join("deploy"), &root.join("adapters"))?),
        ("alarms have a runbook", operate::alarms_without_runbook(&template, &runbook)),
        ("what is deployed is closed", deploy::problems(&root.join("deploy"))?),
        ("files are short", tree::long_files(root, &tracked)?),
        ("no path of this machine in the sources", tree::machine_paths(root, &tracked, &private)?),
        ("artifacts are small", artifacts::budgets(&paths::artifacts().join(Set::Release.name()), platforms)?),
        ("no test stamp in a deployed artifact", artifacts::test_stamp(&paths::artifacts(), platforms)?),
        ("no path of this machine in an artifact", artifacts::machine_paths(&paths::artifacts(), platforms, &private)?),
    ];
    if scope == Scope::All {
        let module = vector_module(tools)?;
        let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
        gates.push(("core imports nothing in wasm", imports::problems(&module)));
    }
    Ok(gates)
}

/// Finds circles in core, in bench and in each adapter.
fn circles(root: &Path) -> Result<Vec<String>> {
    let mut problems = circles::problems(&root.join("core/src"))?;
    problems.extend(circles::problems(&root.join("bench/src"))?);
    for adapter in fs::read_dir(root.join("adapters"))? {
        problems.extend(circles::problems(&adapter?.path().join("src"))?);
    }
    Ok(problems)
}

/// Builds core as a wasm module that runs vectors: the runner's library, without any platform.
pub(crate) fn vector_module(tools: &Tools) -> Result<PathBuf> {
    build::wasm_module(tools, Set::Release, "isotherm-vector-runner", "wasm32-unknown-unknown", &[])
}

/// The folders where this machine keeps the project and its user's files.
fn machine_paths() -> Vec<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let mut found: Vec<String> = [paths::root().to_string_lossy().into_owned(), home]
        .into_iter()
        .filter(|path| path.len() > 1) // `/` is everyone's
        .map(|path| format!("{path}/"))
        .collect();
    found.sort();
    found
}

/// All files under `dir`, sorted.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read the folder {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Writes files that break a rule.
#[cfg(test)]
pub(crate) fn tree_of(content: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in content {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}
