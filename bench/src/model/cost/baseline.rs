//! The baseline's design, which articles on serverless analytics describe: it puts each event to DynamoDB and to S3, and a stream feeds counters.

use anyhow::Result;

use crate::model::cost::given::{Batches, GB, Given};
use crate::model::cost::lambda::{self, Billed};
use crate::model::cost::usage::{Service, Usage};

pub(crate) fn usage(given: &Given<'_>) -> Result<Usage> {
    let mut usage = Usage::default();
    let (load, rates) = (given.load, given.rates);
    let (events, memory) = (load.events(), given.assumed("baseline-memory-mb")?);
    usage.add(Service::Gateway, "rest-api-request", events);

    let (dynamodb, s3) = (given.assumed("dynamodb-ms")?, given.assumed("s3-put-ms")?);
    // The function puts to both at once and knows no batches.
    let duration = given.cpu_ms("baseline-cpu-ms")? + dynamodb.max(s3);
    let single = crate::model::cost::given::Load { requests: events, events_per_request: 1.0, ..load.clone() };
    let each = Given { load: &single, ..*given };
    lambda::requests(&each, &mut usage, &Billed { duration, init: "baseline-init-ms", memory })?;

    let item = given.sample.record_bytes + given.assumed("baseline-item-bytes")?;
    usage.add(Service::Store, "dynamodb-write", events * rates.units_of("dynamodb-write", item)?);
    let stored = given.stored_gb(item + given.assumed("item-overhead-bytes")?)?;
    usage.add(Service::Store, "dynamodb-storage", stored);
    usage.add(Service::Backup, "s3-put", events);
    let kept = given.assumed("kept-months")?;
    usage.add(Service::Backup, "s3-storage", events * given.sample.record_bytes * kept / GB);

    let batches = Batches::of(
        load.rate(),
        1.0,
        1.0 / given.assumed("baseline-polls-a-second")?,
        given.assumed("baseline-batch")?,
    );
    let id = format!("lambda-duration-{}", load.arch);
    let batch_ms = rates.units_of(&id, given.cpu_ms("baseline-cpu-ms")? + dynamodb)?;
    usage.add(Service::Aggregation, "dynamodb-write", events * given.assumed("baseline-updates")?);
    usage.add(Service::Aggregation, "lambda-request", batches.count);
    usage.add(Service::Aggregation, &id, batches.count * batch_ms / 1000.0 * memory / 1024.0);

    let logged = given.assumed("log-bytes")? * (events + batches.count);
    usage.add(Service::Logs, "cloudwatch-logs", logged / GB);
    usage.add(Service::Egress, "aws-egress", events * given.assumed("response-bytes")? / GB);
    Ok(usage)
}
