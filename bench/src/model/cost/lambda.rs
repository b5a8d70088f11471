//! Prices Isotherm on AWS Lambda: `deploy/lambda/template.yaml`. Look-ups of events and reports are not included.

use anyhow::Result;

use crate::model::cost::given::{Batches, GB, Given, HOURS, SECONDS};
use crate::model::cost::usage::{Service, Usage};

/// Number of puts that `ingest` makes at once.
pub(crate) const CONCURRENCY: f64 = 32.0;
/// Number of functions that are kept warm by a ping every five minutes.
const WARMED: f64 = 3.0;
const WARMINGS_AN_HOUR: f64 = 12.0;
/// Number of requests to DynamoDB that a fold makes one after another: the watermark, the pages, the transaction.
pub(crate) const WAITS_OF_A_FOLD: f64 = 3.0;

pub(crate) fn usage(given: &Given<'_>) -> Result<Usage> {
    let mut usage = around(given)?;
    ingest(given, &mut usage)?;
    Ok(usage)
}

/// The usage without the function that answers requests.
pub(crate) fn around(given: &Given<'_>) -> Result<Usage> {
    let mut usage = Usage::default();
    let (load, rates) = (given.load, given.rates);
    let body = given.sample.body_bytes * load.events_per_request;
    usage.add(Service::Gateway, "http-api-request", load.requests * rates.units_of("http-api-request", body)?);
    store(given, &mut usage)?;
    let invocations = aggregation(given, &mut usage)?;
    queue(given, body, &mut usage)?;

    let scheduled = HOURS * (1.0 + WARMED * WARMINGS_AN_HOUR);
    usage.add(Service::Schedule, "eventbridge-event", scheduled);
    usage.add(Service::Schedule, "lambda-request", scheduled);
    let lines = given.assumed("log-line-bytes")? * (load.requests + invocations);
    let logged = given.assumed("log-bytes")? * (load.requests + invocations + scheduled) + lines;
    usage.add(Service::Logs, "cloudwatch-logs", logged / GB);
    usage.add(Service::Egress, "aws-egress", load.requests * given.response_bytes()? / GB);
    Ok(usage)
}

fn ingest(given: &Given<'_>, usage: &mut Usage) -> Result<()> {
    let duration = ingest_ms(given)?;
    let memory = given.assumed("lambda-memory-mb")?;
    requests(given, usage, &Billed { duration, init: "lambda-init-ms", memory })
}

/// Wall time of a request to `ingest` without init, in ms.
pub(crate) fn ingest_ms(given: &Given<'_>) -> Result<f64> {
    if let Some(duration) = given.load.duration_ms {
        return Ok(duration);
    }
    let rounds = (given.load.events_per_request / CONCURRENCY).ceil();
    Ok(given.request_cpu_ms("lambda-cpu-ms")? + rounds * given.assumed("dynamodb-ms")?)
}

/// The billed properties of one function's request.
pub(crate) struct Billed {
    /// Wall time, ms.
    pub duration: f64,
    /// The name of the assumption for its init time.
    pub init: &'static str,
    /// Memory in MB.
    pub memory: f64,
}

/// Adds a month's requests to a function that answers them.
pub(crate) fn requests(given: &Given<'_>, usage: &mut Usage, billed: &Billed) -> Result<()> {
    let load = given.load;
    usage.add(Service::Function, "lambda-request", load.requests);
    let gigabytes = billed.memory / 1024.0;
    if load.provisioned > 0.0 {
        let (held, duration) = ("lambda-provisioned", "lambda-provisioned-duration");
        usage.add(Service::Function, &format!("{held}-{}", load.arch), load.provisioned * gigabytes * SECONDS);
        let id = format!("{duration}-{}", load.arch);
        let ms = given.rates.units_of(&id, billed.duration)?;
        usage.add(Service::Function, &id, load.requests * ms / 1000.0 * gigabytes);
        return Ok(());
    }
    let id = format!("lambda-duration-{}", load.arch);
    let cold = given.assumed("cold-share")?.min(1.0);
    // Init is billed with the invocation that waited for it. The sum is rounded up once.
    let init = if cold > 0.0 { given.assumed(billed.init)? } else { 0.0 };
    let warm_ms = given.rates.units_of(&id, billed.duration)?;
    let cold_ms = given.rates.units_of(&id, init + billed.duration)?;
    let ms = (1.0 - cold) * warm_ms + cold * cold_ms;
    usage.add(Service::Function, &id, load.requests * ms / 1000.0 * gigabytes);
    Ok(())
}

