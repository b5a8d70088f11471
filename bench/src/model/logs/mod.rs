//! Access logs and traces become arrivals. A log's format is found by looking at its lines.
//!
//! Each format has a file with one function from a line to what is kept: times, a status, a duration, sizes. Nothing else
//! of a line is kept: no address, no path, no name.

mod alb;
mod cloudfront;
mod combined;
pub(crate) mod entry;
mod json;
pub(crate) mod observed;
mod otlp;
mod report;

use anyhow::{Context, Result, ensure};

use crate::model::logs::cloudfront::Columns;
use crate::model::logs::entry::Entry;
use crate::model::simulate::input::Lines;
use crate::words::amount;

/// Lines that are looked at to find the format.
const LOOKED_AT: u64 = 100;
/// The bad lines that are shown.
const SHOWN: usize = 3;

/// A format of logs.
#[derive(Clone, Debug, PartialEq)]
enum Format {
    /// Lambda's REPORT lines in CloudWatch, as text.
    Report,
    Alb,
    /// With the columns that the file's head names.
    CloudFront(Columns),
    /// nginx, Apache, and API Gateway's text.
    Combined,
    /// NDJSON: Lambda's JSON lines, API Gateway, Logpush, or anything with a time.
    Json,
    Otlp,
}

impl Format {
    /// The entries of a line; none if the line is not about a request.
    fn read(&mut self, line: &str) -> Result<Vec<Entry>> {
        match self {
            Self::Report => Ok(report::read(line)?.into_iter().collect()),
            Self::Alb => Ok(vec![alb::read(line)?]),
            Self::CloudFront(columns) => Ok(cloudfront::read(line, columns)?.into_iter().collect()),
            Self::Combined => Ok(vec![combined::read(line)?]),
            Self::Json => Ok(json::read(line)?.into_iter().collect()),
            Self::Otlp => otlp::read(line),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Report => "Lambda's REPORT lines",
            Self::Alb => "ALB's access log",
            Self::CloudFront(_) => "CloudFront's log",
            Self::Combined => "an access log of nginx, Apache or API Gateway",
            Self::Json => "JSON lines with a time",
            Self::Otlp => "OpenTelemetry traces",
        }
    }

    /// The format of which this is a line; `None` if the line does not tell.
    fn of(line: &str) -> Option<Self> {
        if line.starts_with("#Version:") || line.starts_with("#Fields:") {
            return Some(Self::CloudFront(Columns::default()));
        }
        if line.trim_start().starts_with('{') {
            return Some(if line.contains("\"resourceSpans\"") { Self::Otlp } else { Self::Json });
        }
        if report::is_one(line) {
            return Some(Self::Report);
        }
        [Self::Alb, Self::Combined].into_iter().find(|format| format.clone().read(line).is_ok())
    }
}

/// A log in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Log {
    pub entries: Vec<Entry>,
    /// What a reader has to know: the format, and the lines that could not be read.
    pub notes: Vec<String>,
    /// True if all times in it are whole seconds, and at least two differ.
    pub is_in_seconds: bool,
}

/// Reads a log, whatever the order of its lines.
///
/// # Errors
/// Fails if its format is none of those that are known, if more than half of its lines can't be read, or if it has no
/// request.
pub(crate) fn read(mut lines: Lines) -> Result<Log> {
    let mut format: Option<Format> = None;
    let mut entries = Vec::new();
    let (mut good, mut bad, mut shown) = (0_u64, 0_u64, Vec::new());
    while let Some(line) = lines.next_or_bad()? {
        if line.as_ref().is_ok_and(|line| line.trim().is_empty()) {
            continue;
        }
        let read = line.and_then(|line| {
            if format.is_none() {
                format = Format::of(line);
            }
            format.as_mut().context("is of no log that is known")?.read(line)
        });
        match read {
            Ok(read) => {
                good += 1;
                entries.extend(read);
            }
            Err(error) => {
                bad += 1;
                if shown.len() < SHOWN {
                    shown.push(format!("{}: {error:#}", lines.place()));
                }
            }
        }
        ensure!(
            format.is_some() || bad < LOOKED_AT,
            "{}: none of the first {LOOKED_AT} lines is of a log that is known, such as CloudWatch's REPORT lines, access logs of \
             API Gateway, ALB, CloudFront, nginx or Apache, Logpush, OTLP traces, or JSON lines with a time",
            lines.name()
        );
    }
    ensure!(bad <= good, "{} of {} lines of {} can't be read: {}", bad, bad + good, lines.name(), shown.join("; "));
    ensure!(!entries.is_empty(), "{} has no request", lines.name());
    entries.sort_by_key(|entry: &Entry| entry.at);
    let are_apart = entries.first().map(|entry| entry.at) != entries.last().map(|entry| entry.at);
    let is_in_seconds = are_apart && entries.iter().all(|entry| entry.is_whole);
    let name = format.map_or("", |format| format.name());
    let mut notes = vec![format!("{}: {name}, {} requests", lines.name(), amount(entries.len() as f64))];
    if bad > 0 {
        notes.push(format!("{} lines can't be read and are left out: {}", amount(bad as f64), shown.join("; ")));
    }
    Ok(Log { entries, notes, is_in_seconds })
}

#[cfg(test)]
mod tests;
