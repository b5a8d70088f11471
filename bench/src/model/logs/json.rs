//! JSON lines with a time: Lambda's JSON logs, CloudWatch's events around text, API Gateway, Cloudflare's Logpush, and
//! anything else that names its time.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::model::logs::entry::{Entry, apache_time, began, is_whole, millis, time};
use crate::model::logs::report;
use crate::model::simulate::time::Micros;

/// Names of the time at which a request began, in the order in which they are looked for.
const BEGAN: [&str; 11] = [
    "EdgeStartTimestamp",
    "EventTimestampMs",
    "requestTimeEpoch",
    "requestTime",
    "@timestamp",
    "timestamp",
    "time",
    "ts",
    "datetime",
    "date",
    "start_time",
];
/// Names of the duration in milliseconds.
const TOOK_MS: [&str; 9] = [
    "WallTimeMs",
    "responseLatency",
    "duration_ms",
    "durationMs",
    "latency_ms",
    "latencyMs",
    "elapsed_ms",
    "response_time_ms",
    "responseTimeMs",
];
const STATUS: [&str; 5] = ["EdgeResponseStatus", "status", "status_code", "statusCode", "http_status"];
const BYTES: [&str; 6] =
    ["EdgeResponseBytes", "ClientRequestBytes", "responseLength", "bytes", "body_bytes_sent", "response_bytes"];

/// The entry of a line; `None` for one of Lambda's lines that is not a report.
pub(super) fn read(line: &str) -> Result<Option<Entry>> {
    let fields: Map<String, Value> = serde_json::from_str(line).context("is no JSON object")?;
    if let Some(Value::String(kind)) = fields.get("type")
        && kind.starts_with("platform.")
    {
        return if kind == "platform.report" { platform_report(&fields).map(Some) } else { Ok(None) };
    }
    // CloudWatch's own events have a text.
    if let Some(Value::String(message)) = fields.get("message")
        && report::is_one(message)
    {
        let Some((_, text)) = message.split_once("REPORT RequestId:") else { return Ok(None) };
        return report::of(began_at(&fields)?, text).map(Some);
    }
    let at = began_at(&fields)?;
    let number = |names: &[&str]| names.iter().find_map(|name| as_number(fields.get(*name)?));
    let duration = number(&TOOK_MS).and_then(millis).or_else(|| edge_duration(&fields, at));
    let bytes: Vec<u64> =
        BYTES.iter().filter_map(|name| as_number(fields.get(*name)?)).map(|bytes| bytes as u64).collect();
    let status = number(&STATUS).filter(|status| (100.0..1000.0).contains(status)).map(|status| status as u16);
    let bytes = bytes.into_iter().reduce(u64::saturating_add);
    Ok(Some(Entry { at, is_whole: is_whole(at), status, duration, bytes, ..Entry::default() }))
}

/// Lambda's report of an invocation, written at its end.
fn platform_report(fields: &Map<String, Value>) -> Result<Entry> {
    let metrics = fields.get("record").and_then(|record| record.get("metrics")).context("has no record.metrics")?;
    let number = |name: &str| metrics.get(name).and_then(as_number);
    let duration = number("durationMs").and_then(millis).context("has no durationMs")?;
    let init = number("initDurationMs").and_then(millis);
    let end = began_at(fields)?;
    Ok(Entry {
        at: began(end, Some(duration + init.unwrap_or_default())),
        is_whole: is_whole(end),
        duration: Some(duration),
        init,
        billed: number("billedDurationMs").and_then(millis),
        memory_mb: number("memorySizeMB").map(|mb| mb as u32),
        ..Entry::default()
    })
}

/// What Logpush has between the start and the end of an answer.
fn edge_duration(fields: &Map<String, Value>, at: i64) -> Option<Micros> {
    let end = instant(fields.get("EdgeEndTimestamp")?).ok()?;
    u64::try_from(end.checked_sub(at)?).ok().map(Micros)
}

fn began_at(fields: &Map<String, Value>) -> Result<i64> {
    let found = BEGAN.iter().find_map(|name| fields.get(*name));
    instant(found.context("has no time, such as \"time\" or \"timestamp\"")?)
}

/// An instant as text, or as a number since 1970 in seconds, milliseconds, microseconds or nanoseconds. Its size tells
/// which: until the year 2286 they do not overlap.
fn instant(value: &Value) -> Result<i64> {
    if let Some(number) = as_number(value) {
        let micros = match number {
            n if !(1e8..1e20).contains(&n) => bail!("{number} is no time since 1970"),
            n if n < 1e11 => n * 1e6,
            n if n < 1e14 => n * 1e3,
            n if n < 1e17 => n,
            n => n / 1e3,
        };
        return Ok(micros.round() as i64);
    }
    let text = value.as_str().context("has a time that is neither text nor a number")?;
    if text.contains('/') { apache_time(text) } else { time(text) }
}

/// A number, or a text that is one, as API Gateway writes it.
fn as_number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    number.filter(|number| number.is_finite())
}
