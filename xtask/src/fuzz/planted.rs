//! Proves that each target finds something. With a defect planted, a run has to end with an input that shows the
//! defect.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use super::{Budget, Outcome, build, build_in, fuzz_anew, known, target};
use crate::shell::{phase, works};
use crate::{defect, paths};

/// The defect of a target, as `git diff` writes it.
pub(super) fn patch(name: &str) -> PathBuf {
    paths::root().join("fuzz/planted").join(format!("{name}.patch"))
}

/// Plants one defect after another in a copy of the project.
pub(super) fn prove(names: impl Iterator<Item = &'static str>, budget: Budget) -> Result<ExitCode> {
    let (copy, sound) = (paths::target().join("fuzz/planted"), build()?);
    let mut missed = 0;
    for name in names {
        phase(&format!("fuzz: planting {name}"));
        defect::plant(&copy, &patch(name))?;
        let programs = build_in(&copy, &["--bin", known(name)?.1])?;
        match fuzz_anew(&programs, name, budget)? {
            // The input shows the defect only if it does no harm without it.
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
