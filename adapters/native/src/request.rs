//! Turns an HTTP request into core's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use isotherm_core::{HEADERS, Millis, Stamp, joined};

use crate::response::Abandoned;

/// A client gets this long to send a body.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How much of an unwanted body is read, and for how long.
const DROPPED_BYTES: usize = 16 << 20;
const DROPPED_WITHIN: Duration = Duration::from_secs(5);

/// A request's head.
pub(crate) struct Head {
    head: Parts,
    headers: Vec<(&'static str, String)>,
}

impl Head {
    pub(crate) fn new(head: Parts) -> Self {
        let lines = |name| head.headers.get_all(name).iter().map(|value| value.as_bytes());
        let headers = HEADERS.iter().filter_map(|&name| Some((name, joined(lines(name))?))).collect();
        Self { head, headers }
    }

    /// Core's request. Its body is read later.
    pub(crate) fn request(&self) -> isotherm_core::Request<'_> {
        isotherm_core::Request {
            method: self.head.method.as_str(),
            path: self.head.uri.path(),
            query: self.head.uri.query().unwrap_or_default(),
            headers: &self.headers,
            body: &[],
        }
    }
}

/// Reads a body that may have `limit` bytes. Of a longer body it reads one byte more than that.
pub(crate) async fn body(body: &mut Incoming, limit: usize) -> Result<Vec<u8>, Abandoned> {
    let reading = tokio::time::timeout(BODY_WITHIN, read(body, limit + 1));
    reading.await.map_err(|_elapsed| Abandoned("its body came too slowly"))?
}

async fn read(body: &mut Incoming, most: usize) -> Result<Vec<u8>, Abandoned> {
    let mut kept = Vec::new();
    while kept.len() < most
        && let Some(frame) = body.frame().await
    {
        // A body that broke off does not count, and nothing of it is kept.
        let frame = frame.map_err(|_broken| Abandoned("its body broke off"))?;
        let Some(data) = frame.data_ref() else { continue };
        kept.extend_from_slice(data.get(..most - kept.len()).unwrap_or(data));
    }
    Ok(kept)
}

/// Reads and drops the rest of a body after its answer: a client that is still sending may not read the answer before
/// it is done. Returns whether anything was left.
pub(crate) fn drop_rest(mut body: Incoming) -> bool {
    if body.is_end_stream() {
        return false;
    }
    tokio::spawn(tokio::time::timeout(DROPPED_WITHIN, async move {
        let mut left = DROPPED_BYTES;
        while let Some(Ok(frame)) = body.frame().await
            && let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, |data| data.len()))
        {
            left = rest;
        }
    }));
    true
}

/// Takes the time and entropy from the system's clock and random source.
pub(crate) fn stamp() -> Result<Stamp, Abandoned> {
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy).map_err(|_none| Abandoned("the system has no entropy"))?;
    Ok(Stamp { received_at: now(), entropy: u128::from_ne_bytes(entropy) })
}

pub(crate) fn now() -> Millis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
