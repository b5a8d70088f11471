//! Isotherm as a plain server: hyper in front, SQLite behind, one process.
//!
//! [`serve`] accepts connections (`connection`); each request becomes core's (`request`), what core plans is applied to the
//! [`Store`] or read from its `rollups`, and core's reply is sent as it is (`response`). What was folded goes to a `backup`, and a
//! core's `upkeep` is done between writes. There is no rule about events in this crate.
//!
//! What clients share has a bound: connections and bodies have `room`, plans wait in a `backlog` by tenant, and tenants take `turns`
//! at reading.

mod backlog;
mod backup;
mod connection;
mod entry;
pub mod log;
mod request;
mod response;
mod rollups;
mod room;
mod store;
mod turns;
mod upkeep;

pub use entry::{Server, serve};
pub use store::{Settings, Store};
