//! Warm latency in an open loop. Every target has the same schedule, in short turns, in a new order each round.

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use crate::load::{Step, Timer, open};
use crate::measure::progress::Phase;
use crate::measure::target::Target;
use crate::measure::turns::{Turns, order};
use crate::workload::Warm;

/// Number of connections that are open before a turn begins. Late answers cause more to be opened.
pub(crate) const CONNECTIONS: usize = 8;

/// Number of turns for each target. The first one only warms it up.
pub(crate) fn turns(warm: &Warm) -> usize {
    1 + (warm.seconds / warm.slice_seconds).ceil() as usize
}

/// Time of this phase, in seconds.
pub(crate) fn seconds(warm: &Warm, targets: usize) -> f64 {
    turns(warm) as f64 * warm.slice_seconds * targets as f64
}

/// Gives every target its turns.
pub(crate) async fn measure(targets: &mut [Target], warm: &Warm, seed: u64, phase: &Phase) -> Result<()> {
    let timer = Timer::new()?;
    let (rounds, count) = (turns(warm), targets.len());
    let turns = Turns::of(targets);
    for turn in 0..rounds {
        // Each turn has a generator of its own, so that all targets get the same arrivals.
        let mut rng = Pcg64Mcg::seed_from_u64(seed.wrapping_add(turn as u64));
        let schedule = warm.arrival.schedule(warm.rate, warm.slice_seconds, &mut rng);
        for (nth, place) in order(count, seed, turn).into_iter().enumerate() {
            turns.give(place);
            let target = &mut targets[place];
            let mix = target.mix(&warm.mix);
            let steps: Vec<Step> = schedule.iter().map(|_| target.client.step(mix, &warm.batch_sizes)).collect();
            target.client.connect(CONNECTIONS).await.with_context(|| target.name())?;
            let samples = open(&target.client, &timer, &schedule, &steps).await.with_context(|| target.name())?;
            target.client.disconnect();
            target.bearable()?;
            if turn > 0 {
                target.warm.extend(samples);
            }
            let done = (turn * count + nth + 1) as f64 / (rounds * count) as f64;
            phase.progress(done, seconds(warm, count) * (1.0 - done));
        }
    }
    Ok(())
}
