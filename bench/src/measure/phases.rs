//! The phases of one run: starts the targets and gives them their turns.

use std::rc::Rc;

use anyhow::{Context, Result};
use isotherm_hosts::Platform;

use crate::load::Events;
use crate::measure::data::Span;
use crate::measure::progress::Phase;
use crate::measure::role::Role;
use crate::measure::target::{Paths, Target};
use crate::measure::{cold, meters, reports, throughput, verify, warm};
use crate::results::NotStarted;
use crate::words::time;
use crate::workload::Workload;

/// Rough times, in seconds, for one cold start and for one look-up. They can't be known in advance.
const COLD_START: f64 = 0.03;
const LOOK_UP: f64 = 0.0004;

/// Number of phases of a run without deployments.
pub(crate) const PHASES: usize = 7;

/// The place of this run among all runs.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) nth: usize,
    pub(crate) of: usize,
    /// Number of phases of the run.
    pub(crate) phases: usize,
    /// Rough time for deployments within the run, in seconds.
    pub(crate) driving: f64,
}

impl Run {
    pub(crate) fn phase(self, number: usize, name: &str, later: f64) -> Phase {
        let Self { nth, of, phases, .. } = self;
        let name = if of > 1 { format!("run {}/{of}: {name}", nth + 1) } else { name.to_owned() };
        Phase::start(number, phases, &name, later)
    }
}

/// Stops the targets of an earlier run, since every run has its own hosts and data.
pub(crate) async fn stop(targets: &mut Vec<Target>) -> Result<()> {
    for target in targets.drain(..) {
        let name = target.name();
        target.remote.stop().await.with_context(|| format!("{name}: cannot be stopped"))?;
    }
    Ok(())
}

/// Starts each platform with its floor, and Lambda also with the baseline. If one of these can't be started,
/// the platform is left out too. At the end the platforms come first in `targets`, then their floors in the same order.
pub(crate) async fn start(
    paths: Paths<'_>,
    platforms: &[Platform],
    events: &Rc<Events>,
    seed: u64,
    run: Run,
    targets: &mut Vec<Target>,
) -> Vec<NotStarted> {
    let phase = run.phase(1, "starting platforms and their floors", f64::NAN);
    let mut not_started = Vec::new();
    for (place, platform) in platforms.iter().enumerate() {
        let before = targets.len();
        // The baseline runs on Lambda.
        let baseline: &[Role] = if *platform == Platform::Lambda { &[Role::Baseline, Role::Singles] } else { &[] };
        for role in [Role::Own, Role::Floor].iter().chain(baseline) {
            let events = Rc::clone(events);
            match Target::start(paths, *platform, *role, events, seed).await {
                Ok(target) => targets.push(target),
                Err(error) => {
                    let of = match role {
                        Role::Own | Role::Singles => "",
                        Role::Floor => "its floor: ",
                        Role::Baseline => "the baseline beside it: ",
                    };
                    let reason = format!("{of}{error:#}");
                    eprintln!("isotherm: {platform} is left out, it can't be started: {reason}");
                    not_started.push(NotStarted { platform: *platform, reason });
                    for target in targets.drain(before..) {
                        // The platform is left out anyway, so it does not matter how it stops.
                        let _stopped = target.remote.stop().await;
                    }
                    break;
                }
            }
        }
        phase.progress((place + 1) as f64 / platforms.len() as f64, f64::NAN);
    }
    targets.sort_by_key(|target| target.role);
    not_started
}

pub(crate) async fn measure(
    targets: &mut [Target],
    workload: &Workload,
    events: &Events,
    span: &Span,
    run: Run,
) -> Result<()> {
    let count = targets.len();
    let platforms = targets.iter().filter(|target| target.role == Role::Own).count();
    let checking = LOOK_UP * (events.len() * platforms) as f64;
    let reporting = reports::seconds(&workload.reports, platforms) + checking;
    let metering = meters::SECONDS + reporting;
    let loading = throughput::seconds(&workload.throughput, count) + metering;
    let warming = warm::seconds(&workload.warm, count) + loading;
    let own = COLD_START * (workload.cold.samples * count) as f64 + warming;
    let whole = own + run.driving;
    if run.nth == 0 {
        eprintln!("measuring takes about {}", time(whole * run.of as f64));
    }
    let runs_left = whole * (run.of - run.nth - 1) as f64;
    let start = |number, name, later| run.phase(number, name, later + run.driving + runs_left);

    let phase = start(2, "cold starts", warming);
    cold::measure(targets, events, workload.cold.samples, workload.seed, &phase).await?;
    drop(phase);
    meters::begin(targets).await?;
    let phase = start(3, "warm latency, open loop", loading);
    warm::measure(targets, &workload.warm, workload.seed, &phase).await?;
    drop(phase);
    let phase = start(4, "throughput, closed loop", metering);
    throughput::measure(targets, &workload.throughput, events.len(), workload.seed, &phase).await?;
    drop(phase);
    let phase = start(5, "meters, once all is folded", reporting);
    meters::end(targets, &phase).await?;
    drop(phase);
    let phase = start(6, "reports", checking);
    let cold_starts = workload.cold.samples + cold::DISCARDED;
    reports::measure(targets, &workload.reports, span, cold_starts, &phase).await?;
    drop(phase);
    let phase = start(7, "checking that nothing was lost", 0.0);
    verify::check(targets, events, workload.throughput.connections, &phase).await
}
