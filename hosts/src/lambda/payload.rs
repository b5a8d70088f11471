//! Events of an HTTP API in payload 2.0, and the answers to them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Response, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use super::clock::now_ms;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'a str,
    route_key: &'a str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Cow<'a, str>>,
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    request_context: Context2<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
    is_base64_encoded: bool,
}

/// `requestContext` of payload 2.0.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context2<'a> {
    account_id: &'a str,
    api_id: &'a str,
    domain_name: Cow<'a, str>,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: String,
    route_key: &'a str,
    stage: &'a str,
    time_epoch: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'a str,
    source_ip: &'a str,
    user_agent: Cow<'a, str>,
}

/// Makes the event of a request, as the stage `$default` does.
pub(crate) fn event(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Bytes> {
    let query = uri.query().unwrap_or_default();
    let (body, is_base64_encoded) = encode(headers, body);
    let event = Event {
        version: "2.0",
        route_key: "$default",
        raw_path: uri.path(),
        raw_query_string: query,
        cookies: headers.get_all(COOKIE).iter().flat_map(cookies).collect(),
        headers: joined(headers),
        query_string_parameters: parameters(query),
        request_context: Context2 {
            account_id: "123456789012",
            api_id: "isotherm",
            domain_name: text(headers.get(HOST)),
            domain_prefix: "isotherm",
            http: Http {
                method: method.as_str(),
                path: uri.path(),
                protocol: "HTTP/1.1",
                source_ip: "127.0.0.1",
                user_agent: text(headers.get(USER_AGENT)),
            },
            request_id: request_id(),
            route_key: "$default",
            stage: "$default",
            time_epoch: now_ms(),
        },
        body,
        is_base64_encoded,
    };
    Ok(serde_json::to_vec(&event)?.into())
}

/// Makes the authoriser's event from a request's head, in payload 2.0.
pub(crate) fn authorizer_event(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Bytes> {
    let event = event(method, uri, headers, &[])?;
    let mut event: serde_json::Value = serde_json::from_slice(&event)?;
    event["type"] = "REQUEST".into();
    event["identitySource"] = serde_json::json!([text(headers.get(AUTHORIZATION))]);
    if let Some(event) = event.as_object_mut() {
        event.remove("isBase64Encoded");
    }
    Ok(serde_json::to_vec(&event)?.into())
}

/// A new request id in the format of API Gateway.
pub(crate) fn request_id() -> String {
    let mut bytes = [0; 11];
    // Ids only need to differ. Without the system's randomness, nothing else here would work either.
    let _unavailable = getrandom::fill(&mut bytes);
    format!("{}=", STANDARD.encode(bytes).trim_end_matches('='))
}

/// Leaves text bodies unchanged and encodes all others in base64. Returns whether the body is encoded.
fn encode<'a>(headers: &HeaderMap, body: &'a [u8]) -> (Option<Cow<'a, str>>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    let media = text(headers.get(CONTENT_TYPE)).to_ascii_lowercase();
    let media = media.split(';').next().unwrap_or_default().trim();
    let is_text = media.starts_with("text/")
        || matches!(media, "application/json" | "application/javascript" | "application/xml")
        || media.ends_with("+json")
        || media.ends_with("+xml");
    match std::str::from_utf8(body) {
        Ok(body) if is_text => (Some(Cow::Borrowed(body)), false),
        _ => (Some(Cow::Owned(STANDARD.encode(body))), true),
    }
}

fn text(value: Option<&HeaderValue>) -> Cow<'_, str> {
    value.map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default()
}

fn cookies(value: &HeaderValue) -> impl Iterator<Item = Cow<'_, str>> {
    value.to_str().unwrap_or_default().split(';').map(|cookie| Cow::Borrowed(cookie.trim()))
}

/// Headers with names in lower case. Repeated headers are joined by commas. JSON can't hold text that is not UTF-8, so
/// invalid bytes are replaced.
fn joined(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        if name == COOKIE {
            continue;
        }
        let value = text(Some(value));
        joined
            .entry(name.as_str())
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    joined
}

/// The decoded query. Repeated parameters are joined by commas.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        parameters
            .entry(decode(name))
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert(value.clone());
    }
    parameters
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match (escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()), first) {
            (Some(byte), _) => {
                bytes.push(byte);
                rest = &after[2..];
                continue;
            }
            (None, b'+') => bytes.push(b' '),
            (None, byte) => bytes.push(byte),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The HTTP response that a function's answer stands for. An answer with `statusCode` describes the response; any other
/// JSON is the body.
pub(crate) fn response(answer: &Bytes) -> Result<Response<Full<Bytes>>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        status_code: u16,
        #[serde(default)]
        headers: BTreeMap<String, Value>,
        #[serde(default)]
        cookies: Vec<String>,
        #[serde(default)]
        body: Option<String>,
        #[serde(default)]
        is_base64_encoded: bool,
    }
    /// Headers may also be numbers and booleans.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Other(serde_json::Value),
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(answer) else {
        serde_json::from_slice::<serde::de::IgnoredAny>(answer).context("the function's answer is no JSON")?;
        let mut inferred = Response::new(Full::new(answer.clone()));
        inferred.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Ok(inferred);
    };
    let body = answer.body.unwrap_or_default();
    let body = match answer.is_base64_encoded {
        true => STANDARD.decode(body).context("the function's answer says that its body is base64")?.into(),
        false => Bytes::from(body),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status_code).context("the function's answer has a bad statusCode")?;
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        let value = match value {
            Value::Text(text) => text,
            Value::Other(other) => other.to_string(),
        };
        headers.append(name.parse::<HeaderName>()?, value.parse()?);
    }
    for cookie in answer.cookies {
        headers.append("set-cookie", cookie.parse()?);
    }
    // This is API Gateway's default.
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain;charset=UTF-8"));
    Ok(response)
}
