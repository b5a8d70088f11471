//! Isotherm as a plain server: hyper in front, SQLite behind, one process.
//!
//! [`serve`] accepts connections (`connection`) and turns each request into core's (`request`). What core plans is
//! applied to the [`Store`] or read from its `rollups`, and core's reply is sent as it is (`response`). Folded events
//! go to a `backup`, and core's `maintenance` runs between writes, all in one `database`. This crate has no rule about events.
//!
//! What an operator sees of all that is in `watch` and `log`.
//!
//! Everything that clients share has a bound. Connections and bodies have `room`, plans wait in a `backlog` by
//! tenant, and tenants take `turns` at reading.

mod backlog;
mod backup;
mod config;
mod connection;
mod database;
mod entry;
pub mod log;
mod maintenance;
mod moved;
mod request;
mod response;
mod rollups;
mod room;
mod store;
mod turns;
mod watch;

pub use config::Configuration;
pub use entry::{Server, serve};
pub use store::{Settings, Store};
pub use watch::Watch;
