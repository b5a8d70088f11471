//! The targets that need core alone.

#![no_main]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a target panics to report what it found")]

mod blocks;
mod config;
mod damaged;
mod gzip;
mod packed;
mod pages;
mod query;
mod record;
mod request;
mod stream;

isotherm_fuzz::program! {
    "blocks" => blocks::run,
    "config" => config::run,
    "gzip" => gzip::run,
    "packed" => packed::run,
    "pages" => pages::run,
    "query" => query::run,
    "record" => record::run,
    "request" => request::run,
    "shard" => damaged::shard,
    "stream" => stream::run,
    "watermark" => damaged::watermark,
}
