//! The smallest hello function on Spin: what the runtime costs before Isotherm does anything.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn hello(_request: Request) -> impl IntoResponse {
    "hello"
}
