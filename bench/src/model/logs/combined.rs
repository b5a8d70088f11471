//! The Common Log Format and what is like it: nginx, Apache, and API Gateway's text. A number behind the line's last
//! quotation mark is the time that the request took, in seconds, as nginx's `$request_time` has it.

use anyhow::{Context, Result};

use crate::model::logs::entry::{Entry, apache_time, is_whole, seconds};

/// The entry of a line.
pub(super) fn read(line: &str) -> Result<Entry> {
    let (_, rest) = line.split_once('[').context("has no time in brackets")?;
    let (time, rest) = rest.split_once(']').context("has no time in brackets")?;
    let (_, rest) = rest.split_once('"').context("has no request in quotation marks")?;
    let rest = after_quoted(rest).context("has no end of its request")?;
    let mut words = rest.split_whitespace();
    let status =
        words.next().and_then(|status| status.parse::<u16>().ok()).filter(|status| (100..1000).contains(status));
    let status = status.context("has no status behind its request")?;
    let bytes = words.next().and_then(|bytes| bytes.parse().ok());
    let last = line.rsplit('"').next().unwrap_or_default();
    // Without other quotation marks the last word is the number of bytes, or API Gateway's id.
    let duration = if rest.contains('"') { last.split_whitespace().next().and_then(seconds) } else { None };
    let at = apache_time(time)?;
    Ok(Entry { at, is_whole: is_whole(at), status: Some(status), duration, bytes, ..Entry::default() })
}

/// What follows a text whose quotation marks may be escaped.
fn after_quoted(text: &str) -> Option<&str> {
    let mut is_escaped = false;
    for (at, sign) in text.char_indices() {
        match sign {
            '"' if !is_escaped => return text.get(at + 1..),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    None
}
