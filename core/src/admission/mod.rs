//! The first room: a request comes in, and is answered or becomes a plan.
//!
//! ```text
//! Request ─▶ route ─▶ access ─▶ body ─▶ json ─▶ event ─▶ NewEvent, in a plan
//!            └────────── Door: the head decides ──────┘
//! ```

pub(crate) mod request;

pub(crate) mod access;
pub(crate) mod allowances;
pub(crate) mod bots;
pub(crate) mod config;
mod cors;
pub(crate) mod document;
pub(crate) mod door;
mod foreign_request;
pub(crate) mod privacy;
pub(crate) mod retention;
pub(crate) mod route;
pub(crate) mod schemas;
pub(crate) mod scope;
pub(crate) mod secrets;
pub(crate) mod signature;
pub(crate) mod tokens;
pub(crate) mod webhooks;

pub(crate) mod body;
pub(crate) mod event;
pub(crate) mod foreign;
mod intake;
pub(crate) mod json;
pub(crate) mod member;
mod moved;
pub(crate) mod restored;
pub(crate) mod schema;

pub mod warming;
