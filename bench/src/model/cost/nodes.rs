//! Prices Isotherm on machines that are paid for by time and not by request: nodes with Spin or with the plain server.

use anyhow::Result;

use crate::model::cost::given::{GB, Given, HOURS};
use crate::model::cost::usage::{Service, Usage};

pub(crate) fn spin(given: &Given<'_>) -> Result<Usage> {
    nodes(given, "spin-requests-per-second")
}

pub(crate) fn native(given: &Given<'_>) -> Result<Usage> {
    nodes(given, "native-requests-per-second")
}

/// Counts requests. Their price comes from the book or from the user.
pub(crate) fn akamai(given: &Given<'_>) -> Result<Usage> {
    let mut usage = Usage::default();
    usage.add(Service::Function, "akamai-request", given.load.requests);
    Ok(usage)
}

/// Number of nodes that carry the busiest hour, by the name of the assumption for what one gets through.
pub(crate) fn needed(given: &Given<'_>, throughput: &str) -> Result<f64> {
    Ok((given.busiest()? * given.work()? / given.assumed(throughput)?).ceil().max(1.0))
}

/// Adds the nodes that the busiest hour needs, all month long, their disks, and the answers on their way out.
fn nodes(given: &Given<'_>, throughput: &str) -> Result<Usage> {
    let mut usage = Usage::default();
    let load = given.load;
    let nodes = match load.nodes {
        Some(nodes) => nodes,
        None => needed(given, throughput)?,
    };
    usage.add(Service::Function, &format!("node-{}", load.node), nodes * HOURS);
    usage.add(Service::Gateway, "public-ipv4", nodes * HOURS);
    let stored = given.stored_gb(given.sample.record_bytes + given.assumed("node-bytes")?)?;
    usage.add(Service::Store, "ebs-gp3", stored);
    usage.add(Service::Egress, "aws-egress", load.requests * given.response_bytes()? / GB);
    Ok(usage)
}
