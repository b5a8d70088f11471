//! Prices Isotherm on Cloudflare Workers: `deploy/workers/wrangler.toml`. Look-ups of events and reports are not
//! included.

use anyhow::Result;

use crate::model::cost::given::{Batches, GB, Given, HOURS};
use crate::model::cost::usage::{Service, Usage};

/// GB billed for a Durable Object: always 128 MB, whatever it uses.
pub(crate) const OBJECT_GB: f64 = 0.128;
/// Operations per message: write, read, delete.
const OPERATIONS: f64 = 3.0;

pub(crate) fn usage(given: &Given<'_>) -> Result<Usage> {
    let mut usage = Usage::default();
    let load = given.load;
    usage.add(Service::Plan, "workers-plan", 1.0);
    usage.add(Service::Function, "workers-request", load.requests);
    usage.add(Service::Function, "workers-cpu", load.requests * given.request_cpu_ms("workers-cpu-ms")?);

    let shards = given.assumed("workers-shards")?;
    let most = fold_events(given, given.sample.record_bytes)?;
    let batches = Batches::of(load.rate(), shards, given.assumed("workers-fold-s")?, most);
    let folded = given.folded(load.rate() / shards * 3600.0, batches.events)?;
    let asked = load.requests * shards.min(load.events_per_request);
    let second = given.assumed("workers-object-ms")? / 1000.0;
    for (service, calls) in [(Service::Store, asked), (Service::Aggregation, batches.count)] {
        usage.add(service, "durable-objects-request", calls);
        usage.add(service, "durable-objects-duration", calls * second * OBJECT_GB);
    }
    let (events, kept) = (load.events(), given.assumed("kept-months")?);
    // The events of a request that go to one shard are appended to one row.
    usage.add(Service::Store, "durable-objects-rows-written", asked);
    usage.add(Service::Store, "durable-objects-rows-read", events * given.assumed("workers-event-rows-read")?);
    // A fold closes blocks, each of which is deleted when it expires.
    let blocks = batches.count * folded.blocks;
    let closed =
        given.assumed("workers-block-rows")? * blocks + events * given.assumed("workers-event-rows-written")?;
    usage.add(Service::Store, "durable-objects-rows-written", closed);
    let stored = given.stored_gb(folded.block_bytes + given.assumed("workers-row-bytes")?)?;
    usage.add(Service::Store, "durable-objects-storage", stored);
    // Besides the pages, a fold writes rows of its own; the alarm is billed as one, too.
    let rows = batches.count * (folded.pages + given.assumed("workers-fold-rows-written")?);
    usage.add(Service::Aggregation, "durable-objects-rows-written", rows);
    usage.add(Service::Aggregation, "durable-objects-rows-read", rows);
    let hours = HOURS * -(-load.rate() * 3600.0).exp_m1();
    usage.add(Service::Aggregation, "durable-objects-storage", shards * hours * folded.hour_bytes * kept / GB);
    usage.add(Service::Backup, "r2-class-a", batches.count);
    usage.add(Service::Backup, "r2-storage", events * folded.backup_bytes * kept / GB);

    let body = given.sample.body_bytes * load.events_per_request;
    let messages = load.requests * given.assumed("queued-share")?;
    usage.add(
        Service::Queue,
        "queues-operation",
        messages * OPERATIONS * given.rates.units_of("queues-operation", body)?,
    );
    let cron = HOURS * (1.0 + shards);
    usage.add(Service::Schedule, "workers-request", HOURS);
    usage.add(Service::Schedule, "durable-objects-request", cron - HOURS);
    let invocations = load.requests + asked + batches.count + cron;
    logs(given, invocations, &mut usage)?;
    Ok(usage)
}

/// The most events of a fold, if their records have so many bytes. A shard folds after a number of events or of bytes,
/// whichever comes first.
pub(crate) fn fold_events(given: &Given<'_>, record_bytes: f64) -> Result<f64> {
    let by_bytes = given.assumed("workers-fold-bytes")? / record_bytes;
    Ok(given.assumed("workers-fold-events")?.min(by_bytes).max(1.0))
}

/// Adds the logs of so many invocations: by events until Cloudflare bills them by bytes.
pub(crate) fn logs(given: &Given<'_>, invocations: f64, usage: &mut Usage) -> Result<()> {
    let events = invocations * given.assumed("workers-log-share")?;
    if given.rates.price("workers-logs").is_ok() {
        usage.add(Service::Logs, "workers-logs", events);
        return Ok(());
    }
    let ingested = events * given.assumed("workers-log-bytes")? / GB;
    usage.add(Service::Logs, "workers-observability-ingested", ingested);
    let stored = ingested * given.assumed("workers-log-days")? * 24.0 / HOURS;
    usage.add(Service::Logs, "workers-observability-stored", stored);
    Ok(())
}
