//! Plants a defect in a copy of the project. A check proves itself by finding the defect.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::paths;
use crate::shell::{output, program, run};

/// Makes `copy` a copy of the project with this one defect, given as `git diff` wrote it.
pub(crate) fn plant(copy: &Path, patch: &Path) -> Result<()> {
    copy_sources(copy)?;
    // A copy in `target/` lies inside this repository, where git would look for the patch's files.
    let above = copy.parent().context("a copy lies in a folder")?;
    let mut apply = program("git");
    apply.current_dir(copy).env("GIT_CEILING_DIRECTORIES", above);
    run(apply.arg("apply").arg(patch))
}

/// Copies the files that git knows. Equal files are not written again, so that cargo builds little.
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
