//! Puts a platform under load and checks its answers.
//!
//! A [`Client`] sends one target the requests of a [`Sequence`], in an open loop ([`open()`]) or a closed loop
//! ([`closed()`]), and checks every answer. All of it runs on one thread, so that the client takes at most one core and
//! its wake-ups cost every target the same.

mod client;
mod closed;
mod connection;
mod endpoint;
mod events;
mod open;
mod sequence;
mod timer;

pub use client::*;
pub use closed::*;
use connection::OPEN_WITHIN;
pub use connection::*;
pub use endpoint::*;
pub use events::*;
pub use open::*;
pub use sequence::*;
pub use timer::*;
