//! Plants a defect in a copy of the project: what tests is proven by what it finds.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::paths;
use crate::shell::{output, program, run};

/// Makes `copy` the project with this defect, as `git diff` wrote it, and with no other.
pub(crate) fn plant(copy: &Path, patch: &Path) -> Result<()> {
    copy_sources(copy)?;
    // A copy in `target/` lies in this repository, where git would look for the files of the patch.
    let above = copy.parent().context("a copy lies in a folder")?;
    let mut apply = program("git");
    apply.current_dir(copy).env("GIT_CEILING_DIRECTORIES", above);
    run(apply.arg("apply").arg(patch))
}

/// Copies what git knows of the project; files that are the same stay, so that cargo builds little.
fn copy_sources(copy: &Path) -> Result<()> {
    let listed = output(program("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    for file in listed.split_terminator('\0').filter(|file| !file.starts_with("fuzz/corpus/")) {
        let (from, to) = (paths::root().join(file), copy.join(file));
        let Ok(bytes) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|known| known == bytes) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&to, bytes)?;
    }
    Ok(())
}
