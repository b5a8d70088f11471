//! Turns Spin's request into core's.

use std::time::{SystemTime, UNIX_EPOCH};

use isotherm_core::{HEADERS, Millis, Stamp, joined};
use spin_sdk::wasip3::http::types::{ErrorCode, Method, Request};
use spin_sdk::wasip3::wit_bindgen::{StreamReader, StreamResult};
use spin_sdk::wasip3::{spawn, wit_future};

use crate::response::failure;
use crate::target::path_and_query;

/// How much of a body is asked for at first, and at least.
const CHUNK: usize = 16 * 1024;

/// How much of an unwanted body is read, so that its client gets to the answer.
const DRAINED: usize = 64 * 1024 * 1024;

/// A request's head.
pub(crate) struct Head {
    method: Method,
    target: String,
    headers: Vec<(&'static str, String)>,
    has_body: bool,
}

impl Head {
    pub(crate) fn new(request: &Request) -> Self {
        let fields = request.get_headers();
        let header = |name: &&'static str| Some((*name, joined(fields.get(name).iter().map(Vec::as_slice))?));
        Self {
            method: request.get_method(),
            target: request.get_path_with_query().unwrap_or_default(),
            headers: HEADERS.iter().filter_map(header).collect(),
            has_body: fields.has("content-length") || fields.has("transfer-encoding"),
        }
    }

    /// Reads and drops the body of a request that is answered without it.
    pub(crate) fn discard(&self, request: Request) {
        if self.has_body {
            let (_received, received) = wit_future::new(|| Ok(()));
            let (stream, _no_trailers) = Request::consume_body(request, received);
            spawn(drain(stream));
        }
    }

    /// Core's request. Its body is read later.
    pub(crate) fn request(&self) -> isotherm_core::Request<'_> {
        let (path, query) = path_and_query(&self.target);
        isotherm_core::Request { method: name(&self.method), path, query, headers: &self.headers, body: &[] }
    }
}

/// Reads a body that may have `limit` bytes. Of a longer body it reads one byte more than that.
pub(crate) async fn body(request: Request, limit: usize) -> Result<Vec<u8>, ErrorCode> {
    let most = limit + 1;
    let (_received, received) = wit_future::new(|| Ok(()));
    let (mut stream, trailers) = Request::consume_body(request, received);
    let mut body = Vec::new();
    while body.len() < most {
        // Each read fills the free room, which doubles every time.
        body.reserve_exact(body.len().clamp(CHUNK, most.max(CHUNK)));
        let (result, read) = stream.read(body).await;
        body = read;
        if let StreamResult::Dropped | StreamResult::Cancelled = result {
            // A body that broke off does not count, and nothing of it is kept. The runtime tells its client so.
            trailers.await?;
            break;
        }
    }
    if body.len() >= most {
        spawn(drain(stream));
    }
    body.truncate(most);
    Ok(body)
}

/// Reads the rest of a body while the answer to it is sent. Otherwise the runtime closes the connection on a client
/// that still sends, and the client never reads its answer.
async fn drain(mut stream: StreamReader<u8>) {
    let (mut left, mut chunk) = (DRAINED, Vec::with_capacity(CHUNK));
    while left > 0 {
        let (result, mut read) = stream.read(chunk).await;
        if let StreamResult::Dropped | StreamResult::Cancelled = result {
            break;
        }
        left = left.saturating_sub(read.len());
        read.clear();
        chunk = read;
    }
}

fn name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}

/// Takes the time from the node's clock and the entropy from WASI's random source.
pub(crate) fn stamp() -> Result<Stamp, ErrorCode> {
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy).map_err(|_unavailable| failure("the node has no source of randomness"))?;
    Ok(Stamp { received_at: now(), entropy: u128::from_ne_bytes(entropy) })
}

pub(crate) fn now() -> Millis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
