//! Cold starts: from the moment when the artifact is there but no instance is, to the first byte of the first answer.
//!
//! The host forces each cold start in the way of its platform. Each target gives one sample in turn, in a new order
//! each round.

use std::time::Instant;

use anyhow::{Context, Result};
use isotherm_hosts::ColdRequest;

use crate::load::{AUTHORIZED, Events};
use crate::measure::progress::Phase;
use crate::measure::target::Target;
use crate::measure::turns::{Turns, order};

/// Number of samples that are thrown away: the first ones read the artifact from the disk.
pub(crate) const DISCARDED: usize = 2;

/// Takes `samples` samples of each target.
pub(crate) async fn measure(
    targets: &mut [Target],
    events: &Events,
    samples: usize,
    seed: u64,
    phase: &Phase,
) -> Result<()> {
    let turns = Turns::of(targets);
    let start = Instant::now();
    let rounds = samples + DISCARDED;
    for nth in 0..rounds {
        let request = ColdRequest {
            method: "POST".to_owned(),
            path: "/events".to_owned(),
            headers: [("content-type", "application/json"), ("authorization", AUTHORIZED)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            body: events.cold(nth % events.len(), nth),
        };
        for place in order(targets.len(), seed, nth) {
            turns.give(place);
            let target = &mut targets[place];
            let expected = if target.keeps_events() { 202 } else { 200 };
            let sample =
                target.remote.cold(&request).await.with_context(|| format!("{}: cold start", target.name()))?;
            if sample.status != expected {
                target.client.error(format!("cold start {nth}: answered {}, not {expected}", sample.status));
                target.bearable()?;
            }
            if nth >= DISCARDED {
                target.cold.push((1000.0 * sample.init.as_secs_f64(), 1000.0 * sample.first_response.as_secs_f64()));
            }
        }
        let done = (nth + 1) as f64 / rounds as f64;
        phase.progress(done, start.elapsed().as_secs_f64() * (1.0 - done) / done);
    }
    Ok(())
}
