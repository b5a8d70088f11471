//! Turns the HTTP events of API Gateway and Function URLs into core's request.

use std::collections::HashMap;
use std::time::SystemTime;

use anyhow::Result;
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use aws_lambda_events::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::{Admission, HEADERS, Line, Millis, Request, Seen, Service, Stamp, Writer, joined};

use crate::failure::{InvalidEvent, flaw};

/// The two shapes of an event. Its answer has the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Sent by HTTP APIs and Function URLs.
    V2,
    /// Sent by REST APIs, and by HTTP APIs that ask for it.
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
    /// True if API Gateway's JWT authoriser has checked the token in the header `authorization`. The event does not say where
    /// the token was, so the authoriser must look there and nowhere else.
    is_verified: bool,
}

impl Incoming {
    /// Reads an event. `prefix` is what stands before every path if the event itself does not say so.
    pub(crate) fn read(event: &str, prefix: &str) -> Result<Self> {
        if let Ok(event) = serde_json::from_str::<ApiGatewayV2httpRequest>(event) {
            let context = event.request_context;
            let path = without_stage(event.raw_path.unwrap_or_default(), context.stage.as_deref());
            // `POST /events`, `ANY /{proxy+}`, or `$default`, which does not tell the path.
            let resource = event.route_key.as_deref().and_then(|key| Some(key.split_once(' ')?.1));
            let path = without_prefix(path, prefix, resource, &event.path_parameters);
            // Only API Gateway writes the event's context. No part of a request gets there.
            let is_verified = context.authorizer.is_some_and(|authorizer| authorizer.jwt.is_some());
            return Ok(Self {
                payload: Payload::V2,
                method: context.http.method.to_string(),
                path: if is_verified { without_token(path) } else { path },
                query: event.raw_query_string.unwrap_or_default(),
                headers: known(|name| lines(&event.headers, name)),
                body: decoded(event.body, event.is_base64_encoded)?,
                is_verified,
            });
        }
        let event: ApiGatewayProxyRequest =
            serde_json::from_str(event).map_err(|error| flaw(&error).context(InvalidEvent(NOT_HTTP)))?;
        let (context, path) = (event.request_context, event.path.unwrap_or_default());
        // A REST API has taken the stage off `path` already; an HTTP API gives the same path in both places.
        let stage = context.stage.filter(|_| context.path.as_ref() == Some(&path));
        // The parameters are decoded already. They are sorted because the event's own order means nothing.
        let mut parameters: Vec<_> = event.multi_value_query_string_parameters.iter().collect();
        parameters.sort_by_key(|(name, _)| *name);
        Ok(Self {
            payload: Payload::V1,
            method: event.http_method.to_string(),
            path: without_prefix(
                without_stage(path, stage.as_deref()),
                prefix,
                event.resource.as_deref(),
                &event.path_parameters,
            ),
            query: form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish(),
            // `headers` keeps only the last line of each header, so the lists of all lines come first.
            headers: known(|name| lines(&event.multi_value_headers, name).or_else(|| lines(&event.headers, name))),
            body: decoded(event.body, event.is_base64_encoded)?,
            // In payload 1.0 any authoriser's own answer may stand at that place, so it vouches for nothing.
            is_verified: false,
        })
    }

    /// Hands the request to core.
    pub(crate) fn admit(&self, service: &Service, stamp: Stamp) -> Admission {
        let request = self.request();
        if self.is_verified { service.admit_verified(&request, stamp) } else { service.admit(&request, stamp) }
    }

    /// The line to write for the answered request.
    pub(crate) fn line(&self, service: &Service, seen: &Seen, writer: Writer<'_>) -> Option<Line> {
        let request = self.request();
        if self.is_verified {
            service.verified_line(&request, seen, writer)
        } else {
            service.line(&request, seen, writer)
        }
    }

    /// Returns core's view of the request.
    pub(crate) fn request(&self) -> Request<'_> {
        Request { method: &self.method, path: &self.path, query: &self.query, headers: &self.headers, body: &self.body }
    }
}

const NOT_HTTP: &str =
    "the event is no HTTP request of API Gateway (payload 2.0 or 1.0) or of a Function URL, and no warming ping";

