//! Properties that hold for any input.

use isotherm_core::{
    Admission, EventId, ExportOutcome, FindOutcome, HEADERS, Millis, NewEvent, Plan, Reply, ReportOutcome, Request,
    Service, Stamp, StoreOutcome,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn service() -> Service {
    Service::from_text(Some(r#"{"version":2,"open":true}"#))
}

fn run(request: &Request<'_>, stamp: Stamp, outcome: StoreOutcome) -> (Vec<NewEvent>, Reply) {
    match service().admit(request, stamp) {
        Admission::Reply(reply) => (Vec::new(), reply),
        Admission::Plan(Plan::Store(plan)) => {
            let events = plan.events().to_vec();
            (events.clone(), plan.respond(vec![outcome; events.len()]))
        }
        Admission::Plan(Plan::Find(plan)) => (Vec::new(), plan.respond(FindOutcome::Absent)),
        Admission::Plan(Plan::Report(plan)) => (Vec::new(), plan.respond(ReportOutcome::Read(Vec::new())).reply),
        Admission::Plan(Plan::Maintenance(plan)) => (Vec::new(), plan.respond(true)),
        Admission::Plan(Plan::Ready(plan)) => (Vec::new(), plan.respond(None)),
        Admission::Plan(Plan::Metrics(plan)) => (Vec::new(), plan.respond(None, None)),
        Admission::Plan(Plan::Export(plan)) => (Vec::new(), plan.respond(ExportOutcome::UnknownPlace)),
        Admission::Plan(Plan::Import(plan)) => (Vec::new(), plan.respond(true)),
    }
}

fn post(path: &'static str, body: &[u8], stamp: Stamp) -> (Vec<NewEvent>, Reply) {
    run(&Request { method: "POST", path, query: "", headers: &[], body }, stamp, StoreOutcome::Stored)
}

fn stamps() -> impl Strategy<Value = Stamp> {
    (any::<u64>(), any::<u128>()).prop_map(|(ms, entropy)| Stamp { received_at: Millis(ms), entropy })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            objects(inner).prop_map(Value::Object),
        ]
    })
}

fn objects(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[a-z€😀]{1,8}", values, 0..6).prop_map(|members| members.into_iter().collect())
}

/// JSON text with the keys of every object in reverse order, and blanks wherever JSON allows them.
fn respelled(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[ {} ]", items.iter().map(respelled).collect::<Vec<_>>().join(" , ")),
        Value::Object(members) => {
            let member = |(key, value)| format!("{} :\n{}", Value::String(String::clone(key)), respelled(value));
            format!("{{ {} }}", members.iter().rev().map(member).collect::<Vec<_>>().join("\t,"))
        }
        leaf => leaf.to_string(),
    }
}

