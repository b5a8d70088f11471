//! The fourth room: reports. A query says what to read, and the pages that are read are merged into rows. Reading,
//! merging and answering are all bounded.

pub(crate) mod kind;
pub(crate) mod plan;

mod names;
mod query;

mod calendar;
mod zone;

pub(crate) mod data;
pub(crate) mod reading;

pub(crate) mod answer;
mod cursor;
mod table;
