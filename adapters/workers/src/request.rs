//! Turns the runtime's request into core's.

use isotherm_core::{HEADERS, Millis, Stamp};
use worker::js_sys::{Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, ReadableStreamDefaultReader};
use worker::{Date, Error, Result};

use crate::target::path_and_query;

/// A request's head.
pub(crate) struct Head {
    method: String,
    url: String,
    headers: Vec<(&'static str, String)>,
}

impl Head {
    pub(crate) fn new(request: &web_sys::Request) -> Self {
        let headers = request.headers();
        // The runtime has joined the lines of each header.
        let header = |name: &'static str| Some((name, headers.get(name).ok()??));
        let headers = HEADERS.iter().filter_map(|name| header(name)).collect();
        Self { method: request.method(), url: request.url(), headers }
    }

    /// Core's request. Its body is read later.
    pub(crate) fn request(&self) -> isotherm_core::Request<'_> {
        let (path, query) = path_and_query(&self.url);
        isotherm_core::Request { method: &self.method, path, query, headers: &self.headers, body: &[] }
    }
}

/// Reads a body that may have `limit` bytes. Of a longer body it reads one byte more than that.
pub(crate) async fn body(request: &web_sys::Request, limit: usize) -> Result<Vec<u8>> {
    let length = request.headers().get("content-length").ok().flatten();
    if length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length <= limit) {
        // The runtime holds it to this length. To read it at once takes half the time.
        return Ok(Uint8Array::new(&JsFuture::from(request.array_buffer()?).await?).to_vec());
    }
    let mut body = Vec::new();
    let Some(stream) = request.body() else { return Ok(body) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    while body.len() <= limit {
        // A body that broke off does not count, and nothing of it is kept.
        let part = JsFuture::from(reader.read()).await?;
        if Reflect::get(&part, &"done".into())?.is_truthy() {
            return Ok(body);
        }
        let bytes: Uint8Array = Reflect::get(&part, &"value".into())?.dyn_into()?;
        let wanted = bytes.length().min(u32::try_from(limit + 1 - body.len()).unwrap_or(u32::MAX));
        body.extend_from_slice(&bytes.subarray(0, wanted).to_vec());
    }
    // The rest is not wanted. It does not matter whether the client learns that before it has sent everything.
    let _cancelled = reader.cancel_with_reason(&JsValue::from_str("the body is longer than it may be"));
    Ok(body)
}

/// Takes the time from the runtime's clock, which stands still between I/O when deployed, and the entropy from its
/// random source.
pub(crate) fn stamp() -> Result<Stamp> {
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy).map_err(|error| Error::RustError(format!("no entropy: {error}")))?;
    Ok(Stamp { received_at: Millis(Date::now().as_millis()), entropy: u128::from_ne_bytes(entropy) })
}
