//! CloudFront's standard logs: columns between tabs, which the head of each file names.
//! Source: <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html>

use anyhow::{Context, Result};

use crate::model::logs::entry::{Entry, began, is_whole, seconds, time};

/// The names of the columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Columns(Vec<String>);

/// The entry of a line; `None` for a line of the head, which may name other columns.
pub(super) fn read(line: &str, columns: &mut Columns) -> Result<Option<Entry>> {
    if let Some(head) = line.strip_prefix('#') {
        if let Some(names) = head.strip_prefix("Fields:") {
            columns.0 = names.split_whitespace().map(str::to_owned).collect();
        }
        return Ok(None);
    }
    let fields: Vec<&str> = line.split('\t').collect();
    let field = |name: &str| {
        let place = columns.0.iter().position(|column| column == name)?;
        fields.get(place).copied().filter(|field| *field != "-")
    };
    let (date, clock) = (field("date").context("has no date")?, field("time").context("has no time")?);
    let duration = field("time-taken").and_then(seconds);
    let bytes = ["sc-bytes", "cs-bytes"].map(|name| field(name)?.parse::<u64>().ok());
    let end = time(&format!("{date}T{clock}Z"))?;
    Ok(Some(Entry {
        at: began(end, duration),
        is_whole: is_whole(end),
        status: field("sc-status").and_then(|status| status.parse().ok()),
        duration,
        bytes: bytes.into_iter().flatten().reduce(u64::saturating_add),
        ..Entry::default()
    }))
}
