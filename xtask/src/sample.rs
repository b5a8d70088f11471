//! `cargo xtask sample`: measures the committed sample, `docs/sample/`.
//!
//! `isotherm` has the result built in and uses it where no other is named. The README shows the picture.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::{self, PLATFORMS};
use crate::paths;
use crate::setup;
use crate::shell::{program, run};

/// Runs behind the sample, so that its intervals hold what differs from run to run.
const RUNS: &str = "5";

/// Makes the result, its page and the picture. `from` may name one result to use instead of measuring.
pub(crate) fn make(from: &[&str]) -> Result<()> {
    let folder = paths::root().join("docs/sample");
    fs::create_dir_all(&folder)?;
    setup::install(&[], &["node", "pages", "chromium"])?;
    let measured = match from {
        [] => measure()?,
        [from] => {
            run(&mut build::isotherm(&["native"]))?;
            PathBuf::from(from)
        }
        _ => bail!("--from names one result"),
    };
    let [result, page, picture] = ["result.json", "report.html", "report.png"].map(|name| folder.join(name));
    if measured.canonicalize().ok() != result.canonicalize().ok() {
        fs::copy(&measured, &result).with_context(|| format!("cannot copy {}", measured.display()))?;
    }
    run(isotherm().arg("report").arg(&result).arg("--out").arg(&page))?;
    let mut browser = program("node");
    run(browser.arg(paths::root().join("dashboard/picture.mjs")).args([&page, &picture]))
}

/// Compares all platforms. Returns the path of the result.
fn measure() -> Result<PathBuf> {
    build::measured(&PLATFORMS)?;
    let out = paths::target().join("sample");
    run(isotherm().args(["compare", "--repeat", RUNS, "--out"]).arg(&out))?;
    Ok(out.join("result.json"))
}

fn isotherm() -> Command {
    let mut isotherm = program(paths::isotherm());
    isotherm.envs(paths::for_isotherm());
    isotherm
}
