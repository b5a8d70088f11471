//! Finds the programs that run platforms: `isotherm-host` and workerd.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The environment variable with workerd's path, for a workerd that `cargo xtask` did not install.
pub(crate) const WORKERD: &str = "ISOTHERM_WORKERD";
/// The folder below `target` into which `cargo xtask` installs workerd.
const INSTALLED: &str = "tools/npm/node_modules/@cloudflare";

/// The path of the program `isotherm-host`, which lies beside this program.
///
/// # Errors
/// If the file is missing.
pub fn host() -> Result<PathBuf> {
    let host = env::current_exe().context("cannot find this program's own file")?.with_file_name("isotherm-host");
    ensure!(host.is_file(), "{} is missing, which starts platforms: run `cargo xtask build`", host.display());
    Ok(host)
}

/// The path of workerd. The variable `ISOTHERM_WORKERD` takes precedence. Otherwise workerd must be installed in a
/// `target` folder: the one that contains the artifact, or the one in the current folder.
pub fn workerd(artifact: &Path) -> Option<PathBuf> {
    if let Some(path) = env::var_os(WORKERD) {
        return Some(path.into());
    }
    let package = if cfg!(target_arch = "aarch64") { "workerd-linux-arm64" } else { "workerd-linux-64" };
    let current = env::current_dir().ok().map(|current| current.join("target"));
    let targets = artifact.ancestors().map(Path::to_path_buf).chain(current);
    targets.map(|target| target.join(INSTALLED).join(package).join("bin/workerd")).find(|path| path.is_file())
}
