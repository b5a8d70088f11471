//! `isotherm diff`: compares two results and tells changes from noise.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::BadInput;
use crate::figures::changes::changes;
use crate::figures::differences::Differences;
use crate::figures::rule::Rule;
use crate::render::diff::text;
use crate::results::Comparison;
use crate::results::file::read;
use crate::say;

/// The flags of `isotherm diff`.
#[derive(Args, Clone, Debug)]
#[command(
    before_help = "Examples:
  isotherm diff before/result.json after/result.json
  isotherm diff main.json mine.json --all                          ties too, with their intervals
  isotherm diff main.json mine.json --fail-if 'any>10%' --fail-if 'lambda.cold_init_p50>5%'",
    after_help = "What changed is beyond what its platform's floor, the same hello function in both, moved by, beyond 5 %, and beyond chance: of the
figures that are called changed, one in twenty at most is expected not to be. That holds for results of several runs (`compare --repeat 5`): a
single run does not show what differs from run to run. `seen from` is the smallest change that such results show with a chance of 80 %.

Exit codes: 0 nothing that --fail-if names became worse, 1 something did, 2 a file or rule can't be used."
)]
pub struct Diff {
    /// The earlier result.json of `isotherm compare`
    before: PathBuf,
    /// The later one
    after: PathBuf,
    /// Exit with 1 if this figure became worse by more, beyond noise: FIGURE>PERCENT or PLATFORM.FIGURE>PERCENT, where FIGURE may
    /// be `any`; may be given again
    #[arg(long, value_name = "RULE")]
    fail_if: Vec<Rule>,
    /// Ties too, not only what changed
    #[arg(long)]
    all: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Compares two results.
///
/// # Errors
/// Fails if one of them can't be read.
pub fn diff(flags: &Diff) -> Result<ExitCode> {
    let compared = read(&flags.before).and_then(|before| {
        Differences::of([&flags.before, &flags.after], [&before, &read(&flags.after)?], &flags.fail_if)
    });
    let differences = compared.map_err(BadInput)?;
    if flags.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&differences)?))?;
    } else {
        say(&text(&differences, flags.all))?;
    }
    Ok(if differences.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints on standard error what changed since an earlier result, and returns whether a figure that a rule names became
/// worse.
pub(crate) fn against(before: &Path, was: &Comparison, after: &Path, is: &Comparison, rules: &[Rule]) -> bool {
    match Differences::of([before, after], [was, is], rules) {
        Ok(differences) => {
            eprint!("\n{}", text(&differences, false));
            !differences.failed.is_empty()
        }
        Err(error) => {
            eprintln!("isotherm: {error:#}");
            true
        }
    }
}

/// Checks that the rules can be applied to results like this one.
///
/// # Errors
/// Fails if a rule names a figure that the result does not have.
pub(crate) fn check(result: &Comparison, rules: &[Rule]) -> Result<()> {
    let changes = changes(result, result);
    rules.iter().try_for_each(|rule| rule.check(&changes))
}
