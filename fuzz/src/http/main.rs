//! Checks that all adapters that speak HTTP read a request's head alike.
//!
//! The adapters' modules are included here unchanged.

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
