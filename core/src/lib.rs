//! Isotherm's rules: events in, plans and replies out.
//!
//! This crate does no I/O, asks no clock and no source of randomness, is never async and knows no platform. A host
//! (one of the adapters) hands it a request and a [`Stamp`], does what the returned plan says with its own store, and
//! hands back what became of it:
//!
//! ```text
//! Request, Stamp ──▶ Service::admit ──▶ Reply                               (errors, health, the contract itself)
//!                                  └──▶ Plan ──▶ the host's store ──▶ settle ──▶ Reply
//! ```
mod config;
mod content;
mod id;
mod plan;
mod reply;
mod request;
mod time;

pub use config::*;
pub use content::Digest;
pub use id::*;
pub use plan::*;
pub use reply::*;
pub use request::*;
pub use time::*;
