//! Measures how long each report over the events of the run takes, and how soon a report counts a new event.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::load::Client;
use crate::measure::data::Span;
use crate::measure::progress::Phase;
use crate::measure::role::Role;
use crate::measure::target::Target;
use crate::workload::Reports;

/// Number of rounds that are thrown away: they read the store into memory.
pub(crate) const DISCARDED: usize = 2;
/// If no report counts an event within this time, none is expected to.
const FRESH_WITHIN: Duration = Duration::from_secs(60);
/// Events that were accepted under full load may wait longer to be folded.
pub(crate) const COUNTED_WITHIN: Duration = Duration::from_secs(300);
pub(crate) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Rough time for all platforms together, in seconds.
pub(crate) fn seconds(reports: &Reports, platforms: usize) -> f64 {
    let each = 0.03 * (reports.queries.len() * (reports.samples + DISCARDED)) as f64 + 0.5 * reports.fresh as f64;
    each * platforms as f64
}

/// Asks every platform for each report, one platform after another, in several rounds. Floors and targets for single
/// events have no reports.
pub(crate) async fn measure(
    targets: &mut [Target],
    reports: &Reports,
    span: &Span,
    cold_starts: usize,
    phase: &Phase,
) -> Result<()> {
    let count = targets.iter().filter(|target| target.role == Role::Own).count();
    let range = format!("from={}&to={}", span.from, span.to);
    for target in targets.iter_mut().filter(|target| target.role == Role::Own && span.is_whole) {
        if let Err(error) = all_counted(&target.client, &range, cold_starts as u64).await {
            target.client.error(format!("{error:#}"));
        }
    }
    let rounds = reports.samples + DISCARDED;
    for round in 0..rounds + reports.fresh {
        for target in targets.iter_mut().filter(|target| target.role == Role::Own) {
            let measured = if round < rounds {
                latencies(&target.client, reports, &range, (round >= DISCARDED).then_some(&mut target.reports)).await
            } else {
                fresh(&target.client, &format!("fresh-{}", round - rounds))
                    .await
                    .map(|seconds| target.fresh.push(1000.0 * seconds))
            };
            if let Err(error) = measured {
                target.client.error(format!("{error:#}"));
                target.bearable()?;
            }
        }
        let done = (round + 1) as f64 / (rounds + reports.fresh) as f64;
        phase.progress(done, seconds(reports, count) * (1.0 - done));
    }
    Ok(())
}

/// Latencies of reports in milliseconds, by name.
pub(crate) type Latencies = BTreeMap<String, Vec<f64>>;

/// Asks for each report once.
pub(crate) async fn latencies(
    client: &Client,
    reports: &Reports,
    range: &str,
    mut kept: Option<&mut Latencies>,
) -> Result<()> {
    for (name, query) in &reports.queries {
        let started = Instant::now();
        let answer = client.exchange(&format!("/reports/{query}&{range}"), Bytes::new()).await;
        let answer = answer.with_context(|| format!("report {name}"))?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "report {name} is answered {} {text}", answer.status);
        if let Some(kept) = &mut kept {
            let latency = answer.at.duration_since(started).as_secs_f64();
            kept.entry(name.clone()).or_default().push(1000.0 * latency);
        }
    }
    Ok(())
}

/// Waits until a report counts every accepted event. Events of cold starts may have gone to other stores.
async fn all_counted(client: &Client, range: &str, cold_starts: u64) -> Result<()> {
    let accepted = client.tally().accepted;
    let deadline = Instant::now() + COUNTED_WITHIN;
    loop {
        let counted = count(client, range).await?.0;
        ensure!(counted <= accepted + cold_starts, "{counted} events are counted, but {accepted} were accepted");
        if counted >= accepted {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{counted} events are counted, but {accepted} were accepted");
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// The number of events that a summary counts, and the time when the answer arrived.
pub(crate) async fn count(client: &Client, query: &str) -> Result<(u64, Instant)> {
    let answer = client.exchange(&format!("/reports/summary?{query}"), Bytes::new()).await?;
    ensure!(answer.status == 200, "a report is answered {}", answer.status);
    let summary: Value = serde_json::from_slice(&answer.body).context("a report is not JSON")?;
    let counted = summary["rows"][0]["count"].as_u64().context("a report has no count")?;
    Ok((counted, answer.at))
}

/// Seconds from the answer 202 until a report counts the event. The event's type must be new to the store.
pub(crate) async fn fresh(client: &Client, event_type: &str) -> Result<f64> {
    let event = json!({"userId": "u", "eventType": event_type, "properties": {}}).to_string();
    let accepted = client.exchange("/events", Bytes::from(event)).await?;
    ensure!(accepted.status == 202, "a new event is answered {}", accepted.status);
    loop {
        let (counted, at) = count(client, &format!("eventType={event_type}")).await?;
        let waited = at.duration_since(accepted.at);
        match counted {
            1 => return Ok(waited.as_secs_f64()),
            0 if waited < FRESH_WITHIN => {}
            _ => bail!("a report counts {counted} of one event after {:.1} s", waited.as_secs_f64()),
        }
    }
}
