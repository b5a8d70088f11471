//! The third room: rollups, which reports read instead of events. Merging them is commutative and associative, down to
//! the byte.
//!
//! ```text
//! record ─▶ Observation ─▶ Fold ──(reads pages)──▶ pages to write
//! ```
//!
//! A [`Rollup`](rollup::Rollup) summarizes the events of one hour, event type, dimension and value of that dimension. A
//! page holds the rollups of consecutive values. Stores keep pages under keys and need not know their content.

pub(crate) mod observation;

pub(crate) mod compaction;
pub(crate) mod fold;
pub(crate) mod key;
pub(crate) mod page;
pub(crate) mod stored;
pub(crate) mod union;

mod counting;
mod fold_events;
mod place;
mod ranks;
mod sample;
mod tally;
mod text;

pub(crate) mod interner;
pub(crate) mod rollup;

mod exact_sum;
mod hyperloglog;
mod log_histogram;
pub(crate) mod number;
pub(crate) mod numbers_cap;
mod superaccumulator;
