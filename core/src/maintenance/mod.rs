//! The fifth room: the work on a store that no request asks for. Events are backed up, folded into rollups, compacted
//! and, in the end, expired.
//!
//! ```text
//! a store with one writer:    Held ─▶ Maintenance ─▶ Task ─▶ the host
//! a store that hands over     a stream's batch ─▶ Lanes ─▶ StreamStep ─▶ the host
//! its changes as a stream:
//! ```

pub(crate) mod condition;
pub(crate) mod folded;
pub(crate) mod intake;
pub(crate) mod machine;
mod retry;
pub(crate) mod step;

pub(crate) mod lanes;
pub(crate) mod lost;
pub(crate) mod pulse;
pub(crate) mod round;
pub(crate) mod stream;
mod waiting;
pub(crate) mod watermark;

pub(crate) mod backup;
