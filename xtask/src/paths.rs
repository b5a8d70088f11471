//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// The folder of the project.
pub(crate) fn root() -> &'static Path {
    // cargo runs xtask on the machine that compiled it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// The folder where cargo builds: `target`, or the folder that CARGO_TARGET_DIR names.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The folder of the tools that `setup` installed.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// The outputs of programs, which are shown only when the programs fail.
pub(crate) fn logs() -> PathBuf {
    root().join("target/logs")
}

/// The artifacts that are deployed and compared: `target/artifacts/<set>/<platform>`.
pub(crate) fn artifacts() -> PathBuf {
    root().join("target/artifacts")
}

/// The program `isotherm`.
pub(crate) fn isotherm() -> PathBuf {
    target().join("release/isotherm")
}

/// The Workers runtime that `setup` installed, unless the user names another.
pub(crate) fn workerd() -> PathBuf {
    let package = if cfg!(target_arch = "aarch64") { "workerd-linux-arm64" } else { "workerd-linux-64" };
    let ours = || tools().join("npm/node_modules/@cloudflare").join(package).join("bin/workerd");
    env::var_os("ISOTHERM_WORKERD").map_or_else(ours, PathBuf::from)
}

/// The variables that tell `isotherm` where its artifacts and workerd are.
pub(crate) fn for_isotherm() -> [(&'static str, PathBuf); 2] {
    [("ISOTHERM_ARTIFACTS", artifacts()), ("ISOTHERM_WORKERD", workerd())]
}
