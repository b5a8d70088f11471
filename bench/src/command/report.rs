//! `isotherm report`: renders an existing result again.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::BadInput;
use crate::render::text::Style;
use crate::render::{csv, exports, page, text};
use crate::results::Comparison;
use crate::results::file;
use crate::results::sample::{NamedResult, read_or_sample};
use crate::say;

const EXAMPLES: &str = "\
Examples:
  isotherm report
        the sample that comes with isotherm, as report.html
  isotherm report target/compare/TIME/result.json
        writes report.html beside it
  isotherm report result.json --out /tmp/report.html
  isotherm report result.json --format markdown >> pull-request.md
  isotherm report result.json --format csv --out figures.csv
  isotherm report result.json --format bencher | bencher run --adapter json --file -";

/// How a comparison is written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal, 120 characters wide
    #[default]
    Table,
    /// GitHub's Markdown
    Markdown,
    /// result.json, with every sample
    Json,
    /// One line for each figure: value, interval, n, multiple of the floor
    Csv,
    /// Bencher's JSON (--adapter json): values with their intervals
    Bencher,
    /// OpenMetrics text, for Prometheus and what reads its format
    Openmetrics,
}

impl Format {
    /// The comparison as text that ends with a line feed.
    ///
    /// # Errors
    /// Fails if the result can't be written as JSON.
    pub(crate) fn render(self, result: &Comparison) -> Result<String> {
        Ok(match self {
            Self::Table => text::render(result, Style::Terminal),
            Self::Markdown => text::render(result, Style::Markdown),
            Self::Json => file::json(result)?,
            Self::Csv => csv::render(result)?,
            Self::Bencher => exports::bencher(result)?,
            Self::Openmetrics => exports::open_metrics(result),
        })
    }
}

/// The flags of `isotherm report`.
#[derive(Args, Clone, Debug)]
#[command(before_help = EXAMPLES)]
pub struct Report {
    /// A result of `isotherm compare`; without it, the sample that comes with isotherm
    #[arg(value_name = "result.json")]
    result: Option<PathBuf>,
    /// Where to write; without it, the page goes to report.html beside the result, or here for the sample; text to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Text instead of the page
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,
}

/// Renders a result again.
///
/// # Errors
/// Fails if the result can't be read, or if the output can't be written.
pub fn report(flags: &Report) -> Result<ExitCode> {
    let NamedResult { result, .. } = read_or_sample(flags.result.as_deref()).map_err(BadInput)?;
    let beside = || flags.result.clone().unwrap_or_default().with_file_name("report.html");
    let (text, out) = match flags.format {
        None => (page::render(&result)?, Some(flags.out.clone().unwrap_or_else(beside))),
        Some(format) => (format.render(&result)?, flags.out.clone()),
    };
    match out {
        Some(path) => {
            file::write(&path, text.as_bytes())?;
            eprintln!("{}", path.display());
        }
        None => say(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}
