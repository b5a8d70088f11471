//! Clients of other protocols: what is kept of whatever they send is an event of the contract, and sending it again
//! changes nothing. `tests/vectors/clients.json` has the answers.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use isotherm_core::{Admission, HEADERS, Limits, Millis, NewEvent, Plan, Reply, Request, Service, Stamp, StoreOutcome};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: u64 = 1_763_690_000_000;
const PATHS: [&str; 12] = [
    "/v1/batch",
    "/v1/track",
    "/v1/page",
    "/v1/identify",
    "/v1/group",
    "/v1/alias",
    "/batch/",
    "/e/",
    "/capture",
    "/i/v0/e/",
    "/cloudevents",
    "/v1/logs",
];
/// The members that doors know.
const MEMBERS: [&str; 40] = [
    "type",
    "event",
    "userId",
    "anonymousId",
    "messageId",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "properties",
    "traits",
    "context",
    "name",
    "groupId",
    "previousId",
    "distinct_id",
    "uuid",
    "offset",
    "$set",
    "token",
    "api_key",
    "batch",
    "sent_at",
    "specversion",
    "id",
    "source",
    "subject",
    "time",
    "data",
    "data_base64",
    "resourceLogs",
    "scopeLogs",
    "logRecords",
    "attributes",
    "key",
    "value",
    "stringValue",
    "intValue",
    "kvlistValue",
    "timeUnixNano",
    "eventName",
];

fn service() -> Service {
    Service::from_text(Some(r#"{"version":2,"open":true}"#))
}

fn post(path: &str, media: &str, body: &[u8], received_at: u64) -> (Vec<NewEvent>, Reply) {
    let headers = [(HEADERS[1], media.to_owned())];
    let request = Request { method: "POST", path, query: "", headers: &headers, body };
    match service().admit(&request, Stamp { received_at: Millis(received_at), entropy: 7 }) {
        Admission::Plan(Plan::Store(plan)) => {
            let events = plan.events().to_vec();
            (events.clone(), plan.respond(vec![StoreOutcome::Stored; events.len()]))
        }
        Admission::Reply(reply) => (Vec::new(), reply),
        other => unreachable!("{other:?}"),
    }
}

fn values() -> impl Strategy<Value = Value> {
    let texts = "track|page|identify|1\\.0|2025-11-21T01:53:00Z|1763689980000000000|\\PC{0,30}|.{0,8}|x{190,230}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        let names = prop_oneof![prop::sample::select(&MEMBERS[..]).prop_map(str::to_owned), "\\PC{0,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..10)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Log records, one of which has an attribute with this key.
fn log_record(key: &str, is_nested: bool) -> Value {
    let mut attribute = json!({"key": key, "value": {"stringValue": "x"}});
    if is_nested {
        attribute = json!({"key": "cart", "value": {"kvlistValue": {"values": [attribute]}}});
    }
    let user = json!({"key": "user.id", "value": {"stringValue": "u"}});
    let record = |attributes: Value| json!({"timeUnixNano": "1763689980000000000", "eventName": "checkout", "attributes": attributes});
    let records = [record(json!([user])), record(json!([user, attribute]))];
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})
}

/// A body that looks like one of its door's, with anything in it.
fn bodies() -> impl Strategy<Value = Value> {
    let member = |name: &'static str| (Just(name.to_owned()), values());
    let message: Vec<_> = MEMBERS.into_iter().map(member).collect();
    let messages = message.prop_map(|members| Value::Object(members.into_iter().collect()));
    let valid = json!({"type": "track", "event": "e", "userId": "u", "distinct_id": "u", "specversion": "1.0", "id": "1", "source": "s",
        "messageId": "m", "uuid": "m", "timestamp": "2025-11-21T01:53:00Z", "sentAt": "2025-11-21T01:53:10Z"});
    prop_oneof![
        values(),
        messages.prop_map(
            |message| json!({"batch": [message.clone()], "resourceLogs": [{"scopeLogs": [{"logRecords": [message]}]}]})
        ),
        (prop::sample::select(&MEMBERS[..]), values()).prop_map(move |(name, value)| {
            let mut message = valid.clone();
            message[name] = value;
            message
        }),
        (prop::sample::select(&MEMBERS[..]), values()).prop_map(|(name, value)| {
            let mut message =
                json!({"type": "page", "userId": "u", "event": "e", "distinct_id": "u", "messageId": "m"});
            message[name] = value;
            json!({"batch": [message], "sentAt": "2025-11-21T01:53:10Z"})
        }),
        (".{0,8}|x{190,230}", any::<bool>()).prop_map(|(key, is_nested)| log_record(&key, is_nested)),
    ]
}

proptest! {
    #[test]
    fn what_is_kept_is_an_event_of_the_contract(path in prop::sample::select(&PATHS[..]), body in bodies()) {
        let media = if path == "/cloudevents" { "application/cloudevents+json" } else { "application/json" };
        let body = body.to_string();
        let (events, reply) = post(path, media, body.as_bytes(), NOW);
        prop_assert!([200, 400, 413, 422].contains(&reply.status), "{}", reply.status);
        for event in &events {
            let record: Value = serde_json::from_str(&event.record).unwrap();
            let mut sent = record.clone();
            for own in ["eventId", "receivedAt"] {
                sent.as_object_mut().unwrap().remove(own);
            }
            let (again, reply) = post("/events", "application/json", sent.to_string().as_bytes(), NOW);
            // A plain event's envelope may be longer, and so exceed the limit.
            if sent.to_string().len() <= Limits::CONTRACT.event_bytes {
                prop_assert_eq!(reply.status, 202, "{}: {}", sent, String::from_utf8_lossy(&reply.body));
                prop_assert_eq!(&again[0].occurred_at, &event.occurred_at);
            }
            prop_assert!(event.record.len() <= 34_000);
        }
        // The clock goes on, and the client sends the same bytes.
        let (later, _) = post(path, media, body.as_bytes(), NOW + 5000);
        let is_named = |event: &&NewEvent| serde_json::from_str::<Value>(&event.record).unwrap()["messageId"].is_string();
        let named = |events: &[NewEvent]| -> Vec<_> {
            events.iter().filter(is_named).map(|event| (event.id, event.digest)).collect()
        };
        prop_assert_eq!(named(&events), named(&later));
    }

    #[test]
    fn no_bytes_make_a_door_panic(
        path in prop::sample::select(&PATHS[..]),
        media in "application/json|application/x-protobuf|application/x-www-form-urlencoded|application/cloudevents-batch\\+json|image/png",
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            // Fields of Protocol Buffers: a tag, and often a length that fits.
            prop::collection::vec(prop_oneof![Just(10u8), Just(18), Just(8), 0..40u8], 0..400),
            "data=[A-Za-z0-9+/%=]{0,80}".prop_map(String::into_bytes),
        ],
    ) {
        let (_, reply) = post(path, &media, &body, NOW);
        prop_assert!((200..500).contains(&reply.status));
    }
}

