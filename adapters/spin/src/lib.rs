//! Isotherm on Spin: a wasi:http handler over spin:sqlite.
//!
//! Spin may make an instance for each request, so nothing is prepared ahead. An instance reads the configuration on
//! its first request. Only requests that touch the database open it, and missing tables are made then.

mod config;
mod database;
mod entry;
mod maintenance;
mod moved;
mod request;
mod response;
mod rollups;
mod store;
mod target;
mod watch;
