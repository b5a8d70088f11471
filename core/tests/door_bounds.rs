//! What a request of another protocol may take, whatever is in it.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

mod counting;

use isotherm_core::{Admission, HEADERS, Millis, Plan, Request, Service, Stamp, StoreOutcome, key_entry};
use serde_json::{Value, json};

const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };
/// The most bytes that may be allocated at once for a request of 1 MiB.
const MOST_BYTES: usize = 40_000_000;

/// A body is read whole only for who has a key.
const KEY: &str = "a key of the tests";

/// The status of the answer, and its body.
fn post(path: &str, media: &str, body: &str) -> (u16, String) {
    assert!(body.len() <= 1024 * 1024, "{}", body.len());
    let key = key_entry(KEY, None, "t", "write", None).unwrap();
    let service = Service::from_text(Some(&format!(r#"{{"version":2,"keys":[{key}]}}"#)));
    let headers = [("authorization", format!("Bearer {KEY}")), (HEADERS[1], media.to_owned())];
    let request = Request { method: "POST", path, query: "", headers: &headers, body: body.as_bytes() };
    let reply = match service.admit(&request, STAMP) {
        Admission::Plan(Plan::Store(plan)) => {
            let stored: usize = plan.events().iter().map(|event| event.record.len()).sum();
            assert!(stored < 4 * 1024 * 1024, "{stored} bytes are stored");
            let outcomes = vec![StoreOutcome::Stored; plan.events().len()];
            plan.respond(outcomes)
        }
        Admission::Reply(reply) => reply,
        other => unreachable!("{other:?}"),
    };
    (reply.status, String::from_utf8(reply.body).unwrap())
}

/// Log records, which have this name of a service, of its instance and of a scope.
fn logs(service: &Value, instance: &str, scope: &str, records: &str) -> String {
    let attributes = json!([
        {"key": "service.name", "value": service},
        {"key": "service.instance.id", "value": {"stringValue": instance}},
    ]);
    let head = json!({"resource": {"attributes": attributes}}).to_string();
    let head = head.strip_suffix('}').unwrap();
    let scope = json!({"name": scope});
    format!(r#"{{"resourceLogs":[{head},"scopeLogs":[{{"scope":{scope},"logRecords":[{records}]}}]}}]}}"#)
}

/// A list of `count` such items.
fn times(item: &str, count: usize) -> String {
    vec![item; count].join(",")
}

#[test]
fn a_request_takes_no_more_than_its_size_allows() {
    // The escape keeps a text from being borrowed from the body.
    let long = format!("\n{}", "x".repeat(30_000));
    let text = json!({ "stringValue": "s" });
    let nested = json!({ "arrayValue": { "values": vec![json!({ "intValue": "1" }); 1000] } });
    let timed = r#"{"timeUnixNano":1763690000000000000}"#;
    let records = times(timed, 1000);
    let cases = [
        ("/v1/logs", logs(&text, "i", "s", &times("{}", 300_000)), 413),
        ("/v1/logs", logs(&text, "i", &long, &times(timed, 20_000)), 413),
        ("/v1/logs", logs(&text, "i", &long, &records), 200),
        ("/v1/logs", logs(&text, &long, "s", &records), 200),
        ("/v1/logs", logs(&nested, "i", "s", &records), 200),
        ("/v1/logs", logs(&text, "i", "s", &records), 200),
        ("/v1/batch", format!(r#"{{"batch":[{}]}}"#, times("{}", 300_000)), 413),
        ("/batch/", format!(r#"{{"batch":[{}]}}"#, times("{}", 300_000)), 413),
        ("/e/", format!("[{}]", times("{}", 300_000)), 413),
    ];
    let events = ("/cloudevents", format!("[{}]", times("{}", 300_000)), 400);
    for (path, body, expected) in cases.into_iter().chain([events]) {
        let media = if path == "/cloudevents" { "application/cloudevents-batch+json" } else { "application/json" };
        let ((status, answer), most) = counting::most_bytes(|| post(path, media, &body));
        println!("{path}: {status}, {most} bytes");
        assert_eq!(status, expected, "{path}: {}", answer.get(..200).unwrap_or(&answer));
        assert!(most < MOST_BYTES, "{path}: {most} bytes");
    }
}

#[test]
fn records_of_a_resource_or_scope_with_a_long_name_are_refused_by_themselves() {
    let (long, text) = ("x".repeat(201), json!({ "stringValue": "s" }));
    let record = r#"{"timeUnixNano":1,"attributes":[{"key":"user.id","value":{"stringValue":"u"}}]}"#;
    let one = |instance: &str, scope: &str, record: &str| {
        let (status, answer) = post("/v1/logs", "application/json", &logs(&text, instance, scope, record));
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["partialSuccess"]["rejectedLogRecords"].clone()
    };
    assert_eq!(one("i", &long, "{}"), json!("1"));
    assert_eq!(one(&long, "s", "{}"), json!("1"));
    assert_eq!(one(&long, "s", &record.replace(":1,", ":1763690000000000000,")), Value::Null, "it is not needed");
}
