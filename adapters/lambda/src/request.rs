//! From the HTTP events of API Gateway and Function URLs to core's request.

use anyhow::{Context as _, Result};
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use aws_lambda_events::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::{HEADERS, Request, joined};

/// Which of the two shapes an event has; its answer has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// HTTP APIs and Function URLs.
    V2,
    /// REST APIs, and HTTP APIs that ask for it.
    V1,
}

/// An HTTP request, taken out of its event.
pub(crate) struct Incoming {
    pub(crate) payload: Payload,
    method: String,
    path: String,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Incoming {
    /// Reads an event.
    pub(crate) fn read(event: &str) -> Result<Self> {
        if let Ok(event) = serde_json::from_str::<ApiGatewayV2httpRequest>(event) {
            let context = event.request_context;
            return Ok(Self {
                payload: Payload::V2,
                method: context.http.method.to_string(),
                path: without_stage(event.raw_path.unwrap_or_default(), context.stage.as_deref()),
                query: event.raw_query_string.unwrap_or_default(),
                headers: known(|name| lines(&event.headers, name)),
                body: decoded(event.body, event.is_base64_encoded)?,
            });
        }
        let event: ApiGatewayProxyRequest = serde_json::from_str(event).context(NOT_HTTP)?;
        let (context, path) = (event.request_context, event.path.unwrap_or_default());
        // A REST API has taken the stage off `path` already; an HTTP API gives the same path in both places.
        let stage = context.stage.filter(|_| context.path.as_ref() == Some(&path));
        // Decoded, and sorted, since the event's own order means nothing.
        let mut parameters: Vec<_> = event.multi_value_query_string_parameters.iter().collect();
        parameters.sort_by_key(|(name, _)| *name);
        Ok(Self {
            payload: Payload::V1,
            method: event.http_method.to_string(),
            path: without_stage(path, stage.as_deref()),
            query: form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish(),
            // `headers` has the last line of each alone.
            headers: known(|name| lines(&event.multi_value_headers, name).or_else(|| lines(&event.headers, name))),
            body: decoded(event.body, event.is_base64_encoded)?,
        })
    }

    /// The request as core sees it.
    pub(crate) fn request(&self) -> Request<'_> {
        Request { method: &self.method, path: &self.path, query: &self.query, headers: &self.headers, body: &self.body }
    }
}

const NOT_HTTP: &str =
    "the event is no HTTP request of API Gateway (payload 2.0 or 1.0) or of a Function URL, and no warming ping";

/// The values of the headers that core reads.
pub(crate) fn known(value: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    HEADERS.iter().filter_map(|&name| Some((name, value(name)?))).collect()
}

/// The value of a header, whose lines a gateway may have joined already.
fn lines(headers: &HeaderMap, name: &str) -> Option<String> {
    joined(headers.get_all(name).iter().map(HeaderValue::as_bytes))
}

/// The path without the stage that a named stage puts before it.
fn without_stage(path: String, stage: Option<&str>) -> String {
    match stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage)) {
        Some("") => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path,
    }
}

fn decoded(body: Option<String>, is_base64_encoded: bool) -> Result<Vec<u8>> {
    let body = body.unwrap_or_default();
    if is_base64_encoded { Ok(STANDARD.decode(body)?) } else { Ok(body.into_bytes()) }
}
