//! Lambda's REPORT lines as text, as CloudWatch exports and tails them: behind a time, and perhaps a stream's name.

use anyhow::{Context, Result};

use crate::model::logs::entry::{Entry, began, is_whole, millis, time};

/// Lines that Lambda writes about an invocation beside its REPORT.
const OTHERS: [&str; 4] = ["INIT_START", "START RequestId:", "END RequestId:", "XRAY TraceId:"];

/// Whether this is a line of such a log.
pub(super) fn is_one(line: &str) -> bool {
    line.contains("REPORT RequestId:") || OTHERS.iter().any(|other| line.contains(other))
}

/// The entry of a REPORT line; `None` for another line.
pub(super) fn read(line: &str) -> Result<Option<Entry>> {
    let Some((before, report)) = line.split_once("REPORT RequestId:") else { return Ok(None) };
    let end = before.split_whitespace().next().context("has no time before REPORT: export the log with its times")?;
    Ok(Some(of(time(end)?, report)?))
}

/// The entry of a report that was written at `end`.
pub(super) fn of(end: i64, report: &str) -> Result<Entry> {
    let field = |name: &str| {
        // A name is the end of another's: "Duration" of "Billed Duration" and "Init Duration".
        let mut fields = report.split('\t').map(str::trim);
        let value = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix(": "))?;
        value.split(' ').next()?.parse::<f64>().ok()
    };
    let duration = field("Duration").and_then(millis).context("has no Duration")?;
    let init = field("Init Duration").and_then(millis);
    Ok(Entry {
        at: began(end, Some(duration + init.unwrap_or_default())),
        is_whole: is_whole(end),
        duration: Some(duration),
        init,
        billed: field("Billed Duration").and_then(millis),
        memory_mb: field("Memory Size").map(|mb| mb as u32),
        ..Entry::default()
    })
}
