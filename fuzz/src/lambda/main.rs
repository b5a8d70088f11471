//! Lambda's own reading of the platform's events, over a store in memory.
//!
//! The adapter's modules are included here unchanged. They find this program's `store`, `backup` and `failure` where
//! they look for their own.

#![no_main]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a target panics to report what it found")]

mod backup;
mod failure;
mod store;
mod targets;
mod watch;

#[path = "../../../adapters/lambda/src/queue.rs"]
mod queue;
#[path = "../../../adapters/lambda/src/request.rs"]
#[allow(dead_code, reason = "which payload the answer gets is the adapter's to look at")]
mod request;
#[path = "../../../adapters/lambda/src/stream.rs"]
mod stream;

isotherm_fuzz::program! {
    "lambda_http" => targets::http,
    "lambda_queue" => targets::queue,
    "lambda_stream" => targets::stream,
}
