//! OpenTelemetry traces as JSON, an export a line, as the collector's file exporter writes them. The requests are the
//! spans of servers.
//! Source: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

use anyhow::{Context, Result};
use serde_json::Value;

use crate::model::logs::entry::{Entry, is_whole};
use crate::model::simulate::time::Micros;

/// The names of the status, the present one first.
const STATUS: [&str; 2] = ["http.response.status_code", "http.status_code"];

/// The entries of a line, which may have many.
pub(super) fn read(line: &str) -> Result<Vec<Entry>> {
    let export: Value = serde_json::from_str(line).context("is no JSON")?;
    let resources = list(&export, "resourceSpans");
    let spans = resources.flat_map(|resource| list(resource, "scopeSpans")).flat_map(|scope| list(scope, "spans"));
    spans.filter(|span| is_server(span)).map(entry).collect()
}

fn list<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn is_server(span: &Value) -> bool {
    span.get("kind").is_some_and(|kind| kind.as_u64() == Some(2) || kind.as_str() == Some("SPAN_KIND_SERVER"))
}

fn entry(span: &Value) -> Result<Entry> {
    // 64-bit numbers are texts in this encoding.
    let nanos = |name: &str| {
        let value = span.get(name).with_context(|| format!("a span has no {name}"))?;
        let nanos = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        nanos.with_context(|| format!("{name} of a span is no time"))
    };
    let (start, end) = (nanos("startTimeUnixNano")?, nanos("endTimeUnixNano")?);
    let at = i64::try_from(start / 1000).context("a span starts too late")?;
    Ok(Entry {
        at,
        is_whole: is_whole(at),
        status: status(span),
        duration: Some(Micros(end.saturating_sub(start) / 1000)),
        ..Entry::default()
    })
}

fn status(span: &Value) -> Option<u16> {
    let named =
        |attribute: &&Value| attribute.get("key").and_then(Value::as_str).is_some_and(|key| STATUS.contains(&key));
    let value = list(span, "attributes").find(named)?.get("value")?.get("intValue")?;
    value.as_u64().and_then(|status| u16::try_from(status).ok()).or_else(|| value.as_str()?.parse().ok())
}
