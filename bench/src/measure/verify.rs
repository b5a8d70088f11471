//! Checks at the end that every accepted event is there. It looks up every event of the data and compares it with what
//! was sent.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::load::{Client, Events};
use crate::measure::progress::Phase;
use crate::measure::role::Role;
use crate::measure::target::Target;

/// Checks every platform. Floors keep nothing. For targets that get single events, the meters already show that all
/// accepted events are stored.
pub(crate) async fn check(targets: &mut [Target], events: &Events, connections: usize, phase: &Phase) -> Result<()> {
    for target in targets.iter().filter(|target| target.keeps_events()) {
        let tally = target.client.tally();
        let taken = tally.accepted + tally.duplicates;
        if taken != tally.sent {
            target.client.error(format!("{} events were sent, but {taken} accepted or known", tally.sent));
        }
    }
    let platforms = targets.iter().filter(|target| target.role == Role::Own).count();
    for (place, target) in targets.iter_mut().filter(|target| target.role == Role::Own).enumerate() {
        let progress = |done: usize| {
            phase.progress((place as f64 + done as f64 / events.len() as f64) / platforms as f64, f64::NAN);
        };
        target.verified =
            look_up_all(&target.client, events, connections, progress).await.with_context(|| target.name())?;
    }
    Ok(())
}

/// Looks up every event. Returns how many are there as they were sent; the others are errors of the client.
pub(crate) async fn look_up_all(
    client: &Client,
    events: &Events,
    connections: usize,
    progress: impl Fn(usize),
) -> Result<u64> {
    let mut look_ups =
        stream::iter(0..events.len()).map(|index| look_up(client, events, index)).buffer_unordered(connections);
    let (mut verified, mut done) = (0, 0);
    while let Some(looked_up) = look_ups.next().await {
        match looked_up {
            Ok(()) => verified += 1,
            Err(error) => {
                client.error(format!("{error:#}"));
                client.bearable()?;
            }
        }
        done += 1;
        progress(done);
    }
    Ok(verified)
}

/// Looks up the event at `index` by the id under which it was first accepted.
async fn look_up(client: &Client, events: &Events, index: usize) -> Result<()> {
    let line = events.line_number(index);
    let Some(id) = client.first_id_of(index) else { bail!("line {line} was never taken") };
    let looking = || format!("line {line} was taken as {id}");
    let answer = client.exchange(&format!("/events/{id}"), Bytes::new()).await.with_context(looking)?;
    let text = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status == 200, "{}, but is answered {} {text}", looking(), answer.status);
    let mut sent = Vec::new();
    events.write(index as u64, &mut sent);
    let sent: Value = serde_json::from_slice(&sent).with_context(looking)?;
    let found: Value = serde_json::from_slice(&answer.body).with_context(looking)?;
    let is_same =
        ["messageId", "userId", "eventType", "properties"].iter().all(|name| sent.get(name) == found.get(name));
    ensure!(is_same, "{}, but is now {text}", looking());
    Ok(())
}
