//! Runs core's machines against model stores, with the same seeds each time. Then, unless the test is quick, it checks
//! that each kept defect is found.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::build::Scope;
use crate::shell::{self, cargo, phase, run};
use crate::test::Run;
use crate::test::pairs::in_pairs;
use crate::test::tally::Tally;
use crate::{build, defect, paths};

/// Runs the seeds, and then looks for each defect.
pub(crate) fn check(run: &Run, tally: &mut Tally) -> Result<()> {
    let mut test = cargo();
    test.args(["test", "--release", "--package", build::SIMULATION]);
    if run.scope == Scope::Quick {
        return tally.cargo_test(test.env("ISOTHERM_QUICK", "1"));
    }
    tally.cargo_test(&mut test)?;
    let mut defects = Vec::new();
    for model in files(&paths::root().join("tests/simulation/defects"))? {
        defects.extend(files(&model)?.into_iter().map(|patch| (stem(&model), patch)));
    }
    in_pairs(tally, defects, |thread, (model, patch), tally| {
        let folder = paths::target().join("simulation").join(thread.to_string());
        look(&folder, &model, &patch, tally)
    })
}

/// Plants a defect in a copy in this folder, and counts whether the simulation finds it.
fn look(folder: &Path, model: &str, patch: &Path, tally: &mut Tally) -> Result<()> {
    let name = stem(patch);
    phase(&format!("simulation: planting {name}"));
    let mut find = shell::program(plant(folder, patch)?);
    // It tries no more seeds than the sound version passes.
    find.args(["--find", "--model", model]);
    tally.command(&format!("the simulation finds {name}"), &mut find)
}

/// Builds the simulation with this defect planted. Returns its program.
fn plant(folder: &Path, patch: &Path) -> Result<PathBuf> {
    let copy = folder.join("planted");
    fs::create_dir_all(&copy)?;
    defect::plant(&copy, patch)?;
    let mut build = cargo();
    build.current_dir(&copy).args(["build", "--quiet", "--release", "--package", build::SIMULATION]);
    // Little changes from one defect to the next. A folder of its own: cargo takes the copy's crates for those of the project.
    let target = folder.join("target");
    run(build.env("CARGO_INCREMENTAL", "1").env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release").join(build::SIMULATION))
}

/// The entries of a folder, sorted. The folder of defects has a folder for each model that finds them, and each
/// defect in it is as `git diff` wrote it.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
