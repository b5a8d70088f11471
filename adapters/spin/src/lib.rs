//! Isotherm on Spin: a wasi:http handler over spin:sqlite.
//!
//! Spin may make an instance for each request, so nothing here is prepared ahead: the configuration is read on the first
//! request of an instance, the database is opened only by requests that touch it, and its table is made when it is missing.

mod entry;
mod request;
mod response;
mod rollups;
mod store;
mod target;
mod upkeep;
