//! What the Worker and its shards say to each other: names of shards, and paths.

use std::fmt;

use isotherm_core::{EventId, Seconds};
use worker::{Error, Result};

/// The path of events to keep.
pub(crate) const KEEP: &str = "/keep";
/// The path of reports.
pub(crate) const REPORT: &str = "/report";
/// The path of a round of maintenance.
pub(crate) const MAINTENANCE: &str = "/schedule";

/// The path of an export.
pub(crate) const EXPORT: &str = "/export";
/// The path of rollups to keep.
pub(crate) const IMPORT: &str = "/import";

/// The path of a shard's condition.
pub(crate) const CONDITION: &str = "/condition";

/// The path of an event as of a time: if it expires by then, it is not found.
pub(crate) fn event_path(Seconds(expired_by): Seconds, id: EventId) -> String {
    format!("/{expired_by}/{id}")
}

/// Reads a path of [`event_path`].
pub(crate) fn expired_by_and_id(path: &str) -> Result<(Seconds, EventId)> {
    let parts = path.trim_start_matches('/').split_once('/');
    let parts = parts.and_then(|(expired_by, id)| Some((Seconds(expired_by.parse().ok()?), id.parse().ok()?)));
    parts.ok_or_else(|| Error::RustError("a shard is asked for a path that it does not have".to_owned()))
}

/// Names a shard: a tenant and a number.
pub(crate) struct ShardName {
    pub(crate) tenant: String,
    pub(crate) number: String,
}

impl ShardName {
    /// The name of a tenant's object with this number.
    pub(crate) fn new(tenant: &str, number: u32) -> Self {
        Self { tenant: tenant.to_owned(), number: number.to_string() }
    }

    /// Reads the name of an object.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let parts = name.rsplit_once('/');
        let (tenant, number) = parts.ok_or_else(|| Error::RustError(format!("an object is named {name:?}")))?;
        Ok(Self { tenant: tenant.to_owned(), number: number.to_owned() })
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.number)
    }
}
