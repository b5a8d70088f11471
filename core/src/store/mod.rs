//! The second room: what a store is asked, what it answers, and the reply that the client gets for it.
//!
//! ```text
//! Plan ─▶ the host's store ─▶ outcomes ─▶ respond ─▶ Reply
//! ```

pub(crate) mod holder;
pub(crate) mod new_event;
mod otlp;
pub(crate) mod plan;

pub(crate) mod export;
pub(crate) mod import;

pub(crate) mod answer;
pub(crate) mod delivery;
pub(crate) mod respond;

pub mod group_commit;
pub(crate) mod limiter;
pub(crate) mod load;
pub(crate) mod patience;
