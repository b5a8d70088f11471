//! The billed usage of the platforms' services for the events of the warm phase and the closed loop.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::measure::progress::Phase;
use crate::measure::role::Role;
use crate::measure::target::Target;
use crate::results::Metered;

/// After this long without a change, every platform has folded all its events. The longest wait of any platform is the
/// ten seconds of Workers.
const QUIET: Duration = Duration::from_secs(11);
/// A platform that is not done after this time is read as it is.
const WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The least time of this phase, in seconds.
pub(crate) const SECONDS: f64 = QUIET.as_secs() as f64;

/// Reads the meters before the first request that counts. Floors have no store.
pub(crate) async fn begin(targets: &mut [Target]) -> Result<()> {
    for target in targets.iter_mut().filter(|target| target.keeps_events()) {
        target.meters = target.remote.meters().await.with_context(|| target.name())?;
        target.usage = target.remote.usage().await.with_context(|| target.name())?;
        target.cpu_before = target.usage.cpu;
    }
    Ok(())
}

/// Reads the meters after all events are folded. Checks that the store has gained as many events as were accepted.
pub(crate) async fn end(targets: &mut [Target], phase: &Phase) -> Result<()> {
    let started = Instant::now();
    let mut changed = started;
    let mut before = Vec::new();
    loop {
        let mut now = Vec::new();
        for target in targets.iter_mut().filter(|target| target.keeps_events()) {
            now.push(target.remote.meters().await.with_context(|| target.name())?);
        }
        let kept = |all: &[isotherm_hosts::Meters]| -> Vec<_> {
            all.iter().map(|meters| (meters.events_stored, meters.pages_stored, meters.objects)).collect()
        };
        if kept(&now) != kept(&before) {
            changed = Instant::now();
        }
        before = now;
        let quiet = changed.elapsed();
        phase.progress(quiet.as_secs_f64() / SECONDS, (SECONDS - quiet.as_secs_f64()).max(0.0));
        if quiet >= QUIET || started.elapsed() >= WITHIN {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
    for (target, now) in targets.iter_mut().filter(|target| target.keeps_events()).zip(before) {
        let used = target.remote.usage().await.with_context(|| target.name())?.cpu;
        target.deferred = Some(used.saturating_sub(target.cpu_before_loop).as_secs_f64());
        let cpu = used.saturating_sub(target.cpu_before);
        let (tally, meters) = (target.client.tally(), now.since(&target.meters));
        // The baseline also puts each event to S3.
        let objects = (target.role == Role::Baseline).then_some(meters.objects);
        if let Some(problem) = mismatch(tally.accepted, objects, &meters) {
            target.client.error(problem);
        }
        target.metered = Some(Metered {
            requests: tally.requests,
            batches: tally.batches,
            events: tally.accepted,
            response_bytes: tally.response_bytes,
            cpu_seconds: cpu.as_secs_f64(),
            readings: meters,
        });
    }
    Ok(())
}

/// Compares the meters with the store and with the answers.
fn mismatch(accepted: u64, objects: Option<u64>, meters: &isotherm_hosts::Meters) -> Option<String> {
    let stored = meters.events_stored;
    if stored != accepted {
        return Some(format!("{accepted} events were accepted, but the store has {stored} more than before"));
    }
    // If puts are billed, they are counted one by one. If rows are billed, an event is one row, plus rows in indexes.
    let puts = meters.operations("events/put");
    if !meters.store.is_empty() && puts != stored {
        return Some(format!("{puts} puts of events were counted, but the store has {stored} more than before"));
    }
    if let Some(rows) = meters.rows.get("events").filter(|rows| rows.written < stored) {
        let written = rows.written;
        return Some(format!("{written} rows of events were counted, but the store has {stored} more than before"));
    }
    if let Some(objects) = objects.filter(|objects| *objects != accepted) {
        return Some(format!("{accepted} events were accepted, but the bucket has {objects} objects more than before"));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use isotherm_hosts::Meters;
    use isotherm_hosts::meters::Rows;

    use super::*;

    #[test]
    fn what_does_not_add_up_is_said() {
        let mut meters = Meters { events_stored: 5, ..Meters::default() };
        assert_eq!(mismatch(5, None, &meters), None);
        let problem = mismatch(6, None, &meters).unwrap();
        assert_eq!(problem, "6 events were accepted, but the store has 5 more than before");
        let problem = mismatch(5, Some(4), &meters).unwrap();
        assert_eq!(problem, "5 events were accepted, but the bucket has 4 objects more than before");
        meters.store.insert("events/put".to_owned(), BTreeMap::from([(1024, 3), (2048, 1)]));
        let problem = mismatch(5, None, &meters).unwrap();
        assert_eq!(problem, "4 puts of events were counted, but the store has 5 more than before");
        meters.store.clear();
        meters.rows.insert("events".to_owned(), Rows { read: 9, written: 4 });
        let problem = mismatch(5, None, &meters).unwrap();
        assert_eq!(problem, "4 rows of events were counted, but the store has 5 more than before");
        meters.rows.insert("events".to_owned(), Rows { read: 9, written: 15 });
        assert_eq!(mismatch(5, None, &meters), None);
    }
}
