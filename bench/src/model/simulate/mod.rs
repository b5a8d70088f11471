//! For each policy, the share of cold requests at scale, the latency and the cost.
//!
//! Arrivals are a stream in order of time (`trace`, with `generate`, `azure` and `scale`). Each arrival goes to every
//! policy (`replay`). A policy is either a fleet of instances that start and end with the requests (`fleet`: Lambda,
//! Workers), or containers that are always on or scaled by load (`containers`). The record of a policy (`record`) does
//! not grow with the trace. The figures (`report`), the costs and break-even loads (`cost`) and the table (`table`)
//! come from it. Times are whole microseconds and all randomness comes from the seed, so the same flags give the same
//! bytes. `bench/VALIDATION.md` says what the models were checked against.

mod arrival;
mod azure;
pub(crate) mod check;
mod containers;
pub(crate) mod cost;
pub(crate) mod draw;
mod fleet;
pub(crate) mod from;
mod generate;
pub(crate) mod input;
pub(crate) mod of_run;
mod options;
pub(crate) mod policy;
pub(crate) mod published;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod report;
mod scale;
pub(crate) mod time;
pub(crate) mod trace;
#[cfg(test)]
mod validation;
