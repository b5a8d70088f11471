//! Prices Isotherm on machines that are paid for by time and not by request: nodes with Spin or with the plain server.

use anyhow::Result;

use crate::model::cost::credits;
use crate::model::cost::given::{GB, Given, HOURS, SECONDS};
use crate::model::cost::usage::{Service, Usage};

pub(crate) fn spin(given: &Given<'_>) -> Result<Usage> {
    let mut usage = nodes(given, "spin-requests-per-second")?;
    // More than one node share a database, which is a server of its own.
    if number(given, "spin-requests-per-second")? > 1.0 {
        usage.add(Service::Store, &given.load.node_id(), HOURS);
    }
    Ok(usage)
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

/// Number of nodes that carry the busiest hour at the target utilisation, by the name of the assumption for what one gets
/// through.
pub(crate) fn needed(given: &Given<'_>, throughput: &str) -> Result<f64> {
    let of_one = given.assumed(throughput)? * given.assumed("target-utilisation")?;
    Ok((given.busiest()? * given.work()? / of_one).ceil().max(1.0))
}

/// Number of nodes: the given one, or as many as the load needs.
pub(crate) fn number(given: &Given<'_>, throughput: &str) -> Result<f64> {
    given.load.nodes.map_or_else(|| needed(given, throughput), Ok)
}

/// Adds the nodes, all month long, their disks, and the answers on their way out.
fn nodes(given: &Given<'_>, throughput: &str) -> Result<Usage> {
    let mut usage = Usage::default();
    let load = given.load;
    let nodes = number(given, throughput)?;
    usage.add(Service::Function, &load.node_id(), nodes * HOURS);
    let machine = given.machine()?;
    if let Some(price) = &machine.surplus {
        let mean = load.requests / SECONDS * credits::vcpus_of_a_request(given, throughput)?;
        let beyond = credits::beyond(machine, nodes, mean);
        if beyond > 0.0 {
            usage.add(Service::Function, price, beyond * HOURS);
        }
    }
    usage.add(Service::Gateway, "public-ipv4", nodes * HOURS);
    let stored = given.stored_gb(given.sample.record_bytes + given.assumed("node-bytes")?)?;
    usage.add(Service::Store, "ebs-gp3", stored);
    usage.add(Service::Egress, "aws-egress", load.requests * given.response_bytes()? / GB);
    Ok(usage)
}
