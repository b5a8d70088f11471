//! Every limit of the contract, at its edge and one beyond.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use isotherm_core::{Admission, Limits, Millis, Plan, Request, Service, Stamp, StoreOutcome};
use serde_json::{Value, json};

const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };
const LIMITS: Limits = Limits::CONTRACT;

fn post(path: &str, headers: &[(&'static str, &str)], body: &[u8]) -> (u16, Value) {
    let service = Service::from_text(Some(r#"{"version":2,"open":true}"#));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let reply = match service.admit(&Request { method: "POST", path, query: "", headers: &headers, body }, STAMP) {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Store(plan)) => {
            let outcomes = vec![StoreOutcome::Stored; plan.events().len()];
            plan.respond(outcomes)
        }
        Admission::Plan(_) => {
            unreachable!("a POST looks nothing up")
        }
    };
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

#[track_caller]
fn check(event: &Value, status: u16, code: Option<&str>) {
    check_text(&event.to_string(), status, code);
}

#[track_caller]
fn check_text(event: &str, status: u16, code: Option<&str>) {
    let (answered, body) = post("/events", &[], event.as_bytes());
    assert_eq!((answered, body["code"].as_str()), (status, code), "{body}");
    // In a batch the same event gets the same result.
    let (answered, body) = post("/events/batch", &[], format!(r#"{{"events":[{event}]}}"#).as_bytes());
    assert_eq!(answered, 200, "{body}");
    assert_eq!(body["results"][0]["code"].as_str(), code, "{body}");
}

fn event(properties: Value) -> Value {
    json!({"userId": "u", "eventType": "t", "properties": properties})
}

#[test]
fn names_have_200_bytes() {
    let (fits, beyond) = ("é".repeat(100), format!("{}a", "é".repeat(100)));
    for field in ["userId", "eventType", "messageId"] {
        let with = |name: &str| {
            let mut event = event(json!({}));
            event[field] = json!(name);
            event
        };
        check(&with(&fits), 202, None);
        check(&with(&beyond), 422, Some("invalid_name"));
    }
    check(&event(json!({ &fits: 1 })), 202, None);
    check(&event(json!({ "a": [{ &beyond: 1 }] })), 422, Some("invalid_name"));
}

#[test]
fn properties_have_128_members() {
    let members = |count: usize| event(Value::Object((0..count).map(|n| (format!("p{n}"), json!(n))).collect()));
    check(&members(LIMITS.properties), 202, None);
    check(&members(LIMITS.properties + 1), 422, Some("too_many_properties"));
}

#[test]
fn events_are_32_levels_deep() {
    // The event is level 1 and `properties` level 2.
    let nested = |levels: usize, open: &str, close: &str| {
        let inner = levels - 2;
        let value = format!("{}1{}", open.repeat(inner), close.repeat(inner));
        format!(r#"{{"userId":"u","eventType":"t","properties":{{"a":{value}}}}}"#)
    };
    check_text(&nested(LIMITS.depth, "[", "]"), 202, None);
    check_text(&nested(LIMITS.depth + 1, "[", "]"), 422, Some("too_deep"));
    check_text(&nested(LIMITS.depth, r#"{"a":"#, "}"), 202, None);
    check_text(&nested(LIMITS.depth + 1, r#"{"a":"#, "}"), 422, Some("too_deep"));
}

#[test]
fn nesting_without_end_is_refused_and_overflows_no_stack() {
    let bomb = format!(r#"{{"userId":{}"#, "[".repeat(30_000));
    let (status, body) = post("/events", &[], bomb.as_bytes());
    assert_eq!((status, &body["code"]), (400, &json!("invalid_json")));
    let bomb = format!(r#"{{"events":{}"#, "[".repeat(1_000_000));
    let (status, body) = post("/events/batch", &[], bomb.as_bytes());
    assert_eq!((status, &body["code"]), (400, &json!("invalid_json")));
}

#[test]
fn an_event_has_32_kib() {
    let of = |bytes: usize| {
        let frame = event(json!({"text": ""})).to_string().len();
        event(json!({"text": "x".repeat(bytes - frame)}))
    };
    check(&of(LIMITS.event_bytes), 202, None);
    check(&of(LIMITS.event_bytes + 1), 413, Some("event_too_large"));
}

#[test]
fn a_batch_has_1000_events() {
    let ndjson = [("content-type", "application/x-ndjson")];
    let line = format!("{}\n", event(json!({})));
    let envelope = |count: usize| json!({"events": vec![event(json!({})); count]}).to_string();
    for (count, status) in [(LIMITS.batch_events, 200), (LIMITS.batch_events + 1, 413)] {
        let (answered, body) = post("/events/batch", &[], envelope(count).as_bytes());
        assert_eq!(answered, status, "{}", body["code"]);
        let (answered, body) = post("/events/batch", &ndjson, line.repeat(count).as_bytes());
        assert_eq!(answered, status, "{}", body["code"]);
        assert_eq!(body["accepted"].as_u64(), (status == 200).then_some(count as u64));
    }
}

#[test]
fn a_body_has_1_mib_as_sent_and_inflated() {
    let ndjson = [("content-type", "application/x-ndjson")];
    let gzip = [("content-type", "application/x-ndjson"), ("content-encoding", "gzip")];
    let line = format!("{}\n", event(json!({})));
    let of = |bytes: usize| format!("{line}{}", " ".repeat(bytes - line.len())).into_bytes();
    for (bytes, status) in [(LIMITS.body_bytes, 200), (LIMITS.body_bytes + 1, 413)] {
        assert_eq!(post("/events/batch", &ndjson, &of(bytes)).0, status);
        assert_eq!(post("/events/batch", &gzip, &gzipped(&of(bytes))).0, status);
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}
