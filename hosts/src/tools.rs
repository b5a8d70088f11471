//! Where the programs are that hosts are, and start.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Names workerd when it is not where `cargo xtask` installs it.
pub(crate) const WORKERD: &str = "ISOTHERM_WORKERD";
/// Where `cargo xtask` installs it, below the folder `target`.
const INSTALLED: &str = "tools/npm/node_modules/@cloudflare";

/// The program `isotherm-host`, which lies beside this one.
///
/// # Errors
/// Where it does not.
pub fn host() -> Result<PathBuf> {
    let host = env::current_exe().context("cannot find this program's own file")?.with_file_name("isotherm-host");
    ensure!(host.is_file(), "{} is missing, which starts platforms: run `cargo xtask build`", host.display());
    Ok(host)
}

/// Where workerd is: what the variable `ISOTHERM_WORKERD` names, or what is installed in the `target` that the artifact lies in,
/// or in the one of the current folder.
pub fn workerd(artifact: &Path) -> Option<PathBuf> {
    if let Some(path) = env::var_os(WORKERD) {
        return Some(path.into());
    }
    let package = if cfg!(target_arch = "aarch64") { "workerd-linux-arm64" } else { "workerd-linux-64" };
    let current = env::current_dir().ok().map(|current| current.join("target"));
    let targets = artifact.ancestors().map(Path::to_path_buf).chain(current);
    targets.map(|target| target.join(INSTALLED).join(package).join("bin/workerd")).find(|path| path.is_file())
}
