//! What an answer says to the operator and not to the client: counts and codes, for logs and metrics.

use std::collections::BTreeMap;

/// What is to be known of an answer beside what its client gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The code of an error.
    pub(crate) code: Option<&'static str>,
    pub(crate) events: Counts,
    /// How many events of a batch were rejected, by code.
    pub(crate) rejected: BTreeMap<&'static str, u64>,
    /// The first event that was rejected: which one, and why.
    pub(crate) first_rejected: Option<String>,
    /// Whether a report met a cap of rollups.
    pub(crate) is_capped: bool,
    /// Whether a report lacks events.
    pub(crate) is_incomplete: bool,
}

/// How many events of a request had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) duplicate: u64,
    pub(crate) invalid: u64,
    pub(crate) retry: u64,
}

impl Counts {
    /// The outcomes by name.
    pub(crate) fn by_name(self) -> [(&'static str, u64); 4] {
        let Self { accepted, duplicate, invalid, retry } = self;
        [("accepted", accepted), ("duplicate", duplicate), ("invalid", invalid), ("retry", retry)]
    }
}
