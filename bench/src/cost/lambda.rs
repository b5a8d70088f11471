//! Isotherm on AWS Lambda: `deploy/lambda/template.yaml`, priced. Looking events up and reports are not in it.

use anyhow::Result;

use crate::cost::design::{Batches, GB, Given, HOURS, SECONDS};
use crate::cost::usage::{Service, Usage};

/// What `ingest` puts at once.
pub(super) const CONCURRENCY: f64 = 32.0;
/// Functions that are kept warm, every five minutes.
const WARMED: f64 = 3.0;
const WARMINGS_AN_HOUR: f64 = 12.0;
/// Requests to DynamoDB that a fold waits for, one after another: the watermark, the pages, the transaction.
pub(super) const WAITS_OF_A_FOLD: f64 = 3.0;

pub(super) fn usage(given: &Given<'_>) -> Result<Usage> {
    let mut usage = Usage::default();
    let (load, rates) = (given.load, given.rates);
    let body = given.sample.body_bytes * load.events_per_request;
    usage.add(Service::Gateway, "http-api-request", load.requests * rates.units_of("http-api-request", body)?);
    ingest(given, &mut usage)?;
    store(given, &mut usage)?;
    let invocations = aggregation(given, &mut usage)?;
    queue(given, body, &mut usage)?;

    let scheduled = HOURS * (1.0 + WARMED * WARMINGS_AN_HOUR);
    usage.add(Service::Schedule, "eventbridge-event", scheduled);
    usage.add(Service::Schedule, "lambda-request", scheduled);
    let logged = given.assumed("log-bytes")? * (load.requests + invocations + scheduled);
    usage.add(Service::Logs, "cloudwatch-logs", logged / GB);
    usage.add(Service::Egress, "aws-egress", load.requests * given.assumed("response-bytes")? / GB);
    Ok(usage)
}

fn ingest(given: &Given<'_>, usage: &mut Usage) -> Result<()> {
    let rounds = (given.load.events_per_request / CONCURRENCY).ceil();
    let duration = match given.load.duration_ms {
        Some(duration) => duration,
        None => given.cpu_ms("lambda-cpu-ms")? + rounds * given.assumed("dynamodb-ms")?,
    };
    let memory = given.assumed("lambda-memory-mb")?;
    requests(given, usage, &Billed { duration, init: "lambda-init-ms", memory })
}

/// What Lambda bills of one function's request.
pub(super) struct Billed {
    /// Wall time, ms.
    pub duration: f64,
    /// The name of what its init is assumed to take.
    pub init: &'static str,
    /// MB.
    pub memory: f64,
}

/// The requests of a month to a function that answers them.
pub(super) fn requests(given: &Given<'_>, usage: &mut Usage, billed: &Billed) -> Result<()> {
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
    // Init is billed with the invocation that waited for it: one sum, rounded up once.
    let init = if cold > 0.0 { given.assumed(billed.init)? } else { 0.0 };
    let warm_ms = given.rates.units_of(&id, billed.duration)?;
    let cold_ms = given.rates.units_of(&id, init + billed.duration)?;
    let ms = (1.0 - cold) * warm_ms + cold * cold_ms;
    usage.add(Service::Function, &id, load.requests * ms / 1000.0 * gigabytes);
    Ok(())
}

fn store(given: &Given<'_>, usage: &mut Usage) -> Result<()> {
    let item = given.sample.record_bytes + given.assumed("item-bytes")?;
    let units = given.rates.units_of("dynamodb-write", item)?;
    usage.add(Service::Store, "dynamodb-write", given.load.events() * units);
    let stored = given.stored_gb(item + given.assumed("item-overhead-bytes")?)?;
    usage.add(Service::Store, "dynamodb-storage", stored);
    Ok(())
}

/// The stream, folding, rollups and the backup; gives the invocations. Lambda reads streams for nothing.
fn aggregation(given: &Given<'_>, usage: &mut Usage) -> Result<f64> {
    let (load, rates) = (given.load, given.rates);
    let (rate, kept) = (load.rate(), given.assumed("kept-months")?);
    let lanes = (rate / given.assumed("stream-writes-per-shard")?).ceil().max(1.0);
    let tumbling = given.assumed("lambda-tumbling-s")?;
    // A batch's records are all of one tumbling window.
    let gathering = given.assumed("lambda-window-s")?.min(tumbling);
    let batches = Batches::of(rate, lanes, gathering, given.assumed("lambda-batch")?);
    let window_ends = lanes * SECONDS / tumbling * -(-rate / lanes * tumbling).exp_m1();
    let folded = given.folded(rate / lanes * 3600.0, batches.events)?;

    // Each moves the watermark, too: a small item, read and then put in the transaction.
    let transactional = rates.price("dynamodb-write")?.times("transactional");
    let writes = batches.count * (folded.write_units + 1.0) + window_ends;
    usage.add(Service::Aggregation, "dynamodb-write", writes * transactional);
    usage.add(Service::Aggregation, "dynamodb-read", batches.count * (folded.read_units + 1.0) + window_ends);
    let hours = HOURS * -(-rate * 3600.0).exp_m1();
    usage.add(Service::Aggregation, "dynamodb-storage", lanes * hours * folded.hour_bytes * kept / GB);

    let id = format!("lambda-duration-{}", load.arch);
    let (cpu, wait) = (given.cpu_ms("lambda-fold-cpu-ms")?, given.assumed("dynamodb-ms")?);
    let fold_ms = rates.units_of(&id, cpu + WAITS_OF_A_FOLD * wait + given.assumed("s3-put-ms")?)?;
    let end_ms = rates.units_of(&id, 2.0 * wait)?;
    let seconds = (batches.count * fold_ms + window_ends * end_ms) / 1000.0;
    usage.add(Service::Aggregation, "lambda-request", batches.count + window_ends);
    usage.add(Service::Aggregation, &id, seconds * given.assumed("lambda-memory-mb")? / 1024.0);

    usage.add(Service::Backup, "s3-put", batches.count);
    usage.add(Service::Backup, "s3-storage", load.events() * folded.backup_bytes * kept / GB);
    Ok(batches.count + window_ends)
}

fn queue(given: &Given<'_>, body: f64, usage: &mut Usage) -> Result<()> {
    let messages = given.load.requests * given.assumed("queued-share")?;
    let polls = given.assumed("queue-polls-a-minute")? * 60.0 * HOURS;
    let of_a_message = 2.0 * given.rates.units_of("sqs-request", body)? + 1.0;
    usage.add(Service::Queue, "sqs-request", messages * of_a_message + polls);
    Ok(())
}
