//! Prices Isotherm on Lambda Managed Instances: `ingest` runs on EC2 instances that Lambda starts and feeds, with several
//! requests at once in each. The other functions and all services are those of Lambda.

use anyhow::Result;

use crate::model::cost::given::{Given, HOURS, SECONDS};
use crate::model::cost::lambda;
use crate::model::cost::usage::{Service, Usage};

pub(crate) fn usage(given: &Given<'_>) -> Result<Usage> {
    let mut usage = lambda::around(given)?;
    let instances = number(given)?;
    function(given, instances * HOURS, &mut usage)?;
    Ok(usage)
}

/// Adds a month's requests and so many hours of instances. There is no price of duration.
pub(crate) fn function(given: &Given<'_>, hours: f64, usage: &mut Usage) -> Result<()> {
    let id = given.load.node_id();
    usage.add(Service::Function, "lambda-request", given.load.requests);
    usage.add(Service::Function, &id, hours);
    usage.add(Service::Function, "lambda-managed-fee", given.rates.price(&id)?.usd(hours, false));
    Ok(())
}

/// Number of instances: the given one, or as many as the load needs.
fn number(given: &Given<'_>) -> Result<f64> {
    given.load.nodes.map_or_else(|| needed(given), Ok)
}

/// Number of instances that carry the busiest hour: its CPU time at the target utilisation, and its requests at once.
pub(crate) fn needed(given: &Given<'_>) -> Result<f64> {
    let cpu = given.busiest()? * given.request_cpu_ms("lambda-cpu-ms")? / 1000.0;
    let at_once = given.busiest()? * lambda::ingest_ms(given)? / 1000.0;
    let vcpus = given.machine()?.vcpus;
    let by_cpu = cpu / (vcpus * given.assumed("target-utilisation")?);
    let by_requests = at_once / (vcpus * given.assumed("managed-concurrency")?);
    Ok(by_cpu.max(by_requests).ceil().max(given.assumed("managed-instances")?))
}

/// The fewest hours of instances that hold the month's CPU time at the target utilisation.
pub(crate) fn least_hours(given: &Given<'_>) -> Result<f64> {
    let cpu_hours = given.load.requests * given.request_cpu_ms("lambda-cpu-ms")? / 1000.0 / SECONDS * HOURS;
    Ok(cpu_hours / (given.machine()?.vcpus * given.assumed("target-utilisation")?))
}