proptest! {
    #[test]
    fn no_request_makes_core_panic(
        method in "GET|POST|PUT|\\PC{0,5}",
        path in "/events|/events/batch|/events/[a-zA-Z0-9_]{0,40}|/\\PC{0,30}",
        headers in prop::collection::vec("application/json|application/x-ndjson|gzip|Basic [a-zA-Z0-9=]{0,20}|\\PC{0,30}", HEADERS.len()),
        body in prop::collection::vec(any::<u8>(), 0..2000),
        stamp in stamps(),
    ) {
        let headers: Vec<_> = HEADERS.iter().copied().zip(headers).collect();
        let request = Request { method: &method, path: &path, query: "", headers: &headers, body: &body };
        let (_, reply) = run(&request, stamp, StoreOutcome::Unavailable);
        prop_assert!((200..600).contains(&reply.status));
        prop_assert!(serde_json::from_slice::<Value>(&reply.body).is_ok());
    }

    #[test]
    fn what_a_refusal_repeats_is_bounded(
        text in "(\\PC|[\u{1}\"\\\\]){1,60}", times in 1..200_usize, field in 0..6_usize,
        ndjson in any::<bool>(),
    ) {
        let long = text.repeat(times);
        let (key, value) = (Value::from(&*long), json!({ "k": 1 }));
        let body = match field {
            0 => format!("{{{key}:{value}}}"),
            1 => json!({ "events": long }).to_string(),
            2 => json!({ "userId": "u", "eventType": long, "properties": {} }).to_string(),
            3 => json!({ "userId": "u", "eventType": "t", "properties": { &*long: [{ &*long: 1 }] } }).to_string(),
            4 => format!(r#"{{"userId":"u","eventType":"t","properties":{{{key}:1,{key}:2}}}}"#),
            _ => long.clone(),
        };
        let media = if field == 5 { long } else { "application/json".to_owned() };
        let headers = [("content-type", media)];
        let stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 1 };
        for path in ["/events", "/events/batch"] {
            let request = Request { method: "POST", path, query: "", headers: &headers, body: body.as_bytes() };
            let (_, reply) = run(&request, stamp, StoreOutcome::Stored);
            prop_assert!(reply.body.len() < 1000, "{}", String::from_utf8_lossy(&reply.body));
        }
        if ndjson {
            let headers = [("content-type", "application/x-ndjson".to_owned())];
            let path = "/events/batch";
            let request = Request { method: "POST", path, query: "", headers: &headers, body: body.as_bytes() };
            let (_, reply) = run(&request, stamp, StoreOutcome::Stored);
            let result: Value = serde_json::from_slice(&reply.body).unwrap();
            for result in result["results"].as_array().into_iter().flatten() {
                prop_assert!(result.to_string().len() < 1000, "{result}");
            }
        }
    }

    #[test]
    fn no_json_makes_core_panic(event in values(), stamp in stamps()) {
        let body = json!({"events": [event, event]}).to_string();
        let (_, reply) = post("/events/batch", body.as_bytes(), stamp);
        prop_assert_eq!(reply.status, 200);
    }

    #[test]
    fn what_is_kept_is_what_was_sent(properties in objects(values()), user in "\\PC{1,30}", kind in "[a-z_]{1,20}") {
        let stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 1 };
        let event = json!({"userId": user, "eventType": kind, "properties": properties});
        let (events, reply) = post("/events", event.to_string().as_bytes(), stamp);
        prop_assert_eq!(reply.status, 202);
        let record: Value = serde_json::from_str(&events[0].record).unwrap();
        for field in ["userId", "eventType", "properties"] {
            prop_assert_eq!(&record[field], &event[field]);
        }
    }

    #[test]
    fn spelling_does_not_matter_and_content_does(properties in objects(values()), other in values()) {
        let stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 1 };
        let event = json!({"userId": "u", "eventType": "t", "messageId": "m", "properties": properties});
        let (sent, _) = post("/events", event.to_string().as_bytes(), stamp);
        let (again, _) = post("/events", respelled(&event).as_bytes(), stamp);
        prop_assert_eq!(&sent, &again);
        let mut changed = event;
        changed["properties"]["changed"] = other;
        let (changed, _) = post("/events", changed.to_string().as_bytes(), stamp);
        prop_assert_eq!(sent[0].id, changed[0].id);
        prop_assert_ne!(sent[0].digest, changed[0].digest);
    }

    #[test]
    fn ids_are_read_as_they_are_written(bits in any::<u128>(), text in "evt_[0-9A-Z]{26}|\\PC{0,40}") {
        let stamp = Stamp { received_at: Millis(bits as u64), entropy: bits };
        let (events, _) = post("/events", br#"{"userId":"u","eventType":"t","properties":{}}"#, stamp);
        for event in events {
            prop_assert_eq!(event.id.to_string().parse(), Ok(event.id));
        }
        if let Ok(id) = text.parse::<EventId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn a_batch_is_its_events_one_by_one(events in prop::collection::vec(values(), 1..8), ids in prop::collection::vec(0..4u8, 8)) {
        let stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 1 };
        let events: Vec<Value> = events.into_iter().zip(ids)
            .map(|(value, id)| json!({"userId": "u", "eventType": "t", "messageId": id.to_string(), "properties": {"v": value}}))
            .collect();
        let (batched, reply) = post("/events/batch", json!({"events": events}).to_string().as_bytes(), stamp);
        let mut alone: Vec<NewEvent> = Vec::new();
        for event in &events {
            let (one, _) = post("/events", event.to_string().as_bytes(), stamp);
            if !alone.iter().any(|known| known.id == one[0].id) {
                alone.extend(one);
            }
        }
        prop_assert_eq!(&batched, &alone);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        prop_assert_eq!(body["accepted"].as_u64(), Some(alone.len() as u64));
        prop_assert_eq!(body["results"].as_array().map(Vec::len), Some(events.len()));
    }
}
