//! Limits, at their edge and one beyond, through each platform's layers.

use isotherm_core::Limits;
use isotherm_hosts::Platform;
use serde_json::{Value, json};

use super::{check, counts, named, unnamed};
use crate::client::{Ask, RECEIVED_AT};
use crate::fixture::Fixture;

const LIMITS: Limits = Limits::CONTRACT;

/// The limit on a body's bytes, as sent and inflated.
pub fn a_body_has_1_mib(platform: Platform) {
    let host = Fixture::open(platform);
    let of = |bytes: usize| {
        let line = format!("{}\n", unnamed());
        let body = format!("{line}{}", " ".repeat(bytes - line.len()));
        Ask::new("POST", "/events/batch").header("content-type", "application/x-ndjson").body(body)
    };
    assert_eq!(counts(&host.ask(&of(LIMITS.body_bytes))), [1, 0, 0, 0]);
    assert_eq!(counts(&host.ask(&of(LIMITS.body_bytes).gzip())), [1, 0, 0, 0]);
    check(&host.ask(&of(LIMITS.body_bytes + 1)), 413, "body_too_large");
    check(&host.ask(&of(LIMITS.body_bytes + 1).gzip()), 413, "body_too_large");
    check(&host.ask(&of(LIMITS.body_bytes * 3)), 413, "body_too_large");
}

/// The limit on the JSON text of one event.
pub fn an_event_has_32_kib(platform: Platform) {
    let host = Fixture::open(platform);
    let of = |name: &str, bytes: usize| {
        let event =
            |text: String| json!({"messageId": name, "userId": "u", "eventType": "t", "properties": {"text": text}});
        let frame = event(String::new()).to_string().len();
        event("x".repeat(bytes - frame))
    };
    let fits = host.ask(&Ask::event(&of("fits", LIMITS.event_bytes)));
    assert_eq!(fits.status, 202);
    assert_eq!(host.ask(&Ask::get(&format!("/events/{}", fits.text("eventId")))).status, 200);
    check(&host.ask(&Ask::event(&of("beyond", LIMITS.event_bytes + 1))), 413, "event_too_large");
    // As many of the largest events as fit into a body.
    let largest: Vec<Value> = (0..31).map(|index| of(&format!("fit-{index}"), LIMITS.event_bytes)).collect();
    assert_eq!(counts(&host.ask(&Ask::batch(&largest))), [31, 0, 0, 0]);
}

/// A batch with one event more is refused as a whole.
pub fn a_batch_has_1000_events(platform: Platform) {
    let host = Fixture::open(platform);
    let events: Vec<Value> = (0..=LIMITS.batch_events).map(|index| named(&format!("many-{index}"))).collect();
    check(&host.ask(&Ask::batch(&events)), 413, "too_many_events");
    assert_eq!(counts(&host.ask(&Ask::batch(&events[..LIMITS.batch_events]))), [1000, 0, 0, 0]);
}

/// The limits whose violation gets 422.
pub fn names_depth_and_properties(platform: Platform) {
    let host = Fixture::open(platform);
    let event = |user: &str, properties: Value| json!({"userId": user, "eventType": "t", "properties": properties});
    let members = |count: usize| Value::Object((0..count).map(|n| (format!("p{n}"), json!(n))).collect());
    let nested = |levels: usize| (2..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    let fits = [
        event(&"é".repeat(100), json!({})),
        event("u", members(LIMITS.properties)),
        event("u", nested(LIMITS.depth + 1)),
    ];
    for event in fits {
        assert_eq!(host.ask(&Ask::event(&event)).status, 202);
    }
    check(&host.ask(&Ask::event(&event(&"é".repeat(101), json!({})))), 422, "invalid_name");
    check(&host.ask(&Ask::event(&event("u", members(LIMITS.properties + 1)))), 422, "too_many_properties");
    check(&host.ask(&Ask::event(&event("u", nested(LIMITS.depth + 2)))), 422, "too_deep");
    let day_ahead = *RECEIVED_AT + 24 * 60 * 60 * 1000;
    for (timestamp, status) in [(946_684_800_000, 202), (946_684_799_999, 422), (day_ahead, 202), (day_ahead + 1, 422)]
    {
        let mut event = unnamed();
        event["timestamp"] = json!(timestamp);
        assert_eq!(host.ask(&Ask::event(&event)).status, status);
    }
}
