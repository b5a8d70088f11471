//! The sample: a committed result, for commands that are not given one.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::results::Comparison;
use crate::results::file;

/// `cargo xtask sample` makes it. It is part of the program, so that a program without a clone has it.
const SAMPLE: &str = include_str!("../../../docs/sample/result.json");

/// A result, and what it is called in messages and as a source of figures.
pub(crate) struct NamedResult {
    pub result: Comparison,
    pub name: String,
}

/// Reads a result. If none is named, it is the sample, and standard error says so.
///
/// # Errors
/// Fails if the file can't be read or is not a result of this version.
pub(crate) fn read_or_sample(path: Option<&Path>) -> Result<NamedResult> {
    if let Some(path) = path {
        return Ok(NamedResult { result: file::read(path)?, name: path.display().to_string() });
    }
    let result = file::parse(SAMPLE).context("the sample")?;
    let name = name(&result);
    eprintln!("isotherm: no result is named, so these are the figures of {name}");
    Ok(NamedResult { result, name })
}

/// The sample with its day, machine and number of runs.
fn name(result: &Comparison) -> String {
    let machine = &result.machine;
    let day = machine.time.split('T').next().unwrap_or_default();
    let runs = match (result.runs(), result.workload.is_quick) {
        (1, true) => "one quick run".to_owned(),
        (1, false) => "one run".to_owned(),
        (runs, _) => format!("{runs} runs"),
    };
    format!("the sample of {day}: {runs} on {} with {} cores", machine.cpu, machine.cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_every_platform_and_says_whose_figures_it_holds() {
        let NamedResult { result, name } = read_or_sample(None).unwrap();
        assert_eq!(result.platforms.len(), isotherm_hosts::Platform::ALL.len());
        assert!(result.baseline.is_some() && result.cost.is_some() && !result.cold_share.is_empty());
        let day: jiff::civil::Date = name["the sample of ".len()..][..10].parse().unwrap();
        assert!(result.machine.time.starts_with(&day.to_string()), "{name}");
        assert!(name.contains(&result.machine.cpu) && name.contains("run"), "{name}");
    }
}
