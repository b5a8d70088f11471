//! The smallest hello function on Spin. It measures what the runtime costs before Isotherm does anything.

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

struct Hello;

// Like the adapter, this does without `#[spin_sdk::http_service]`, which would more than double the floor.
spin_sdk::wasip3::http::service::export!(Hello);

impl Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let (mut body, stream) = wit_stream::new();
        let (_no_trailers, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(stream), trailers);
        spawn(async move { drop(body.write_all(b"hello".to_vec()).await) });
        Ok(response)
    }
}
