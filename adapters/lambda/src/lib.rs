//! Isotherm on AWS Lambda, with its events and rollups in DynamoDB.
//!
//! Each binary of this crate is one function. `ingest`, `read` and `report` take the HTTP events of API Gateway (payload 2.0
//! and 1.0) and of Function URLs, and all answer every route: which routes reach which function, and what it may do with
//! the tables, is decided where they are deployed. `aggregate` takes the batches of the event table's stream.

mod entry;
mod request;
mod response;
mod rollups;
mod store;
mod stream;

pub use entry::{aggregate, run};
