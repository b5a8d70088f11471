//! Proves that each target finds something: with a defect planted, a run has to end with an input that shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use super::{Budget, Outcome, TARGETS, build, build_in, fuzz_anew, known, target};
use crate::paths;
use crate::shell::{output, phase, program, run, works};

/// The defect of a target, as `git diff` writes it.
pub(super) fn patch(name: &str) -> PathBuf {
    paths::root().join("fuzz/planted").join(format!("{name}.patch"))
}

/// Plants one defect after the other, in a copy of the project.
pub(super) fn prove(names: impl Iterator<Item = &'static str>, budget: Budget) -> Result<ExitCode> {
    let (copy, sound) = (paths::target().join("fuzz/planted"), paths::target().join("fuzz/sound"));
    fs::create_dir_all(&sound)?;
    let programs = build()?;
    for (_, file, _) in TARGETS {
        fs::copy(programs.join(file), sound.join(file))?;
    }
    let mut missed = 0;
    for name in names {
        phase(&format!("fuzz: planting {name}"));
        copy_sources(&copy)?;
        // A copy in `target/` lies in this repository, where git would look for the files of the patch.
        let mut apply = program("git");
        apply.current_dir(&copy).env("GIT_CEILING_DIRECTORIES", paths::target().join("fuzz"));
        run(apply.arg("apply").arg(patch(name)))?;
        let programs = build_in(&copy, &["--bin", known(name)?.1])?;
        match fuzz_anew(&programs, name, budget)? {
            // The defect is what is found where the input does no harm without it.
            Outcome { runs, found: Some(ref input), .. } if works(target(&sound, name)?.arg(input)) => {
                println!("{name:14} finds its planted defect with {runs} inputs");
            }
            Outcome { runs, .. } => {
                missed += 1;
                println!("{name:14} MISSES its planted defect with {runs} inputs");
            }
        }
    }
    if missed > 0 {
        bail!("{missed} targets do not find what is planted for them");
    }
    Ok(ExitCode::SUCCESS)
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