fn store(given: &Given<'_>, usage: &mut Usage) -> Result<()> {
    let item = given.sample.packed_bytes + given.assumed("item-bytes")?;
    let units = given.rates.units_of("dynamodb-write", item)?;
    usage.add(Service::Store, "dynamodb-write", given.load.events() * units);
    let stored = given.stored_gb(item + given.assumed("item-overhead-bytes")?)?;
    usage.add(Service::Store, "dynamodb-storage", stored);
    Ok(())
}

/// Number of shards of the stream of events, each folded in a lane of its own.
pub(crate) fn lanes(given: &Given<'_>) -> Result<f64> {
    let by_rate = (given.load.rate() / given.assumed("stream-writes-per-shard")?).ceil();
    Ok(by_rate.max(given.assumed("stream-shards")?).max(1.0))
}

/// Adds the stream, folding, rollups and the backup. Returns the number of invocations. Lambda reads streams without
/// charge.
fn aggregation(given: &Given<'_>, usage: &mut Usage) -> Result<f64> {
    let (load, rates) = (given.load, given.rates);
    let (rate, kept) = (load.rate(), given.assumed("kept-months")?);
    let lanes = lanes(given)?;
    let tumbling = given.assumed("lambda-tumbling-s")?;
    // All records of a batch belong to one tumbling window.
    let gathering = given.assumed("lambda-window-s")?.min(tumbling);
    let batches = Batches::of(rate, lanes, gathering, given.assumed("lambda-batch")?);
    let window_ends = lanes * SECONDS / tumbling * -(-rate / lanes * tumbling).exp_m1();
    let folded = given.folded(rate / lanes * 3600.0, batches.events)?;

    let Pulses { put, batches: pulsed } = Pulses::of(rate, lanes, tumbling, given.assumed("stream-shard-hours")?);
    // A shard that gets a pulse has a batch and an end of its window. Both move only the watermark.
    let moves = window_ends + 2.0 * pulsed;

    // Each batch also moves the watermark, a small item that is read and then put in the transaction.
    let transactional = rates.price("dynamodb-write")?.times("transactional");
    let writes = batches.count * (folded.write_units + 1.0) + moves;
    usage.add(Service::Aggregation, "dynamodb-write", writes * transactional + put);
    usage.add(Service::Aggregation, "dynamodb-read", batches.count * (folded.read_units + 1.0) + moves);
    let hours = HOURS * -(-rate * 3600.0).exp_m1();
    usage.add(Service::Aggregation, "dynamodb-storage", lanes * hours * folded.hour_bytes * kept / GB);

    let id = format!("lambda-duration-{}", load.arch);
    let (cpu, wait) = (given.cpu_ms("lambda-fold-cpu-ms")?, given.assumed("dynamodb-ms")?);
    let fold_ms = rates.units_of(&id, cpu + WAITS_OF_A_FOLD * wait + given.assumed("s3-put-ms")?)?;
    let move_ms = rates.units_of(&id, 2.0 * wait)?;
    let seconds = (batches.count * fold_ms + moves * move_ms) / 1000.0;
    usage.add(Service::Aggregation, "lambda-request", batches.count + moves);
    usage.add(Service::Aggregation, &id, seconds * given.assumed("lambda-memory-mb")? / 1024.0);

    usage.add(Service::Backup, "s3-put", batches.count);
    usage.add(Service::Backup, "s3-storage", load.events() * folded.backup_bytes * kept / GB);
    Ok(batches.count + moves)
}

