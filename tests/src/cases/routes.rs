//! Routes and methods.

use isotherm_hosts::Platform;
use serde_json::json;

use super::{check, unnamed};
use crate::client::Ask;
use crate::fixture::Fixture;

const ABSENT: &str = "/events/evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ";

/// Each route answers its simplest request.
pub fn every_route_answers(platform: Platform) {
    let host = Fixture::open(platform);
    assert_eq!(host.ask(&Ask::get("/healthz")).json(), json!({"status": "ok"}));
    assert_eq!(host.ask(&Ask::get("/healthz?of=interest")).status, 200);
    assert_eq!(host.ask(&Ask::get("/readyz")).json(), json!({"status": "ok"}));
    assert_eq!(host.ask(&Ask::event(&unnamed())).status, 202);
    assert_eq!(host.ask(&Ask::batch(&[unnamed()])).status, 200);
    for target in ["/reports/summary", "/reports/timeseries", "/reports/top?dimension=eventType", "/dashboard"] {
        // Other cases send events too, so reports may differ from the reference's.
        assert_eq!(host.send(&Ask::get(target)).status, 200, "{target}");
    }
    check(&host.ask(&Ask::get(ABSENT)), 404, "not_found");
    // An escaped character counts as the character itself.
    assert_eq!(host.ask(&Ask::get("/%68ealth%7A")).json(), json!({"status": "ok"}));
}

/// HEAD is answered as GET, without a body.
pub fn heads_are_answered_without_bodies(platform: Platform) {
    let host = Fixture::open(platform);
    for (target, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/dashboard", 200),
        ("/openapi.json", 200),
        (ABSENT, 404),
        ("/events", 405),
    ] {
        let answer = host.ask(&Ask::new("HEAD", target));
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{target}");
        // Hosts may say how long the answer to GET is. That is never nothing.
        assert!(!answer.headers.contains(&("content-length".to_owned(), "0".to_owned())), "{target}");
    }
    assert_eq!(host.send(&Ask::new("HEAD", "/reports/summary")).status, 200);
}

/// Another method gets 405, with the methods that the route takes.
pub fn other_methods_are_refused(platform: Platform) {
    let host = Fixture::open(platform);
    let routes = [
        ("/events", "GET"),
        ("/events/batch", "GET"),
        ("/healthz", "POST"),
        ("/readyz", "POST"),
        ("/openapi.json", "PUT"),
        ("/dashboard", "POST"),
        ("/reports/top", "PUT"),
        (ABSENT, "POST"),
    ];
    for (target, method) in routes {
        check(&host.ask(&Ask::new(method, target)), 405, "method_not_allowed");
        check(&host.ask(&Ask::new("DELETE", target)), 405, "method_not_allowed");
        check(&host.ask(&Ask::new("PATCH", target).body("{}")), 405, "method_not_allowed");
    }
}

/// An unknown route or id gets 404.
pub fn unknown_routes_are_refused(platform: Platform) {
    let host = Fixture::open(platform);
    for target in
        ["/", "/event", "/events/", "/events/batch/", "/Events", "/events/evt_x/y", "/healthz/", "/events%2Fbatch"]
    {
        check(&host.ask(&Ask::get(target)), 404, "not_found");
    }
    for id in ["evt_", "evt_7zzzzzzzzzzzzzzzzzzzzzzzzz", "evt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "a%20b", "%F0%9F%98%80"] {
        check(&host.ask(&Ask::get(&format!("/events/{id}"))), 404, "not_found");
    }
}

/// The OpenAPI document is served, and names every route.
pub fn the_contract_is_served(platform: Platform) {
    let contract = Fixture::open(platform).ask(&Ask::get("/openapi.json")).json();
    assert_eq!(contract["openapi"], "3.1.0");
    let reports = ["/reports/timeseries", "/reports/top", "/reports/summary", "/dashboard"];
    let events = ["/events", "/events/batch", "/events/{eventId}", "/healthz", "/readyz", "/metrics", "/openapi.json"];
    for path in events.into_iter().chain(reports) {
        assert!(contract["paths"][path].is_object(), "{path}");
    }
}

/// A request as bytes: its first line, and its headers and body after the stamp.
fn raw(line: &str, ask: &Ask, rest: &[u8]) -> Vec<u8> {
    let (name, stamp) = &ask.headers[0];
    let head = format!("{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{name}: {stamp}\r\n");
    [head.as_bytes(), rest].concat()
}

/// Bytes that clients rarely send mean the same on each host, except where the platform itself answers first:
/// docs/guarantees.md.
pub fn the_same_raw_bytes_mean_the_same(platform: Platform) {
    let host = Fixture::open(platform);
    let check_own = |bytes: &[u8], status| assert_eq!(host.send_raw(bytes).status, status);

    // Headers that are not UTF-8: one that nobody reads, and one that core reads.
    let health = Ask::get("/healthz");
    let other = raw("GET /healthz", &health, b"x-other: \xff\r\n\r\n");
    let typed = Ask::new("POST", "/events").header("content-type", "application/json\u{fffd}").body("{}");
    let bytes = raw("POST /events", &typed, b"content-type: application/json\xff\r\ncontent-length: 2\r\n\r\n{}");
    if platform == Platform::Spin {
        check_own(&other, 500);
        check_own(&bytes, 500);
    } else {
        host.ask_raw(&other, &health);
        check(&host.ask_raw(&bytes, &typed), 415, "unsupported_media_type");
    }

    let twice = Ask::new("POST", "/events").header("content-type", "application/json, text/plain").body("{}");
    let rest = b"Content-Type: application/json\r\ncontent-type:text/plain\r\ncontent-length: 2\r\n\r\n{}";
    check(&host.ask_raw(&raw("POST /events", &twice, rest), &twice), 415, "unsupported_media_type");

    let dots = Ask::get("/a/../events");
    check(&host.ask_raw(&raw("GET /a/../events", &dots, b"\r\n"), &dots), 404, "not_found");

    let lower = Ask::new("get", "/healthz");
    let bytes = raw("get /healthz", &lower, b"\r\n");
    if platform == Platform::Workers {
        check_own(&bytes, 501);
    } else {
        check(&host.ask_raw(&bytes, &lower), 405, "method_not_allowed");
    }

    let absolute = Ask::get("/reports/summary?metrics=nonsense");
    let bytes = raw("GET http://test/reports/summary?metrics=nonsense", &absolute, b"\r\n");
    check(&host.ask_raw(&bytes, &absolute), 400, "invalid_query");
}
