//! Takes the metered usage of a run of `isotherm compare` in place of a design's usage.

use anyhow::Result;
use isotherm_hosts::Platform;
use isotherm_hosts::meters::Sizes;

use crate::model::cost::given::{GB, Given};
use crate::model::cost::lambda::{CONCURRENCY, WAITS_OF_A_FOLD};
use crate::model::cost::sample::Sample;
use crate::model::cost::usage::{Service, Usage};
use crate::model::cost::workers::{OBJECT_GB, logs};
use crate::results::{Measured, Metered};

/// The usage of a run's events, whose number is in the load; `None` if the run was not metered.
pub(crate) fn usage(measured: &Measured, given: &Given<'_>) -> Result<Option<Usage>> {
    let Some(metered) = &measured.meters else { return Ok(None) };
    let usage = match measured.platform {
        Platform::Lambda => lambda(metered, given, Ingest::ISOTHERM)?,
        // The run is of a version that did not count rows.
        Platform::Workers if metered.readings.rows.is_empty() => return Ok(None),
        Platform::Workers => workers(metered, given)?,
        // Nodes are paid for by the hour, whatever they do.
        Platform::Spin | Platform::Native => return Ok(None),
    };
    Ok(Some(usage))
}

/// The properties of a function that accepts events, as far as no meter tells them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ingest {
    /// The name of the assumption for its memory and that of the other functions beside it.
    memory: &'static str,
    /// Whether it also waits for S3.
    puts_objects: bool,
    /// The name of the assumption for an event's item beside the event itself.
    item: &'static str,
    /// The bytes of an event in its item.
    event_bytes: fn(&Sample) -> f64,
}

impl Ingest {
    pub(crate) const ISOTHERM: Self = Self {
        memory: "lambda-memory-mb",
        puts_objects: false,
        item: "item-bytes",
        event_bytes: |sample| sample.packed_bytes,
    };
    /// The baseline puts to both stores at once.
    pub(crate) const BASELINE: Self = Self {
        memory: "baseline-memory-mb",
        puts_objects: true,
        item: "baseline-item-bytes",
        event_bytes: |sample| sample.record_bytes,
    };
}

/// The metered usage of functions on Lambda and of the services behind them.
pub(crate) fn lambda(metered: &Metered, given: &Given<'_>, ingest: Ingest) -> Result<Usage> {
    let (mut usage, readings) = (Usage::default(), &metered.readings);
    usage.add(Service::Gateway, "http-api-request", metered.requests as f64);
    let id = format!("lambda-duration-{}", given.load.arch);
    let (wait, memory) = (given.assumed("dynamodb-ms")?, given.assumed(ingest.memory)?);
    let mut invocations = 0.0;
    for (name, function) in readings.functions.iter().filter(|(_, function)| function.count > 0) {
        let count = function.count as f64;
        // The emulator's latency differs from DynamoDB's. So CPU time is taken as measured, and waiting as assumed.
        let (service, waiting) = match name.as_str() {
            "ingest" => {
                let rounds = readings.operations("events/put") as f64 / count / CONCURRENCY;
                let object = if ingest.puts_objects { given.assumed("s3-put-ms")? } else { 0.0 };
                (Service::Function, (rounds.max(1.0) * wait).max(object))
            }
            "aggregate" => (Service::Aggregation, WAITS_OF_A_FOLD * wait + given.assumed("s3-put-ms")?),
            "schedule" => (Service::Schedule, wait),
            _ => (Service::Function, wait),
        };
        let cpu = 1000.0 * function.cpu.as_secs_f64() / count * given.assumed("cpu-factor")?;
        let ms = given.rates.units_of(&id, cpu + waiting)?;
        usage.add(service, "lambda-request", count);
        usage.add(service, &id, count * ms / 1000.0 * memory / 1024.0);
        invocations += count;
    }
    for (name, sizes) in &readings.store {
        let (table, kind) = name.split_once('/').unwrap_or((name, ""));
        let service = if table == "events" { Service::Store } else { Service::Aggregation };
        let (price, condition) = match kind {
            "get" | "query" => ("dynamodb-read", ""),
            "get-eventual" | "query-eventual" => ("dynamodb-read", "eventual"),
            "transact" | "transact-cancelled" | "transact-put" => ("dynamodb-write", "transactional"),
            _ => ("dynamodb-write", ""),
        };
        let price = given.rates.price(price)?;
        usage.add(service, &price.id, units(sizes, |bytes| price.units_of(bytes)) * price.times(condition));
    }
    let beside = given.assumed(ingest.item)? + given.assumed("item-overhead-bytes")?;
    let item = (ingest.event_bytes)(given.sample) + beside;
    usage.add(Service::Store, "dynamodb-storage", given.stored_gb(item)?);
    usage.add(Service::Backup, "s3-put", readings.objects as f64);
    let kept = given.assumed("kept-months")?;
    usage.add(Service::Backup, "s3-storage", readings.object_bytes as f64 * kept / GB);
    usage.add(Service::Queue, "sqs-request", readings.queue_operations as f64);
    usage.add(
        Service::Logs,
        "cloudwatch-logs",
        (invocations * given.assumed("log-bytes")? + readings.log_bytes as f64) / GB,
    );
    usage.add(Service::Egress, "aws-egress", metered.response_bytes as f64 / GB);
    Ok(usage)
}

fn workers(metered: &Metered, given: &Given<'_>) -> Result<Usage> {
    let (mut usage, readings) = (Usage::default(), &metered.readings);
    let (requests, folds) = (metered.requests as f64, readings.objects as f64);
    usage.add(Service::Function, "workers-request", requests);
    usage.add(Service::Function, "workers-cpu", 1000.0 * metered.cpu_seconds * given.assumed("cpu-factor")?);
    let calls = |name| readings.functions.get(name).map_or(0.0, |calls| calls.count as f64);
    let (asked, alarms) = (calls("shard/fetch"), calls("shard/alarm"));
    let second = given.assumed("workers-object-ms")? / 1000.0;
    for (service, calls) in [(Service::Store, asked), (Service::Aggregation, alarms)] {
        usage.add(service, "durable-objects-request", calls);
        usage.add(service, "durable-objects-duration", calls * second * OBJECT_GB);
    }
    for (table, rows) in &readings.rows {
        let is_of_events = matches!(table.as_str(), "events" | "blocks" | "runs");
        let service = if is_of_events { Service::Store } else { Service::Aggregation };
        usage.add(service, "durable-objects-rows-read", rows.read as f64);
        usage.add(service, "durable-objects-rows-written", rows.written as f64);
    }
    // Events expire long after a run, so the meters miss the rows that are deleted then: the blocks of each fold.
    let events = readings.events_stored as f64;
    let folded = given.folded(events, events / folds.max(1.0))?;
    usage.add(Service::Store, "durable-objects-rows-written", folds * folded.blocks);
    let stored = given.stored_gb(folded.block_bytes + given.assumed("workers-row-bytes")?)?;
    usage.add(Service::Store, "durable-objects-storage", stored);
    let kept = given.assumed("kept-months")?;
    usage.add(Service::Backup, "r2-class-a", folds);
    usage.add(Service::Backup, "r2-storage", readings.object_bytes as f64 * kept / GB);
    usage.add(Service::Queue, "queues-operation", readings.queue_operations as f64);
    logs(given, requests + asked + alarms, &mut usage)?;
    Ok(usage)
}

fn units(sizes: &Sizes, of: impl Fn(f64) -> f64) -> f64 {
    sizes.iter().map(|(bytes, count)| of(*bytes as f64) * *count as f64).sum()
}
