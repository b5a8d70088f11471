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
