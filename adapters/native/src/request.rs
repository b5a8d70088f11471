//! HTTP's request as core's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use isotherm_core::{HEADERS, Millis, Stamp};

use crate::response::Abandoned;

/// A client gets this long to send a body.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// What is read and dropped of a body that is too long: a client that is still sending may not read why it is refused.
const DROPPED_BYTES: usize = 16 << 20;

/// A request whose body has been read, as far as it may be.
pub(crate) struct Received {
    head: Parts,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Received {
    /// Reads the body and keeps at most `limit` + 1 bytes of it.
    pub(crate) async fn read(request: Request<Incoming>, limit: usize) -> Result<Self, Abandoned> {
        let (head, body) = request.into_parts();
        let reading = tokio::time::timeout(BODY_WITHIN, read(body, limit));
        let body = reading.await.map_err(|_elapsed| Abandoned("its body came too slowly"))??;
        let headers = HEADERS.iter().filter_map(|name| Some((*name, value_of(&head, name)?))).collect();
        Ok(Self { head, headers, body })
    }

    pub(crate) fn request(&self) -> isotherm_core::Request<'_> {
        isotherm_core::Request {
            method: self.head.method.as_str(),
            path: self.head.uri.path(),
            query: self.head.uri.query().unwrap_or_default(),
            headers: &self.headers,
            body: &self.body,
        }
    }
}

/// The value of a header that is UTF-8. Not `HeaderValue::to_str`, which refuses what is not ASCII.
fn value_of(head: &Parts, name: &str) -> Option<String> {
    Some(std::str::from_utf8(head.headers.get(name)?.as_bytes()).ok()?.to_owned())
}

async fn read(mut body: Incoming, limit: usize) -> Result<Vec<u8>, Abandoned> {
    let mut kept = Vec::new();
    let mut seen = 0;
    while seen <= limit + DROPPED_BYTES
        && let Some(frame) = body.frame().await
    {
        // A body that broke off is no body: nothing is kept of it.
        let frame = frame.map_err(|_broken| Abandoned("its body broke off"))?;
        let Some(data) = frame.data_ref() else { continue };
        seen += data.len();
        let room = (limit + 1).saturating_sub(kept.len());
        kept.extend_from_slice(data.get(..room).unwrap_or(data));
    }
    Ok(kept)
}

/// The system's clock and random source.
pub(crate) fn stamp() -> Result<Stamp, Abandoned> {
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy).map_err(|_none| Abandoned("the system has no entropy"))?;
    Ok(Stamp { received_at: now(), entropy: u128::from_ne_bytes(entropy) })
}

pub(crate) fn now() -> Millis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
