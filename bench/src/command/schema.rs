//! `isotherm schema`: the JSON Schema of what a command writes.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use schemars::{Schema, schema_for};

use crate::command::moving::{Restored, Switched, Verified};
use crate::figures::differences::Differences;
use crate::model::cost::leave::Leave;
use crate::model::cost::quote::Quote;
use crate::model::decide::Decision;
use crate::model::simulate::report::Report;
use crate::results::Comparison;
use crate::say;

/// The flags of `isotherm schema`.
#[derive(Args, Clone, Debug)]
#[command(before_help = "Examples:
  isotherm schema compare > compare.schema.json    of result.json
  isotherm schema diff                             of `isotherm diff --json`")]
pub struct Flags {
    /// The command that writes it
    #[arg(value_name = "COMMAND", value_enum)]
    of: Written,
}

/// What is written as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Written {
    /// A result: result.json
    Compare,
    /// A quote
    Cost,
    /// What a cutover did
    Cutover,
    /// A decision
    Decide,
    /// What changed between two results
    Diff,
    /// What leaving costs: `cost --leave`
    Leave,
    /// What a restore did
    Restore,
    /// A simulation
    Simulate,
    /// What a deployment and its backup differ in
    Verify,
}

/// Prints a schema, which is derived from the types that are written.
///
/// # Errors
/// Fails if standard output can't be written.
pub fn schema(flags: &Flags) -> Result<ExitCode> {
    say(&format!("{}\n", serde_json::to_string_pretty(&of(flags.of))?))?;
    Ok(ExitCode::SUCCESS)
}

/// The schema of what a command writes.
pub(crate) fn of(written: Written) -> Schema {
    match written {
        Written::Compare => schema_for!(Comparison),
        Written::Cost => schema_for!(Quote),
        Written::Cutover => schema_for!(Switched),
        Written::Decide => schema_for!(Decision),
        Written::Diff => schema_for!(Differences),
        Written::Leave => schema_for!(Leave),
        Written::Restore => schema_for!(Restored),
        Written::Simulate => schema_for!(Report),
        Written::Verify => schema_for!(Verified),
    }
}
