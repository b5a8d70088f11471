//! The smallest hello function on Spin: what the runtime costs before Isotherm does anything.

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

struct Hello;

// Without `#[spin_sdk::http_service]`, as the adapter does it: that would more than double a floor.
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
