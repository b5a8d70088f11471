//! Frozen tenants: their clients are told to send again later, by every route. All else goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use isotherm_core::{Admission, Config, Delivery, Door, Frozen, Millis, Plan, Request, Service, Stamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };
const EVENT: &str = r#"{"userId":"u","eventType":"t","properties":{}}"#;
const SEGMENT: &str = r#"{"type":"track","event":"e","userId":"u","messageId":"m"}"#;
const POSTHOG: &str = r#"{"api_key":"KEY","event":"e","distinct_id":"u"}"#;
const CLOUD: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;

/// The key of a tenant: `acme does write of it`.
fn key(tenant: &str, scope: &str) -> String {
    format!("{tenant} does {scope} of it")
}

fn service(frozen: &str) -> Service {
    let mut keys = Vec::new();
    for tenant in ["acme", "globex"] {
        for (scope, kind) in [("write", "public"), ("read", "secret"), ("operate", "secret")] {
            let sha256: String = Sha256::digest(key(tenant, scope)).iter().map(|byte| format!("{byte:02x}")).collect();
            keys.push(format!(
                r#"{{"id":"{tenant}-{scope}","sha256":"{sha256}","tenant":"{tenant}","scope":"{scope}","kind":"{kind}"}}"#
            ));
        }
    }
    let config = format!(r#"{{"version":2,"keys":[{}],"frozen":{frozen}}}"#, keys.join(","));
    Service::new(Config::parse(&config).unwrap())
}

/// The status and the code of an answer, and the value of `retry-after`; 0 and the plan's kind if there is a plan.
fn outcome(admission: Admission) -> (u16, String, Option<String>) {
    match admission {
        Admission::Reply(reply) => {
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let after = reply.headers.iter().find(|(name, _)| *name == "retry-after").map(|(_, value)| value.clone());
            (reply.status, body["code"].as_str().unwrap_or_default().to_owned(), after)
        }
        Admission::Plan(Plan::Store(plan)) => {
            let _unanswered = plan.respond(Vec::new());
            (0, "store".to_owned(), None)
        }
        Admission::Plan(_) => (0, "plan".to_owned(), None),
    }
}

fn ask(
    service: &Service,
    tenant: &str,
    scope: &str,
    request: (&str, &str, &str, &str),
) -> (u16, String, Option<String>) {
    let (method, path, media, body) = request;
    let bearer = ("authorization", format!("Bearer {}", key(tenant, scope)));
    let mut headers = vec![("content-type", media.to_owned())];
    // Some clients put their key into the body.
    if !body.contains(&key(tenant, scope)) {
        headers.push(bearer);
    }
    outcome(service.admit(&Request { method, path, query: "", headers: &headers, body: body.as_bytes() }, STAMP))
}

#[test]
fn every_route_that_takes_events_says_to_send_them_later() {
    let held = |seconds: &str| (503, "frozen".to_owned(), Some(seconds.to_owned()));
    let stored = (0, "store".to_owned(), None);
    let batch = format!(r#"{{"events":[{EVENT}]}}"#);
    let segment = format!(r#"{{"batch":[{SEGMENT}]}}"#);
    let json = "application/json";
    let otlp = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"e","attributes":[{"key":"user.id","value":{"stringValue":"u"}}],"body":{"stringValue":"x"}}]}]}]}"#;
    let [acme, globex] = ["acme", "globex"].map(|tenant| POSTHOG.replace("KEY", &key(tenant, "write")));
    for (path, media, of_acme, of_globex, seconds) in [
        ("/events", json, EVENT, EVENT, "10"),
        ("/events/batch", json, &batch, &batch, "10"),
        // As long as SDKs are told to wait for a store that is down.
        ("/v1/batch", json, &segment, &segment, "25"),
        ("/v1/track", json, SEGMENT, SEGMENT, "25"),
        ("/batch/", json, &acme, &globex, "25"),
        ("/cloudevents", "application/cloudevents+json", CLOUD, CLOUD, "25"),
        ("/v1/logs", json, otlp, otlp, "1"),
    ] {
        let service = service(r#"["acme"]"#);
        assert_eq!(ask(&service, "acme", "write", ("POST", path, media, of_acme)), held(seconds), "{path}");
        assert_eq!(ask(&service, "globex", "write", ("POST", path, media, of_globex)), stored, "{path}");
    }
    let all = service(r#"["*"]"#);
    assert_eq!(ask(&all, "globex", "write", ("POST", "/events", json, EVENT)), held("10"));
    let open = Service::from_text(Some(r#"{"open":true,"frozen":["default"]}"#));
    assert_eq!(ask(&open, "-", "-", ("POST", "/events", json, EVENT)), held("10"));
}

#[test]
fn a_token_that_the_gateway_has_checked_is_held_too() {
    let issuer = r#"{"id":"login","issuer":"i","audience":"a","algorithm":"RS256","key":"gateway","tenant":"acme","scope":"write"}"#;
    let token = [r#"{"alg":"RS256"}"#, r#"{"iss":"i","aud":"a","exp":1763726500}"#, "s"]
        .map(|part| URL_SAFE_NO_PAD.encode(part));
    let headers =
        [("authorization", format!("Bearer {}", token.join("."))), ("content-type", "application/json".to_owned())];
    let request = Request { method: "POST", path: "/events", query: "", headers: &headers, body: EVENT.as_bytes() };
    for (frozen, expected) in [(r#"["acme"]"#, (503, "frozen")), ("[]", (0, "store"))] {
        let config = format!(r#"{{"version":2,"jwt":[{issuer}],"frozen":{frozen}}}"#);
        let service = Service::new(Config::parse(&config).unwrap());
        let (status, code, _) = outcome(service.admit_verified(&request, STAMP));
        assert_eq!((status, code.as_str()), expected);
    }
}

#[test]
fn a_head_that_tells_the_tenant_is_enough() {
    let service = service(r#"["acme"]"#);
    let headers = [("authorization", format!("Bearer {}", key("acme", "write")))];
    let head = Request { method: "POST", path: "/events", query: "", headers: &headers, body: b"" };
    assert!(matches!(service.admit_head(&head, STAMP), Door::Reply(reply) if reply.status == 503));
}

#[test]
fn whoever_reads_or_moves_is_served() {
    let service = service(r#"["acme"]"#);
    let plan = (0, "plan".to_owned(), None);
    let get = |path| ("GET", path, "application/json", "");
    assert_eq!(ask(&service, "acme", "read", get("/reports/summary")), plan);
    assert_eq!(ask(&service, "acme", "read", get("/events/evt_0123456789ABCDEFGHJKMNPQRS")), plan);
    assert_eq!(ask(&service, "acme", "operate", get("/export/events")), plan);
    assert_eq!(ask(&service, "acme", "operate", ("POST", "/schedule", "application/json", "")), plan);
    // What clients ask for before they send events: without it they would send none, and drop them.
    let path = format!("/v1/projects/{}/settings", key("acme", "write").replace(' ', "%20"));
    assert_ne!(ask(&service, "acme", "write", get(&path)).0, 503);
    let line = r#"{"digest":"000102030405060708090a0b0c0d0e0f","expiresAt":1771466000,"record":{"eventId":"evt_0123456789ABCDEFGHJKMNPQRS","userId":"u","eventType":"t","timestamp":"2025-11-21T01:53:20.000Z","receivedAt":"2025-11-21T01:53:20.000Z","properties":{}}}"#;
    let import = ("POST", "/import/events", "application/x-ndjson", line);
    assert_eq!(ask(&service, "acme", "operate", import), (0, "store".to_owned(), None));
}

#[test]
fn what_a_queue_has_accepted_is_kept_and_it_accepts_no_more() {
    let (frozen, thawed) = (service(r#"["acme"]"#), service("[]"));
    let bearer = |tenant| format!("Bearer {}", key(tenant, "write"));
    for service in [&frozen, &thawed] {
        let message = Request { method: "POST", path: "/events", query: "", headers: &[], body: EVENT.as_bytes() };
        let admitted = service.admit_message(&message, Some("acme-write"), STAMP);
        assert_eq!(outcome(admitted), (0, "store".to_owned(), None));
        assert_eq!(service.writer(Some(&bearer("globex")), STAMP.received_at), Ok(Some("globex-write".to_owned())));
    }
    assert_eq!(frozen.writer(Some(&bearer("acme")), STAMP.received_at), Err(Frozen));
    assert_eq!(thawed.writer(Some(&bearer("acme")), STAMP.received_at), Ok(Some("acme-write".to_owned())));
    // A refusal that reached a queue all the same would be delivered again.
    let headers = [("authorization", bearer("acme"))];
    let request = Request { method: "POST", path: "/events", query: "", headers: &headers, body: EVENT.as_bytes() };
    let Admission::Reply(reply) = frozen.admit(&request, STAMP) else { panic!("it is frozen") };
    assert_eq!(reply.delivery(), Delivery::Retry);
}

#[test]
fn an_export_says_that_its_tenant_is_frozen() {
    let says = |frozen: &str| {
        let headers = [("authorization", format!("Bearer {}", key("acme", "operate")))];
        let get = Request { method: "GET", path: "/export/events", query: "", headers: &headers, body: b"" };
        let service = service(frozen);
        let Admission::Plan(Plan::Export(plan)) = service.admit(&get, STAMP) else { panic!("an export") };
        let asked = isotherm_core::Asked::from_bytes(&plan.asked().to_bytes()).unwrap();
        assert_eq!(&asked, plan.asked());
        let place = isotherm_core::Place { parts: 1, folded_to: Millis(1), is_ordered: true, more: None };
        let end: Value = serde_json::from_str(&asked.begin().end(place)).unwrap();
        end["frozen"].as_bool().unwrap()
    };
    assert!(says(r#"["acme"]"#) && says(r#"["globex","*"]"#));
    assert!(!says(r#"["globex"]"#) && !says("[]"));
}

#[test]
fn a_list_of_frozen_tenants_has_names() {
    for wrong in [r#"[""]"#, r#"["a b"]"#, r#"["**"]"#] {
        let config = format!(r#"{{"version":2,"open":true,"frozen":{wrong}}}"#);
        assert!(Config::parse(&config).unwrap_err().to_string().contains("frozen has a tenant that"), "{wrong}");
    }
    assert!(Config::parse(r#"{"version":2,"open":true,"frozen":true}"#).is_err());
}
