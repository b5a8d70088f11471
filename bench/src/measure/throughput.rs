//! Throughput in a closed loop, and its CPU time. Targets take turns, in a new order each
//! round, until each has had its time and every event once.

use anyhow::{Context, Result};

use crate::load::closed;
use crate::measure::progress::Phase;
use crate::measure::role::Role;
use crate::measure::target::Target;
use crate::measure::turns::{Turns, order};
use crate::workload::Throughput;

/// The least time of this phase, in seconds.
pub(crate) fn seconds(throughput: &Throughput, targets: usize) -> f64 {
    throughput.seconds * targets as f64
}

/// Gives every target its turns.
pub(crate) async fn measure(
    targets: &mut [Target],
    throughput: &Throughput,
    events: usize,
    seed: u64,
    phase: &Phase,
) -> Result<()> {
    for target in targets.iter_mut() {
        target.cpu_before_loop = target.remote.usage().await.with_context(|| target.name())?.cpu;
    }
    let turns = Turns::of(targets);
    let mut rounds: u32 = 0;
    loop {
        let mut left = 0.0;
        for place in order(targets.len(), seed, rounds as usize) {
            turns.give(place);
            let target = &mut targets[place];
            if seconds_left(target, throughput, events) > 0.0 {
                turn(target, throughput).await.with_context(|| target.name())?;
                target.bearable()?;
            }
            left += seconds_left(target, throughput, events);
        }
        rounds += 1;
        let passed = f64::from(rounds) * throughput.slice_seconds * targets.len() as f64;
        phase.progress(passed / (passed + left), left);
        if left == 0.0 {
            return Ok(());
        }
    }
}

async fn turn(target: &mut Target, throughput: &Throughput) -> Result<()> {
    let Throughput { connections, mix, batch_sizes, slice_seconds, .. } = throughput;
    target.client.connect(*connections).await?;
    let before = target.remote.usage().await?;
    let slice = closed(&target.client, *connections, target.mix(mix), batch_sizes, *slice_seconds).await;
    target.usage = target.remote.usage().await?;
    target.client.disconnect();
    target.slices.push((slice, target.usage.cpu.saturating_sub(before.cpu).as_secs_f64()));
    Ok(())
}

/// Seconds until the target has had its time and all events; 0 if it is done.
fn seconds_left(target: &Target, throughput: &Throughput, events: usize) -> f64 {
    let passed: f64 = target.slices.iter().map(|(slice, _)| slice.seconds).sum();
    let time = (throughput.seconds - passed).max(0.0);
    // Only events that are looked up later have to be complete in the store.
    if target.role != Role::Own || target.client.is_through() {
        return time;
    }
    let taken: u64 = target.slices.iter().map(|(slice, _)| slice.events).sum();
    let missing = (events as u64).saturating_sub(target.client.sent()) as f64;
    // Before the first turn the speed is unknown, so the planned time is taken.
    let needed = if taken > 0 { missing * passed / taken as f64 } else { throughput.seconds };
    time.max(needed).max(f64::MIN_POSITIVE)
}
