//! What an operator sees: lines, traces, metrics.

use std::path::Path;
use std::time::{Duration, Instant};

use isotherm_core::public_key_entry;
use isotherm_hosts::{Platform, Up};
use serde_json::{Value, json};

use super::check;
use crate::client::{Answer, Ask};
use crate::fixture::{Fixture, up};

/// The keys of this module: `a key that writes`, `a key that operates`.
const KEYS: &str = r#"{"id":"web","sha256":"778daf702c0f966f241a181b10d17b7536a7f75b0d84c7075921ae45f24defe2","tenant":"acme","scope":"write"},{"id":"prometheus","sha256":"ed8b407b2bb2e0ee1144a31fd9f1592da6b0bff248fac7dd8b4ebfcefa953126","tenant":"acme","scope":"operate"}"#;
const WRITES: &str = "Bearer a key that writes";
const OPERATES: &str = "Bearer a key that operates";
/// A line may be on its way for as long as this after the answer.
const LOGGED_WITHIN: Duration = Duration::from_secs(10);

fn config(more: &str) -> String {
    format!(r#"{{"version":2,"keys":[{KEYS}]{more}}}"#)
}

/// The line of the log that has this text in it.
fn line_with(log: &Path, part: &str) -> Value {
    let deadline = Instant::now() + LOGGED_WITHIN;
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        // A runtime may put something before a line.
        let found = text
            .lines()
            .filter(|line| line.contains(part))
            .find_map(|line| serde_json::from_str::<Value>(line.get(line.find('{')?..)?).ok());
        match found {
            Some(line) => return line,
            None => assert!(Instant::now() < deadline, "no line with {part} in:\n{text}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn metrics(host: &Fixture) -> String {
    let Answer { status, body, .. } = host.send(&Ask::get("/metrics").header("authorization", OPERATES));
    assert_eq!(status, 200, "{body:?}");
    String::from_utf8(body.to_vec()).unwrap()
}

/// One request is found again in the log by its trace, and one that is refused by its requestId. The log has no key and
/// nothing of a body.
pub fn a_request_is_followed(platform: Platform) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let environment = vec![("ISOTHERM_SHOW_REQUESTS".to_owned(), "1".to_owned())];
    let config = config(r#","log":{"level":"info"}"#);
    let host = Fixture::new(&Up { config, environment, log: Some(log.clone()), ..up(platform, "test") });
    let event = json!({"userId": "secret-user", "eventType": "t", "properties": {}});
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let ask = Ask::event(&event)
        .header("authorization", WRITES)
        .header("traceparent", &format!("00-{trace}-b7ad6b7169203331-01"));
    let accepted = host.ask(&ask);
    assert_eq!(accepted.status, 202);
    let line = line_with(&log, trace);
    for (member, expected) in [
        ("kind", json!("request")),
        ("level", json!("info")),
        ("traceId", json!(trace)),
        ("parentId", json!("b7ad6b7169203331")),
        ("tenant", json!("acme")),
        ("keyId", json!("web")),
        ("method", json!("POST")),
        ("route", json!("/events")),
        ("status", json!(202)),
        ("isotherm_events_total.accepted", json!(1)),
    ] {
        assert_eq!(line[member], expected, "{member} in {line}");
    }
    assert!(line["ms"].is_number() && line["faas.instance"].is_string(), "{line}");
    assert!(line["time"].is_string() || line["_aws"]["Timestamp"].is_number(), "{line}");
    let refused = host.ask(&Ask::event(&event).header("authorization", "Bearer a key of nobody, secret"));
    check(&refused, 401, "unauthorized");
    let line = line_with(&log, &refused.text("requestId"));
    assert_eq!((&line["code"], &line["level"], &line["keyId"]), (&json!("unauthorized"), &json!("warn"), &Value::Null));
    let metrics = metrics(&host);
    // Lambda's store hands its events over as a stream, and its metrics are in the lines.
    let is_counted = platform == Platform::Lambda || metrics.contains("\nisotherm_unfolded_events 1\n");
    assert!(is_counted || metrics.contains("isotherm_folded_events_total 1\n"), "{metrics}");
    if platform == Platform::Native {
        assert!(metrics.contains("\nisotherm_events_total{outcome=\"accepted\"} 1\n"), "{metrics}");
        assert!(metrics.contains("\nisotherm_rejections_total{code=\"unauthorized\"} 1\n"), "{metrics}");
    }
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("secret") && !text.contains("a key that"), "{text}");
}

/// A public key may stand in the query, the path, the body or a header. It is in no line of the log, however the request ends.
pub fn a_key_is_in_no_line(platform: Platform) {
    const PUBLIC: &str = "pk_that_is_in_no_line";
    const ORIGIN: &str = "https://shop.example";
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let key = public_key_entry(PUBLIC, Some("page"), "acme", None, &[ORIGIN.to_owned()]).unwrap();
    let config = format!(r#"{{"version":2,"keys":[{key}],"log":{{"level":"info"}}}}"#);
    let environment = vec![("ISOTHERM_SHOW_REQUESTS".to_owned(), "1".to_owned())];
    let host = Fixture::new(&Up { config, environment, log: Some(log.clone()), ..up(platform, "test") });
    let event = json!({"userId": "u", "eventType": "t", "properties": {}}).to_string();
    let track = |key: &str| json!({"writeKey": key, "type": "track", "event": "t", "userId": "u"}).to_string();
    let wrong = format!("{PUBLIC}_of_nobody");
    let asks = [PUBLIC, &wrong].into_iter().flat_map(|key| {
        [
            Ask::new("POST", &format!("/events?key={key}")).body(event.clone()),
            Ask::new("POST", &format!("/beacon/v1/batch?writeKey={key}"))
                .body(format!(r#"{{"batch":[{}]}}"#, track(key))),
            Ask::new("POST", "/v1/track").body(track(key)),
            Ask::get(&format!("/v1/projects/{key}/settings")),
            Ask::get(&format!("/sourceConfig/?writeKey={key}")),
            Ask::get(&format!("/array/{key}/config")),
            Ask::get(&format!("/nowhere/{key}?key={key}")),
            Ask::new("POST", "/events").header("authorization", &format!("Bearer {key}")).body("{"),
        ]
    });
    for ask in asks {
        host.ask(&ask.header("origin", ORIGIN).header("content-type", "text/plain"));
    }
    let last = host.ask(&Ask::get("/reports/summary"));
    line_with(&log, &last.text("requestId"));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.lines().filter(|line| line.contains(r#""kind":"request""#)).count() > 16, "{text}");
    assert!(!text.contains(PUBLIC), "{text}");
}

/// Metrics are an operator's, and say nothing to anybody else.
pub fn metrics_ask_for_an_operator(platform: Platform) {
    let host = Fixture::configured(platform, &config(""));
    for method in ["GET", "POST"] {
        check(&host.ask(&Ask::new(method, "/metrics")), 401, "unauthorized");
        check(&host.ask(&Ask::new(method, "/metrics").header("authorization", WRITES)), 403, "forbidden");
    }
    check(&host.ask(&Ask::new("POST", "/metrics").header("authorization", OPERATES)), 405, "method_not_allowed");
    assert!(metrics(&host).contains("# TYPE isotherm_full_stores gauge\nisotherm_full_stores 0\n"));
    let closed = Fixture::configured(platform, "");
    check(&closed.ask(&Ask::get("/readyz")), 503, "not_configured");
}