/// The small items that folds put for the shards, per month.
struct Pulses {
    /// Number of items put.
    put: f64,
    /// Number of batches of these items.
    batches: f64,
}

impl Pulses {
    /// The largest number of unknown keys that are tried for new shards.
    const UNKNOWN: f64 = 64.0;
    /// The number of these keys for each shard.
    const UNKNOWN_A_SHARD: f64 = 16.0;

    /// The pulses for windows of `window` seconds and shards that live for `shard_hours` hours. All shards get equally
    /// many events.
    fn of(rate: f64, lanes: f64, window: f64, shard_hours: f64) -> Self {
        let windows = SECONDS / window;
        let has_events = -(-rate / lanes * window).exp_m1();
        let is_quiet = 1.0 - has_events;
        // Each shard with events puts one item for each shard, its own among them, where it comes in the next window. Only
        // in a shard without events does it cause a batch, which holds the items of one window.
        let put = windows * lanes * lanes * has_events;
        let batches = windows * lanes * is_quiet * (1.0 - is_quiet.powf(lanes));
        // Nobody knows yet which key leads to a new shard.
        let any = -(-rate * shard_hours * 3600.0).exp_m1();
        let unknown = any * lanes * HOURS / shard_hours * Self::UNKNOWN.min(Self::UNKNOWN_A_SHARD * lanes);
        Self { put: put + unknown, batches }
    }
}

fn queue(given: &Given<'_>, body: f64, usage: &mut Usage) -> Result<()> {
    let messages = given.load.requests * given.assumed("queued-share")?;
    let polls = given.assumed("queue-polls-a-minute")? * 60.0 * HOURS;
    let of_a_message = 2.0 * given.rates.units_of("sqs-request", body)? + 1.0;
    usage.add(Service::Queue, "sqs-request", messages * of_a_message + polls);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts over all combinations of shards with and without events in a window, and in the window before it.
    fn counted(rate: f64, lanes: u32, window: f64) -> (f64, f64) {
        let has_events = 1.0 - (-rate / f64::from(lanes) * window).exp();
        let mut sum = (0.0, 0.0);
        for which in 0..1_u32 << lanes {
            let with = which.count_ones();
            let quiet = f64::from(lanes - with);
            let chance = has_events.powi(with.cast_signed()) * (1.0 - has_events).powf(quiet) * SECONDS / window;
            sum.0 += chance * f64::from(with) * f64::from(lanes);
            // If no shard has events, the items are those that shards put for themselves in the window before.
            sum.1 += chance * quiet * if with > 0 { 1.0 } else { has_events };
        }
        sum
    }

    #[test]
    fn a_shard_with_events_puts_a_pulse_for_each_shard() {
        for (rate, lanes, window) in
            [(0.001, 4, 60.0), (0.05, 4, 60.0), (1.0, 6, 5.0), (300.0, 4, 60.0), (0.5, 1, 60.0)]
        {
            let (put, batches) = counted(rate, lanes, window);
            let pulses = Pulses::of(rate, f64::from(lanes), window, 4.0);
            let unknown = pulses.put - put;
            assert!((pulses.batches - batches).abs() <= 1e-6 * batches.max(1.0), "{rate} {lanes}: {}", pulses.batches);
            let shards = HOURS / 4.0 * f64::from(lanes) * f64::from(16 * lanes).min(64.0);
            assert!((-1e-6..=shards + 1e-6).contains(&unknown), "{rate} {lanes}: {unknown} of {shards}");
        }
        let none = Pulses::of(0.0, 4.0, 60.0, 4.0);
        assert_eq!((none.put, none.batches), (0.0, 0.0));
    }
}