/// The values of the headers that core reads, by name.
pub(crate) fn known(value: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    HEADERS.iter().filter_map(|&name| Some((name, value(name)?))).collect()
}

/// The value of a header. A gateway may have joined its lines already.
fn lines(headers: &HeaderMap, name: &str) -> Option<String> {
    joined(headers.get_all(name).iter().map(HeaderValue::as_bytes))
}

/// Removes the stage that a named stage puts before the path; `$default` puts nothing there.
fn without_stage(path: String, stage: Option<&str>) -> String {
    match stage.filter(|stage| *stage != "$default").and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage)) {
        Some("") => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path,
    }
}

/// Removes what stands before the template's routes with an authoriser, which lets no key in. All other routes take keys.
fn without_token(path: String) -> String {
    path.strip_prefix("/token").filter(|rest| rest.starts_with('/')).map(str::to_owned).unwrap_or(path)
}

/// Removes the prefix that a custom domain's mapping puts before the path: the configured `prefix`, or everything
/// before the resource that API Gateway found.
fn without_prefix(path: String, prefix: &str, resource: Option<&str>, parameters: &HashMap<String, String>) -> String {
    let prefix = prefix.trim_matches('/');
    if !prefix.is_empty()
        && let Some(rest) = path.strip_prefix('/').and_then(|path| path.strip_prefix(prefix))
        && rest.starts_with('/')
    {
        return rest.to_owned();
    }
    match resource.and_then(|resource| found(&path, resource, parameters)) {
        Some(found) => found.to_owned(),
        None => path,
    }
}

/// The end of the path that matches this resource, such as `/{proxy+}`, with these parameters.
fn found<'p>(path: &'p str, resource: &str, parameters: &HashMap<String, String>) -> Option<&'p str> {
    let mut filled = String::new();
    for part in resource.strip_prefix('/')?.split('/') {
        let parameter = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let value = parameter.map(|name| parameters.get(name.trim_end_matches('+')).map(String::as_str));
        filled.push('/');
        filled.push_str(value.unwrap_or(Some(part))?);
    }
    let (start, _) = path.rmatch_indices('/').nth(filled.matches('/').count() - 1)?;
    let end = path.get(start..)?;
    // Parameters may be decoded where the path still has escapes; the number of parts is the same.
    (end == filled || end.contains('%')).then_some(end)
}

fn decoded(body: Option<String>, is_base64_encoded: bool) -> Result<Vec<u8>> {
    let body = body.unwrap_or_default();
    if is_base64_encoded {
        Ok(STANDARD.decode(body).map_err(|_quotes| InvalidEvent("the event's body is no base64"))?)
    } else {
        Ok(body.into_bytes())
    }
}

/// Takes the time from the system's clock, and the entropy from its source of randomness.
pub(crate) fn stamp() -> Result<Stamp> {
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy)?;
    Ok(Stamp { received_at: now()?, entropy: u128::from_ne_bytes(entropy) })
}

/// The current time.
pub(crate) fn now() -> Result<Millis> {
    Ok(Millis(u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?))
}

#[cfg(test)]
mod tests {
    use isotherm_core::{Admission, Plan, Service, Stamp};
    use serde_json::{Value, json};

    use super::*;

    const V1: &str = include_str!("../../../hosts/tests/lambda/payloads/rest-api.json");
    const V2: &str = include_str!("../../../hosts/tests/lambda/payloads/http-api.json");

    /// Reads a payload with a test's changes: a map from JSON pointers to values.
    fn read(payload: &str, changes: Value, prefix: &str) -> Incoming {
        let mut payload: Value = serde_json::from_str(payload).unwrap();
        for (pointer, value) in changes.as_object().unwrap() {
            *payload.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
        }
        Incoming::read(&payload.to_string(), prefix).unwrap()
    }

    /// An event of a REST API.
    fn v1(path: &str, sent: &str, resource: &str, parameters: Value, prefix: &str) -> Incoming {
        let changes = json!({ "/path": path, "/requestContext/path": sent, "/resource": resource,
            "/pathParameters": parameters });
        read(V1, changes, prefix)
    }

