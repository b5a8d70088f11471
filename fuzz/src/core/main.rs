//! The targets that need core alone.

#![no_main]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a target panics to report what it found")]

mod blocks;
mod config;
mod damaged;
mod doors;
mod gzip;
mod moved;
mod packed;
mod pages;
mod query;
mod record;
mod request;
mod stream;

isotherm_fuzz::program! {
    "blocks" => blocks::run,
    "config" => config::run,
    "doors" => doors::run,
    "gzip" => gzip::run,
    "moved" => moved::run,
    "packed" => packed::run,
    "pages" => pages::run,
    "query" => query::run,
    "record" => record::run,
    "request" => request::run,
    "shard" => damaged::shard,
    "stream" => stream::run,
    "watermark" => damaged::watermark,
}
