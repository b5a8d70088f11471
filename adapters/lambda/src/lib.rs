//! Isotherm on AWS Lambda, with its events in DynamoDB.
//!
//! Each binary of this crate is one function. Both take the HTTP events of API Gateway (payload 2.0 and 1.0) and of
//! Function URLs, and both answer every route: which routes reach which function, and what it may do with the table,
//! is decided where they are deployed.

mod entry;
mod request;
mod response;
mod store;

pub use entry::run;