    /// An event of an HTTP API.
    fn v2(path: &str, key: &str, parameters: Value, prefix: &str) -> Incoming {
        let changes = json!({ "/rawPath": path, "/requestContext/http/path": path, "/routeKey": key,
            "/requestContext/routeKey": key, "/pathParameters": parameters });
        read(V2, changes, prefix)
    }

    #[test]
    fn what_a_custom_domain_puts_before_a_path_is_taken_off() {
        let proxy = |path: &str| json!({ "proxy": path });
        for (incoming, expected) in [
            // Recorded shapes: with a base path mapping, without one, with a stage.
            (v1("/analytics/events", "/analytics/events", "/{proxy+}", proxy("events"), ""), "/events"),
            (v1("/events", "/events", "/{proxy+}", proxy("events"), ""), "/events"),
            (v1("/events", "/prod/events", "/{proxy+}", proxy("events"), ""), "/events"),
            (v1("/a/b/events/batch", "/a/b/events/batch", "/{proxy+}", proxy("events/batch"), ""), "/events/batch"),
            (v1("/a/events", "/a/events", "/events", Value::Null, ""), "/events"),
            (v1("/a/events/x", "/a/events/x", "/events/{eventId}", json!({ "eventId": "x" }), ""), "/events/x"),
            (v1("/a/%65vents/x", "/a/%65vents/x", "/{proxy+}", proxy("events/x"), ""), "/%65vents/x"),
            (v1("/events/x", "/events/x", "/{proxy+}", proxy("events"), ""), "/events/x"),
            (v1("/events/x", "/events/x", "/{proxy+}", Value::Null, ""), "/events/x"),
            (v2("/analytics/events", "ANY /{proxy+}", proxy("events"), ""), "/events"),
            (v2("/analytics/events", "POST /events", Value::Null, ""), "/events"),
            (v2("/events", "POST /events", Value::Null, ""), "/events"),
            // The event does not tell the prefix; only the operator knows it.
            (v2("/analytics/events", "$default", Value::Null, ""), "/analytics/events"),
            (v2("/analytics/events", "$default", Value::Null, "/analytics"), "/events"),
            (v2("/analytics/events", "$default", Value::Null, "analytics/"), "/events"),
            (v2("/analyticsevents", "$default", Value::Null, "analytics"), "/analyticsevents"),
            (v2("/events", "$default", Value::Null, "analytics"), "/events"),
            (v1("/a/events", "/a/events", "/{proxy+}", proxy("a/events"), "a"), "/events"),
        ] {
            assert_eq!(incoming.request().path, expected);
        }
    }

