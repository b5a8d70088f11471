//! Open loop: requests leave on a schedule that does not depend on the answers.
//!
//! Latency counts from the time when a request was due. So a target that stalls is charged for every request that came
//! due meanwhile, and not only for the one it held up. This avoids coordinated omission.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::load::{Client, Sample, Step, Timer};

/// Sends each step when it is due, `schedule` seconds from now, and returns after all answers.
pub async fn open(client: &Client, timer: &Timer, schedule: &[f64], steps: &[Step]) -> Result<Vec<Sample>> {
    let mut samples = Vec::with_capacity(steps.len());
    let mut under_way = FuturesUnordered::new();
    // A short delay, so that the first request is not late already.
    let start = Instant::now() + Duration::from_millis(2);
    for (at, step) in schedule.iter().zip(steps) {
        let due = start + Duration::from_secs_f64(*at);
        loop {
            tokio::select! {
                biased;
                waited = timer.until(due) => {
                    waited?;
                    break;
                }
                Some(sample) = under_way.next() => samples.extend(sample),
            }
        }
        under_way.push(client.perform(step, due));
        // Starts the request now instead of at the loop's next wait, and takes an answer that has already arrived.
        if let Some(Some(sample)) = futures_util::FutureExt::now_or_never(under_way.next()) {
            samples.extend(sample);
        }
    }
    while let Some(sample) = under_way.next().await {
        samples.extend(sample);
    }
    Ok(samples)
}