/// A field of Protocol Buffers: its tag, its length, and the bytes.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(bytes);
    field
}

#[test]
fn deep_protocol_buffers_are_refused() {
    for (depth, status) in [(4, 200), (2000, 400)] {
        // An array in an array in …, as the body of a record.
        let mut value = field(10, b"x");
        for _ in 0..depth {
            value = field(42, &field(10, &value));
        }
        let record = [field(42, &value), field(98, b"checkout"), vec![9, 0, 0, 0x6b, 0x6a, 0x3f, 0x11, 0x7a, 0x18]];
        let body = field(10, &field(18, &field(18, &record.concat())));
        let (_, reply) = post("/v1/logs", "application/x-protobuf", &body, NOW);
        assert_eq!(reply.status, status, "{}", String::from_utf8_lossy(&reply.body));
    }
}

#[test]
fn a_log_record_whose_attribute_has_no_propertys_name_is_refused_and_the_others_are_kept() {
    let shown = [
        ("a\0b", r#"["a\0b"]"#, "control character"),
        ("", r#"[""]"#, "empty"),
        (&"x".repeat(201), r#"["xxx"#, "200 bytes"),
    ];
    for (key, path, flaw) in shown {
        for (is_nested, parent) in [(false, "properties"), (true, "properties.cart")] {
            let body = log_record(key, is_nested).to_string();
            let (events, reply) = post("/v1/logs", "application/json", body.as_bytes(), NOW);
            let answer: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!((events.len(), reply.status), (1, 200), "{key:?}: {answer}");
            let refused = &answer["partialSuccess"];
            let message = refused["errorMessage"].as_str().unwrap();
            assert_eq!(refused["rejectedLogRecords"], "1", "{answer}");
            assert!(message.contains(&format!("{parent}{path}")) && message.contains(flaw), "{message}");
        }
    }
}
