//! Figures from results: several runs as one, ranks, and what changed between two results.

pub(crate) mod added;
pub(crate) mod changes;
pub(crate) mod differences;
pub(crate) mod power;
pub(crate) mod ranks;
pub(crate) mod repeat;
pub(crate) mod rule;
