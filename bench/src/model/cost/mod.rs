//! The monthly cost on each platform.
//!
//! A design turns monthly requests into usage: units by service and price. Usage times the price book is a bill.
//! Besides requests, usage depends on assumptions and on events. Assumptions are data with sources, and each table
//! prints them. Core itself weighs and folds the events.

pub(crate) mod assumptions;
pub(crate) mod available;
mod baseline;
pub(crate) mod beside;
pub(crate) mod bill;
pub(crate) mod break_even;
pub(crate) mod credits;
pub(crate) mod design;
pub(crate) mod from;
pub(crate) mod given;
mod instead;
mod lambda;
pub(crate) mod leave;
pub(crate) mod limits;
pub(crate) mod managed;
mod metered;
mod nodes;
pub(crate) mod of_run;
pub(crate) mod quote;
pub(crate) mod sample;
pub(crate) mod usage;
mod workers;
