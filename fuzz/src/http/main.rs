//! What the adapters that speak HTTP make of a request's head: all the same.
//!
//! The adapters' modules stand here as they are.

#![no_main]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a target panics to report what it found")]

mod head;
mod response;

#[path = "../../../adapters/native/src/request.rs"]
#[allow(dead_code, reason = "bodies need a connection, and the stamp is the target's")]
mod native;
#[path = "../../../adapters/spin/src/target.rs"]
mod spin;
#[path = "../../../adapters/workers/src/target.rs"]
mod workers;

isotherm_fuzz::program! {
    "http_head" => head::run,
}
