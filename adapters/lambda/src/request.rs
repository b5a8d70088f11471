//! From the HTTP events of API Gateway and Function URLs to core's request.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::{HEADERS, Request};
use lambda_runtime::Error;
use serde::Deserialize;

/// Which of the two shapes an event has; its answer has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// HTTP APIs and Function URLs.
    V2,
    /// REST APIs, and HTTP APIs that ask for it.
    V1,
}

/// An HTTP request, taken out of its event.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) payload: Payload,
    method: Cow<'a, str>,
    path: Cow<'a, str>,
    query: Cow<'a, str>,
    headers: Vec<(&'static str, String)>,
    body: Cow<'a, [u8]>,
}

impl<'a> Incoming<'a> {
    /// Reads an event, and of its body at most one byte more than `body_limit`.
    pub(crate) fn read(event: &'a str, body_limit: usize) -> Result<Self, Error> {
        let event: Event<'a> = serde_json::from_str(event).map_err(|error| format!("{NOT_HTTP}: {error}"))?;
        let context = event.request_context;
        let (payload, method, path, query) = match (context.http, event.raw_path, event.http_method, event.path) {
            (Some(http), Some(path), _, _) => {
                let query = event.raw_query_string.map_or(Cow::Borrowed(""), |query| query.0);
                (Payload::V2, http.method.0, without_stage(path.0, context.stage.as_ref()), query)
            }
            (None, _, Some(method), Some(path)) => {
                // A REST API has taken the stage off `path` already; an HTTP API gives the same path in both places.
                let staged = context.path.as_ref().is_some_and(|as_sent| as_sent.0 == path.0);
                let path = if staged { without_stage(path.0, context.stage.as_ref()) } else { path.0 };
                let parameters = event.multi_value_query_string_parameters.unwrap_or_default();
                (Payload::V1, method.0, path, Cow::Owned(query_of(&parameters)))
            }
            _ => return Err(NOT_HTTP.into()),
        };
        let headers = event.headers.unwrap_or_default();
        let headers = known(headers.iter().map(|(name, value)| (&*name.0, &*value.0)));
        let mut body = match event.body {
            None => Cow::Borrowed(&[][..]),
            Some(Text(body)) if event.is_base64_encoded => Cow::Owned(STANDARD.decode(body.as_bytes())?),
            Some(Text(Cow::Borrowed(body))) => Cow::Borrowed(body.as_bytes()),
            Some(Text(Cow::Owned(body))) => Cow::Owned(body.into_bytes()),
        };
        match &mut body {
            Cow::Borrowed(bytes) => *bytes = &bytes[..bytes.len().min(body_limit + 1)],
            Cow::Owned(bytes) => bytes.truncate(body_limit + 1),
        }
        Ok(Self { payload, method, path, query, headers, body })
    }

    /// The request as core sees it.
    pub(crate) fn request(&self) -> Request<'_> {
        Request { method: &self.method, path: &self.path, query: &self.query, headers: &self.headers, body: &self.body }
    }
}

const NOT_HTTP: &str =
    "the event is no HTTP request of API Gateway (payload 2.0 or 1.0) or of a Function URL, and no warming ping";

/// What is read of the two payloads; the names are AWS's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    request_context: RequestContext<'a>,
    raw_path: Option<Text<'a>>,
    raw_query_string: Option<Text<'a>>,
    http_method: Option<Text<'a>>,
    path: Option<Text<'a>>,
    multi_value_query_string_parameters: Option<Parameters<'a>>,
    headers: Option<BTreeMap<Text<'a>, Text<'a>>>,
    body: Option<Text<'a>>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Sorted, since the event's own order means nothing.
type Parameters<'a> = BTreeMap<Text<'a>, Vec<Text<'a>>>;

#[derive(Deserialize)]
struct RequestContext<'a> {
    #[serde(borrow)]
    http: Option<Http<'a>>,
    stage: Option<Text<'a>>,
    path: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Http<'a> {
    #[serde(borrow)]
    method: Text<'a>,
}

/// Text that stays where it is when it has no escapes: serde would copy a bare `Cow` inside an `Option`.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// The values of the headers that core reads. Payload 1.0 keeps the case in which a client sent a name.
pub(crate) fn known<'h>(headers: impl Iterator<Item = (&'h str, &'h str)> + Clone) -> Vec<(&'static str, String)> {
    let value = |name: &str| headers.clone().find(|(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    HEADERS.iter().filter_map(|&name| Some((name, value(name)?.to_owned()))).collect()
}

/// The path without the stage that a named stage puts before it.
fn without_stage<'a>(path: Cow<'a, str>, stage: Option<&Text<'_>>) -> Cow<'a, str> {
    let rest = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(&*stage.0));
    match rest {
        Some("") => Cow::Borrowed("/"),
        Some(rest) if rest.starts_with('/') => Cow::Owned(rest.to_owned()),
        _ => path,
    }
}

/// The query, decoded in payload 1.0, as it would have been sent, up to its order.
fn query_of(parameters: &Parameters<'_>) -> String {
    let pairs = parameters.iter().flat_map(|(name, values)| values.iter().map(move |value| (&name.0, &value.0)));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
