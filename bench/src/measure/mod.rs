//! Measures: starts platforms, puts them under load, and makes a result of the samples.
//!
//! The phases run in this order; in each the targets take turns, so that a drifting machine affects all of them alike.
//! Cold starts come first (`cold`), then warm latency in an open loop (`warm`) and throughput in a closed loop
//! (`throughput`). Next come the billed usage of all that (`meters`), reports over all events (`reports`), and the
//! check that no accepted event is lost (`verify`). Deployments are driven after the platforms (`deployment`).
//! `summary` makes figures of the samples.

pub(crate) mod artifact;
mod cold;
pub(crate) mod data;
pub(crate) mod deployment;
mod disk;
pub(crate) mod machine;
mod meters;
pub(crate) mod phases;
mod progress;
mod reports;
pub(crate) mod role;
pub(crate) mod summary;
pub(crate) mod target;
mod throughput;
mod turns;
mod verify;
mod warm;
pub(crate) mod watch;
