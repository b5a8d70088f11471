//! The load that a platform is put under, and what it answered.
//!
//! A [`Client`] sends one target the requests of a [`Sequence`], open loop ([`open()`]) or closed loop ([`closed()`]), and checks every answer.
//! All of it runs on one thread, so that the client takes no more than one core and its wake-ups cost every target the same.

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