    #[test]
    fn one_request_is_one_plan_in_both_payloads() {
        let service = Service::from_text(Some(r#"{"open":true}"#));
        let stamp = Stamp { received_at: isotherm_core::Millis(1_763_690_000_000), entropy: 7 };
        let plans = [V1, V2].map(|payload| {
            let incoming = Incoming::read(payload, "").unwrap();
            match service.admit(&incoming.request(), stamp) {
                Admission::Plan(Plan::Store(plan)) => plan.events().to_vec(),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(plans[0], plans[1]);
    }

    #[test]
    fn the_routes_for_checked_tokens_are_those_for_keys_below_token() {
        let proxy = json!({ "proxy": "events" });
        let at = |path: &str, key: &str, prefix: &str, authorizer: Value| {
            let changes = json!({ "/rawPath": path, "/routeKey": key, "/pathParameters": proxy,
                "/requestContext/authorizer": authorizer });
            read(V2, changes, prefix).request().path.to_owned()
        };
        let checked = || json!({ "jwt": { "claims": {}, "scopes": null } });
        for (path, prefix) in
            [("/token/events", ""), ("/analytics/token/events", ""), ("/analytics/token/events", "analytics")]
        {
            assert_eq!(at(path, "POST /token/{proxy+}", prefix, checked()), "/events");
            // Nobody has checked this one.
            assert_eq!(at(path, "POST /token/{proxy+}", prefix, Value::Null), "/token/events");
        }
        assert_eq!(at("/token/readyz", "$default", "", Value::Null), "/token/readyz");
        assert_eq!(at("/tokens/events", "POST /tokens/{proxy+}", "", checked()), "/tokens/events");
    }

    /// The claims are `{"iss":"https://issuer.test/","aud":"isotherm","exp":1763726500,"sub":"u"}`.
    const TOKEN: &str = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0LyIsImF1ZCI6Imlzb3RoZXJtIiwiZXhwIjoxNzYzNzI2NTAwLCJzdWIiOiJ1In0.AAAA";
    const ISSUER: &str = r#"{"version":2,"jwt":[{"id":"login","issuer":"https://issuer.test/","audience":"isotherm","algorithm":"RS256","key":"gateway","tenant":"acme","scope":"write"}],"log":{"level":"info"}}"#;

    /// The answer's status, and whether the request's line names the tenant.
    fn answer(incoming: &Incoming) -> (u16, bool) {
        let service = Service::from_text(Some(ISSUER));
        let stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };
        let mut reply = match incoming.admit(&service, stamp) {
            Admission::Plan(Plan::Store(plan)) => plan.respond(vec![isotherm_core::StoreOutcome::Stored]),
            Admission::Plan(other) => panic!("{other:?}"),
            Admission::Reply(reply) => reply,
        };
        let ran = isotherm_core::Ran { duration: std::time::Duration::ZERO, is_cold: true };
        let seen = service.seen(&incoming.request(), stamp, &mut reply, ran);
        let writer = Writer { level: isotherm_core::Level::Info, instance: "", function: None, x_ray: None };
        let line = incoming.line(&service, &seen, writer).unwrap();
        (reply.status, line.text.contains(r#""tenant":"acme","keyId":"login""#))
    }

    #[test]
    fn a_token_counts_where_the_gateway_says_that_it_has_checked_it() {
        let claims = json!({ "claims": { "iss": "https://issuer.test/", "aud": "isotherm", "exp": "1763726500" }, "scopes": null });
        let headers = json!({ "content-type": "application/json", "authorization": TOKEN });
        let with = |authorizer: Value| {
            let changes = json!({ "/headers": headers, "/requestContext/authorizer": authorizer });
            answer(&read(V2, changes, ""))
        };
        assert_eq!(with(json!({ "jwt": claims })), (202, true));
        // Two lines of the header, of which the gateway has checked one.
        let two = json!({ "content-type": "application/json", "authorization": format!("{TOKEN},{TOKEN}") });
        let changes = json!({ "/headers": two, "/requestContext/authorizer": { "jwt": claims } });
        assert_eq!(answer(&read(V2, changes, "")).0, 401);
        // Another kind of authoriser decides what stands below its own name.
        for other in [
            json!(null),
            json!({}),
            json!({ "jwt": null }),
            json!({ "lambda": { "jwt": claims } }),
            json!({ "iam": null }),
        ] {
            assert_eq!(with(other.clone()), (401, false), "{other}");
        }
        // What a client sends lands in the headers, the query and the body, and in payload 1.0 nowhere else either.
        let mut sent = headers.clone();
        sent["x-amzn-authorizer-jwt"] = json!("{}");
        sent["requestContext"] = json!("{\"authorizer\":{\"jwt\":{}}}");
        let changes = json!({ "/headers": sent, "/rawQueryString": "requestContext.authorizer.jwt=1",
            "/body": "{\"requestContext\":{\"authorizer\":{\"jwt\":{}}}}" });
        assert_eq!(answer(&read(V2, changes, "")).0, 401);
        let mut first: Value = serde_json::from_str(V1).unwrap();
        first["headers"] = headers;
        first["multiValueHeaders"] = Value::Null;
        first["requestContext"]["authorizer"] = json!({ "jwt": claims });
        assert_eq!(answer(&Incoming::read(&first.to_string(), "").unwrap()).0, 401);
    }

    #[test]
    fn the_failure_quotes_no_header() {
        let event = r#"{"httpMethod":"GET","headers":{"authorization":"Bearer s3cret\u0000"}}"#;
        let error = Incoming::read(event, "").err().unwrap();
        let told = format!("{error:#}");
        assert!(told.contains("error at line 1 column") && !told.contains("s3cret"), "{told}");
    }

    #[test]
    fn what_is_no_request_is_an_invalid_event() {
        for event in ["{}", "[]", r#"{"requestContext":{}}"#] {
            let error = Incoming::read(event, "").err().unwrap();
            assert!(error.is::<InvalidEvent>(), "{error:#}");
        }
    }
}
