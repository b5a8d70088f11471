//! The fourth room: reports. A query says what to read, and the pages that are read are merged into rows. Reading,
//! merging and answering are all bounded.

pub(crate) mod plan;

pub(crate) mod names;
pub(crate) mod query;

pub(crate) mod calendar;
pub(crate) mod zone;

pub(crate) mod data;
pub(crate) mod reading;

mod answer;
mod cursor;
mod table;
