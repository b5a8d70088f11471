//! The article's design: it puts each event to DynamoDB and to S3, and a stream feeds counters.

use anyhow::Result;

use crate::cost::design::{Batches, GB, Given};
use crate::cost::lambda::{self, Billed};
use crate::cost::usage::{Service, Usage};

pub(super) fn usage(given: &Given<'_>) -> Result<Usage> {
    let mut usage = Usage::default();
    let (load, rates) = (given.load, given.rates);
    let (events, memory) = (load.events(), given.assumed("article-memory-mb")?);
    usage.add(Service::Gateway, "rest-api-request", events);

    let (dynamodb, s3) = (given.assumed("dynamodb-ms")?, given.assumed("s3-put-ms")?);
    // The function puts to both at once and knows no batches.
    let duration = given.cpu_ms("article-cpu-ms")? + dynamodb.max(s3);
    let single = crate::cost::design::Load { requests: events, events_per_request: 1.0, ..load.clone() };
    let each = Given { load: &single, ..*given };
    lambda::requests(&each, &mut usage, &Billed { duration, init: "article-init-ms", memory })?;

    let item = given.sample.record_bytes + given.assumed("article-item-bytes")?;
    usage.add(Service::Store, "dynamodb-write", events * rates.units_of("dynamodb-write", item)?);
    let stored = given.stored_gb(item + given.assumed("item-overhead-bytes")?)?;
    usage.add(Service::Store, "dynamodb-storage", stored);
    usage.add(Service::Backup, "s3-put", events);
    let kept = given.assumed("kept-months")?;
    usage.add(Service::Backup, "s3-storage", events * given.sample.record_bytes * kept / GB);

    let batches =
        Batches::of(load.rate(), 1.0, 1.0 / given.assumed("article-polls-a-second")?, given.assumed("article-batch")?);
    let id = format!("lambda-duration-{}", load.arch);
    let batch_ms = rates.units_of(&id, given.cpu_ms("article-cpu-ms")? + dynamodb)?;
    usage.add(Service::Aggregation, "dynamodb-write", events * given.assumed("article-updates")?);
    usage.add(Service::Aggregation, "lambda-request", batches.count);
    usage.add(Service::Aggregation, &id, batches.count * batch_ms / 1000.0 * memory / 1024.0);

    let logged = given.assumed("log-bytes")? * (events + batches.count);
    usage.add(Service::Logs, "cloudwatch-logs", logged / GB);
    usage.add(Service::Egress, "aws-egress", events * given.assumed("response-bytes")? / GB);
    Ok(usage)
}
