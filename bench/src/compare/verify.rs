//! Afterwards: is everything there that was accepted?
//!
//! Every event is sent once more, and each must be known already; some are looked up, and must be what was sent.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Deserialize;
use serde_json::Value;

use crate::compare::progress::Phase;
use crate::compare::target::Target;
use crate::load::{Events, batch};

/// Events that are looked up in each platform.
const LOOK_UPS: usize = 100;

/// The contract's limit for a batch.
const BATCH: usize = 500;

#[derive(Deserialize)]
struct Batch {
    results: Vec<EventResult>,
}

#[derive(Deserialize)]
struct EventResult {
    index: usize,
    status: String,
}

/// Checks every platform; floors keep nothing.
pub(super) async fn check(targets: &mut [Target], events: &Events, seed: u64, phase: &Phase) -> Result<()> {
    let platforms = targets.iter().filter(|target| !target.is_floor).count();
    for (place, target) in targets.iter_mut().filter(|target| !target.is_floor).enumerate() {
        let name = target.name();
        let tally = target.client.tally();
        let taken = tally.accepted + tally.duplicates;
        if taken != tally.sent {
            target.client.error(format!("{} events were sent, but {taken} accepted or known", tally.sent));
        }
        let progress = |done: f64| phase.progress((place as f64 + done) / platforms as f64, f64::NAN);
        // Without messageIds a repetition is a new event: then look-ups must do.
        if (0..events.len()).all(|index| events.is_identified(index)) {
            send_again(target, events, &progress).await.with_context(|| name.clone())?;
        }
        look_up(target, events, seed).await.with_context(|| name.clone())?;
    }
    Ok(())
}

async fn send_again(target: &mut Target, events: &Events, progress: &impl Fn(f64)) -> Result<()> {
    let mut first = 0;
    while first < events.len() {
        let (body, count) = batch(events, first as u64, BATCH.min(events.len() - first));
        let answer = target.client.exchange("/events/batch", body).await?;
        ensure!(answer.status == 200, "a batch sent again was answered {}", answer.status);
        let batch: Batch = serde_json::from_slice(&answer.body).context("the answer to a batch")?;
        ensure!(batch.results.len() == count, "{} results for {count} events", batch.results.len());
        for result in batch.results {
            if result.status == "duplicate" {
                target.verified += 1;
            } else {
                let line = events.line_number((first + result.index).min(events.len() - 1));
                target
                    .client
                    .error(format!("line {line} was accepted, but is lost: sent again, it is {}", result.status));
            }
        }
        target.bearable()?;
        first += count;
        progress(first as f64 / events.len() as f64);
    }
    Ok(())
}

async fn look_up(target: &mut Target, events: &Events, seed: u64) -> Result<()> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    for _ in 0..LOOK_UPS.min(events.len()) {
        let index = rng.random_range(0..events.len());
        let line = events.line_number(index);
        let Some(id) = target.client.id_of(index as u64) else {
            target.client.error(format!("line {line}: no id is known for it"));
            continue;
        };
        let answer = target.client.exchange(&format!("/events/{id}"), Bytes::new()).await?;
        let sent: Value = serde_json::from_slice(events.line(index)).context("an event of the data")?;
        let found = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let same = ["userId", "eventType", "properties"].iter().all(|field| sent.get(field) == found.get(field));
        if answer.status == 200 && same {
            target.looked_up += 1;
        } else {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            target.client.error(format!("line {line}: {id} was answered {} {text}", answer.status));
            target.bearable()?;
        }
    }
    Ok(())
}
