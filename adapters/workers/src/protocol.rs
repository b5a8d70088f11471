//! What the Worker and its shards say to each other: names of shards, paths, and statuses.

use std::fmt;

use isotherm_core::Seconds;
use worker::wasm_bindgen::JsValue;
use worker::{Error, Result, State};

/// The path of reports. The paths for events are those of [`events_path`].
pub(crate) const REPORT: &str = "/report";
/// The path of a round of maintenance.
pub(crate) const MAINTENANCE: &str = "/schedule";
/// The status of an answer that takes no events for now.
pub(crate) const OVERLOADED: u16 = 429;

/// The path for events as of a time: events that expire by then count as expired. `id` names the event to find, or is
/// empty.
pub(crate) fn events_path(Seconds(expired_by): Seconds, id: &str) -> String {
    format!("/{expired_by}/{id}")
}

/// Reads a path of [`events_path`]. The time is returned in the form that statements take.
pub(crate) fn expired_by_and_id(path: &str) -> Result<(JsValue, &str)> {
    let parts = path.trim_start_matches('/').split_once('/');
    let parts = parts.and_then(|(expired_by, id)| Some((expired_by.parse::<u32>().ok()?.into(), id)));
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

    /// The name of this object.
    pub(crate) fn of(state: &State) -> Result<Self> {
        let name = state.id().name();
        let parts = name.as_deref().and_then(|name| name.rsplit_once('/'));
        let (tenant, number) = parts.ok_or_else(|| Error::RustError(format!("an object is named {name:?}")))?;
        Ok(Self { tenant: tenant.to_owned(), number: number.to_owned() })
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.number)
    }
}
