//! What people would take instead on a platform: services that keep events as files in a bucket. They answer no reports,
//! find no event, and know no duplicates.

use anyhow::Result;

use crate::model::cost::given::{GB, Given, SECONDS};
use crate::model::cost::usage::{Service, Usage};

/// Bytes in an MB of a buffer.
const MB: f64 = 1e6;
/// Packing gains nothing beyond this many events an object.
const PACKED_ALIKE: f64 = 1000.0;

/// A REST API puts each request's events to Data Firehose, which writes packed files to S3.
pub(crate) fn firehose(given: &Given<'_>) -> Result<Usage> {
    let mut usage = Usage::default();
    let (load, price) = (given.load, given.rates.price("firehose-ingested")?);
    usage.add(Service::Gateway, "rest-api-request", load.requests);
    let record = given.sample.mean_units(|bytes| price.units_of(bytes)) * price.round_up_to.unwrap_or(1.0);
    usage.add(Service::Store, "firehose-ingested", load.events() * record / GB);
    let objects = objects(given, "firehose-object-mb")?;
    let of_one = if objects > 0.0 { (load.events() / objects).min(PACKED_ALIKE) } else { 1.0 };
    let packed = given.folded(of_one, of_one)?.backup_bytes;
    usage.add(Service::Store, "s3-put", objects);
    let kept = given.assumed("kept-months")?;
    usage.add(Service::Store, "s3-storage", load.events() * packed * kept / GB);
    usage.add(Service::Egress, "aws-egress", load.requests * given.response_bytes()? / GB);
    Ok(usage)
}

/// Pipelines takes requests over HTTP and writes JSON to R2.
pub(crate) fn pipelines(given: &Given<'_>) -> Result<Usage> {
    let mut usage = Usage::default();
    let gigabytes = given.load.events() * given.sample.body_bytes / GB;
    usage.add(Service::Plan, "workers-plan", 1.0);
    usage.add(Service::Store, "pipelines-json", gigabytes);
    usage.add(Service::Store, "r2-class-a", objects(given, "pipelines-object-mb")?);
    usage.add(Service::Store, "r2-storage", gigabytes * given.assumed("kept-months")?);
    Ok(usage)
}

/// Number of objects a month: one whenever a buffer is full, or some time after its first event.
fn objects(given: &Given<'_>, megabytes: &str) -> Result<f64> {
    let (rate, seconds) = (given.load.rate(), given.assumed("firehose-object-s")?);
    let full = given.load.events() * given.sample.body_bytes / (given.assumed(megabytes)? * MB);
    let in_time = if rate > 0.0 { SECONDS / (seconds + 1.0 / rate) } else { 0.0 };
    Ok(full.max(in_time))
}
