//! Access logs of an Application Load Balancer.
//! Source: <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html>

use anyhow::{Context, Result, ensure};

use crate::model::logs::entry::{Entry, began, is_whole, seconds, time};

/// The types of requests that a line begins with.
const TYPES: [&str; 6] = ["http", "https", "h2", "grpcs", "ws", "wss"];

/// The entry of a line.
pub(super) fn read(line: &str) -> Result<Entry> {
    let fields: Vec<&str> = line.split(' ').take(12).collect();
    let field = |nth: usize| fields.get(nth).copied().context("has fewer fields than an ALB's line");
    ensure!(TYPES.contains(&field(0)?), "does not begin with a type of an ALB, such as https");
    // A time of -1 says that the load balancer did not get so far.
    let parts = [field(5)?, field(6)?, field(7)?].map(seconds);
    let duration = parts.into_iter().flatten().reduce(|one, two| one + two);
    let bytes = |nth| field(nth)?.parse::<u64>().context("has no number of bytes");
    let end = time(field(1)?)?;
    Ok(Entry {
        at: began(end, duration),
        is_whole: is_whole(end),
        status: field(8)?.parse().ok(),
        duration,
        bytes: Some(bytes(10)?.saturating_add(bytes(11)?)),
        ..Entry::default()
    })
}
