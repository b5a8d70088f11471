//! Writes results: the rows that all forms share (`rows`), and each form: a table for a terminal, Markdown, CSV, and the
//! page.

mod baseline;
pub(crate) mod cost;
pub(crate) mod csv;
pub(crate) mod decide;
pub(crate) mod diff;
pub(crate) mod exports;
mod guarantees;
mod html;
pub(crate) mod leave;
pub(crate) mod page;
mod rows;
pub(crate) mod simulate;
pub(crate) mod text;
