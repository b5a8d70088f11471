//! Isotherm on Cloudflare Workers: a fetch handler over Durable Objects with SQLite, and the consumer of a queue.
//!
//! ```text
//! fetch ──▶ core admits ──▶ one request to each shard concerned, at once      ──▶ core answers ──▶ response
//! queue ──▶                              likewise                                              ──▶ ack or retry
//! cron  ──▶ each shard compacts and expires           alarm ──▶ a shard backs up and folds what is new
//! ```
//!
//! A tenant's events are spread over Durable Objects by their ids. One object is one SQLite database with one writer. A
//! request writes one row in it, however many events it has.
//! The isolate keeps only the configuration, since it may be gone before the next request.

mod blocks;
mod config;
mod database;
mod entry;
mod maintenance;
mod moved;
mod protocol;
mod queue;
mod request;
mod response;
mod rollups;
mod shard;
mod store;
mod target;
mod watch;
