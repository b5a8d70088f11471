//! Which pages may ask: the answers to browsers (Fetch, CORS protocol).

use std::borrow::Cow;

use crate::admission::access::Credential;
use crate::admission::config::Config;
use crate::admission::request::Request;
use crate::admission::route::Route;
use crate::admission::scope::Caller;
use crate::doors::{DoorRoute, POST};
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::time::Stamp;

/// How a browser asks whether a page may send a request.
const OPTIONS: &str = "OPTIONS";
/// The headers that a page may send: those of core, and whatever the doors' clients add, such as RudderStack's `SentAt`.
/// `*` does not stand for `authorization`, and older browsers don't know it.
const ALLOWED: &str = "authorization, content-type, content-encoding, anonymousid, sentat, x-retry-count, *";
/// For how long a browser may keep the answer: a day. Browsers keep it for less.
const MAX_AGE: &str = "86400";

/// The request's origin, if the configuration names it and the route is one that pages may use: it takes events, or says
/// how to send them. Reports are never shared.
pub(crate) fn origin<'a>(config: &Config, head: &'a Request<'_>, path: &str) -> Option<&'a str> {
    let origin = head.header("origin")?;
    let is_known = config.origins.iter().any(|known| known == origin);
    (is_known && methods(path).is_some()).then_some(origin)
}

/// The answer to a browser that asks whether a page of this origin may send a request: the origin is one of
/// [`origin`]'s. The browser sends no key, so the answer depends on no key.
pub(crate) fn preflight(head: &Request<'_>, path: &str, origin: &str) -> Option<Reply> {
    let methods = methods(path).filter(|_| head.method == OPTIONS)?;
    let mut reply = Reply::no_content().shared_with(Some(origin));
    reply.headers.extend([
        ("access-control-allow-methods", methods.to_owned()),
        ("access-control-allow-headers", ALLOWED.to_owned()),
        ("access-control-max-age", MAX_AGE.to_owned()),
    ]);
    Some(reply)
}

/// What a query calls a key: we, Segment and PostHog.
const KEY_NAMES: [&str; 4] = ["key", "writeKey", "api_key", "token"];

/// The key in a query. A beacon has no other place for it.
pub(crate) fn key_in(query: &str) -> Option<Cow<'_, str>> {
    form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| KEY_NAMES.contains(&&*name).then_some(value))
}

/// Who sends a request that writes with this credential, or with the public key in its query. `shared_with`, the origin whose pages may read the answer,
/// is left only if the key names it too.
pub(crate) fn writer<'c>(
    config: &'c Config,
    head: &Request<'_>,
    credential: Credential<'_>,
    stamp: Stamp,
    shared_with: &mut Option<&str>,
) -> Result<Caller<'c>, Rejection> {
    let key = match credential {
        Credential::Authorization(None) => key_in(head.query),
        _ => None,
    };
    let credential = key.as_deref().map_or(credential, Credential::Published);
    let grant = config.access.authorize_write(credential, head.header("origin"), stamp.received_at)?;
    if !grant.is_shared {
        *shared_with = None;
    }
    Ok(grant.caller)
}

/// The methods that pages may use here; `None` where they may use none.
fn methods(path: &str) -> Option<&'static str> {
    match Route::of(POST, path) {
        Ok(Route::PostEvent | Route::PostBatch | Route::Door(DoorRoute::Deliver(_))) => Some(POST),
        _ => match DoorRoute::of(path)? {
            (DoorRoute::Settings(..), POST) => Some(POST),
            (DoorRoute::Settings(..), _) => Some("GET"),
            (DoorRoute::Deliver(_) | DoorRoute::Webhook(_), _) => None,
        },
    }
}
