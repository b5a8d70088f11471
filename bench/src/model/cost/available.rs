//! Prices nodes with what makes them as available as functions: a second node, a balancer in two zones, and copies.

use anyhow::Result;

use crate::model::cost::design::Design;
use crate::model::cost::given::{GB, Given, HOURS, SECONDS};
use crate::model::cost::usage::{Service, Usage};

/// Connections a second, and GB an hour, of a balancer's unit of capacity.
/// Source: <https://aws.amazon.com/elasticloadbalancing/pricing/>
const UNIT_CONNECTIONS: f64 = 25.0;
const UNIT_GB_AN_HOUR: f64 = 1.0;

/// Nodes with what makes them as available as they can be.
pub(crate) struct Available {
    /// What is priced.
    pub about: &'static str,
    /// What is still not possible.
    pub not_possible: &'static str,
    /// The usage of a month.
    pub usage: Usage,
}

/// A design on nodes at equal availability, with `usage` being that of the design itself. `None` for the others: they are
/// in several zones anyway.
///
/// # Errors
/// Fails if the price book or the assumptions lack something.
pub(crate) fn available(design: Design, given: &Given<'_>, usage: &Usage) -> Result<Option<Available>> {
    let node = given.load.node_id();
    let mut usage = usage.clone();
    let (about, not_possible) = match design {
        Design::Native => {
            usage.add(Service::Store, &node, HOURS);
            (
                "one active node, a standby in its zone, a balancer, public addresses, snapshots of the volume",
                "two active nodes, because SQLite has one writer: the standby takes over the volume, and nothing is answered \
                 until it has; with the zone, the events since the last copy are lost",
            )
        }
        Design::Spin => {
            // One node more than the busiest hour needs, and a database that is no file of one of them.
            usage.add(Service::Function, &node, HOURS);
            usage.add(Service::Gateway, "public-ipv4", HOURS);
            usage.at_least(Service::Store, &node, 2.0 * HOURS);
            usage.at_least(Service::Plan, "eks-cluster", HOURS);
            (
                "one node more than the busiest hour needs, a libSQL server and its standby, EKS, a balancer, public addresses, snapshots",
                "two active databases, because libSQL has one writer: its standby takes over the volume, and nothing is written \
                 until it has; with the zone, the events since the last copy are lost",
            )
        }
        _ => return Ok(None),
    };
    usage.add(Service::Gateway, "public-ipv4", given.assumed("balancer-zones")? * HOURS);
    usage.add(Service::Gateway, "load-balancer", HOURS);
    usage.add(Service::Gateway, "load-balancer-lcu", capacity(given)? * HOURS);
    usage.add(Service::Backup, "ebs-snapshot", copied_gb(given, &usage)?);
    Ok(Some(Available { about, not_possible, usage }))
}

/// The balancer's mean units of capacity: of connections or of bytes, whichever are more.
fn capacity(given: &Given<'_>) -> Result<f64> {
    let load = given.load;
    let connections = load.requests / given.assumed("connection-requests")?.max(1.0) / SECONDS / UNIT_CONNECTIONS;
    let bytes = given.sample.body_bytes * load.events_per_request + given.response_bytes()?;
    Ok(connections.max(load.requests * bytes / GB / HOURS / UNIT_GB_AN_HOUR))
}

/// GB of EBS snapshots, which take the place of the packed copies that `deploy/native/backup.sh` makes: the database as it
/// is, and what each of the days before has changed, which is about a day's events.
fn copied_gb(given: &Given<'_>, usage: &Usage) -> Result<f64> {
    let days = given.assumed("backup-days")? / given.assumed("event-days")?.max(1.0);
    Ok(usage.units("ebs-gp3") * (1.0 + days))
}
