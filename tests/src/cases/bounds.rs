//! Valid events that are as unusual as possible. They are counted, and hold up nobody else's.

use std::time::{Duration, Instant};

use isotherm_hosts::Platform;
use serde_json::{Map, Value, json};

use super::counts;
use crate::client::{Ask, send};
use crate::fixture::{Fixture, block_on};

/// How long a platform may take until its reports count what it accepted.
const FRESH_WITHIN: Duration = Duration::from_secs(120);
/// The keys of two tenants, with their SHA-256.
const KEYS: [(&str, &str); 2] = [
    ("a key with unusual events", "1310d91efca2739904e6a15e8fec4f9c7b8a0946f8a84d4e71a876c50dee531e"),
    ("a key with usual events", "148f8355e851d4e7b93f84a44d608072da805d4b8b10b0a2ae4d45cbeab7b1fb"),
];
const HOUR: &str = "2013-01-01T10:15:00Z";

fn batch(key: &str, events: &[Value]) -> Ask {
    Ask::batch(events).gzip().header("authorization", &format!("Bearer {key}"))
}

fn event(event_type: &str, properties: Map<String, Value>) -> Value {
    json!({"userId": "u", "eventType": event_type, "timestamp": HOUR, "properties": properties})
}

/// 300 event types, each with eight dimensions of its own, whose names have 200 bytes.
fn dimensions() -> Vec<Value> {
    let of =
        |n: usize| event(&format!("e{n}"), (0..8).map(|at| (format!("{:0200}", n * 8 + at), json!("v"))).collect());
    (0..300).map(of).collect()
}

/// The number of events in a batch of nearly 1 MiB.
const EVENTS: usize = 450;

/// Events with 128 numbers each, all under names that no other event has.
fn numbers(batch: usize) -> Vec<Value> {
    let name = |n: usize, at: usize| format!("k{:09}", (batch * EVENTS + n) * 128 + at);
    (0..EVENTS).map(|n| event("numbers", (0..128).map(|at| (name(n, at), json!(at))).collect())).collect()
}

/// Waits until a tenant's reports count this many events.
fn until_counted(host: &Fixture, key: &str, events: u64) {
    let query = "from=2013-01-01T00:00:00Z&to=2013-01-02T00:00:00Z";
    let summary = Ask::get(&format!("/reports/summary?{query}")).header("authorization", &format!("Bearer {key}"));
    let deadline = Instant::now() + FRESH_WITHIN;
    loop {
        let answer = block_on(send(host.port, &summary)).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let count = answer.json()["rows"][0]["count"].as_u64();
        if count == Some(events) {
            return;
        }
        assert!(count < Some(events), "{count:?} of {events} events are counted: some twice");
        assert!(Instant::now() < deadline, "{count:?} of {events} events are counted");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One tenant sends ever new names. Its events are counted, and so are another tenant's.
pub fn names_without_end_hold_up_nobody(platform: Platform) {
    let keys = KEYS.map(|(key, sha256)| json!({"id": key.replace(' ', "-"), "sha256": sha256, "tenant": key.replace(' ', "-"), "scope": "both"}));
    let host = Fixture::configured(platform, &json!({"version": 2, "keys": keys}).to_string());
    let [unusual, usual] = KEYS.map(|(key, _)| key);
    let mut sent = 0;
    for events in std::iter::once(dimensions()).chain((0..4).map(numbers)) {
        assert_eq!(counts(&host.send(&batch(unusual, &events))), [events.len() as u64, 0, 0, 0]);
        sent += events.len() as u64;
    }
    let one = event("usual", Map::from_iter([("to".to_owned(), json!("x"))]));
    assert_eq!(counts(&host.send(&batch(usual, &[one]))), [1, 0, 0, 0]);
    until_counted(&host, usual, 1);
    until_counted(&host, unusual, sent);
}
