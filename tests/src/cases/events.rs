//! Single events: taking them in, keeping them and finding them again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isotherm_hosts::Platform;
use serde_json::{Value, json};

use super::{check, named};
use crate::client::Ask;
use crate::fixture::Fixture;

/// Sends the requests of the shared vectors one after another. Each finds in the store what earlier ones left there.
pub fn every_vector_is_answered_to_the_byte(platform: Platform) {
    let host = Fixture::open(platform);
    let files = [
        include_str!("../../vectors/event.json"),
        include_str!("../../vectors/batch.json"),
        include_str!("../../vectors/routes.json"),
    ];
    let mut asked = 0;
    for vector in files.iter().flat_map(|file| serde_json::from_str::<Vec<Value>>(file).unwrap()) {
        // Other configurations would need other hosts, and HEAD has no body to compare.
        let request = vector["request"].as_str().unwrap();
        if vector["config"].is_object() || request.starts_with("HEAD") {
            continue;
        }
        let (method, target) = request.split_once(' ').unwrap();
        let body = match vector["bodyBase64"].as_str() {
            Some(text) => STANDARD.decode(text).unwrap(),
            None => vector["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
        };
        let mut ask = Ask::new(method, target).body(body);
        for header in vector["headers"].as_array().into_iter().flatten() {
            ask = ask.header(header[0].as_str().unwrap(), header[1].as_str().unwrap());
        }
        host.ask(&ask);
        asked += 1;
    }
    assert!(asked > 80, "only {asked} vectors");
}

/// An event gets 202, and is then found whole under its id.
pub fn an_event_is_found_again(platform: Platform) {
    let host = Fixture::open(platform);
    let mut event = named("found-again");
    event["timestamp"] = json!("2013-01-01T05:15:00-05:00");
    let accepted = host.ask(&Ask::event(&event));
    assert_eq!(accepted.status, 202);
    let found = host.ask(&Ask::get(&format!("/events/{}", accepted.text("eventId"))));
    assert_eq!(found.status, 200);
    let found = found.json();
    assert_eq!(found["timestamp"], "2013-01-01T10:15:00.000Z");
    assert!(found["receivedAt"].as_str().unwrap() > "2026", "the time of the stamp, as core writes it: {found}");
    for field in ["messageId", "userId", "eventType", "properties"] {
        assert_eq!(found[field], event[field]);
    }
}

/// The messages of these checks are part of the contract.
pub fn the_three_basic_checks(platform: Platform) {
    let host = Fixture::open(platform);
    let checks = [
        (json!({}), "userId is required"),
        (json!({"userId": "u"}), "eventType is required"),
        (json!({"userId": "u", "eventType": "t"}), "properties must be an object"),
        (json!({"userId": "u", "eventType": "t", "properties": [1]}), "properties must be an object"),
    ];
    for (event, message) in checks {
        let answer = host.ask(&Ask::event(&event));
        check(&answer, 400, "invalid_event");
        assert_eq!(answer.text("message"), message);
        assert_eq!(answer.text("error"), "invalid_event");
        assert!(answer.text("requestId").starts_with("req_"));
    }
}

/// A repetition gets 202 with the first id, however it is spelled.
pub fn the_same_event_again_is_a_duplicate(platform: Platform) {
    let host = Fixture::open(platform);
    let first = host.ask(&Ask::event(&named("again")));
    assert!(first.json()["duplicate"].is_null());
    let spelled = r#"{ "properties" : {"of":"\u0061gain"}, "eventType":"t","userId":"u", "messageId":"again" }"#;
    for ask in [Ask::event(&named("again")), Ask::new("POST", "/events").json(spelled)] {
        let again = host.ask(&ask);
        assert_eq!((again.status, &again.json()["duplicate"]), (202, &json!(true)));
        assert_eq!(again.text("eventId"), first.text("eventId"));
    }
}

/// Other content gets 409, and the first event stays as it is.
pub fn other_content_is_a_conflict(platform: Platform) {
    let host = Fixture::open(platform);
    let first = host.ask(&Ask::event(&named("conflict")));
    for field in ["userId", "eventType"] {
        let mut other = named("conflict");
        other[field] = json!("other");
        check(&host.ask(&Ask::event(&other)), 409, "conflict");
    }
    let mut other = named("conflict");
    other["timestamp"] = json!(1_700_000_000_000_u64);
    check(&host.ask(&Ask::event(&other)), 409, "conflict");
    let kept = host.ask(&Ask::get(&format!("/events/{}", first.text("eventId"))));
    assert_eq!(kept.text("userId"), "u");
}

/// Values survive every layer of a platform, in and out.
pub fn unicode_and_big_integers_survive(platform: Platform) {
    let host = Fixture::open(platform);
    let body = concat!(
        r#"{"messageId":"ü-1\"\\","userId":"ユーザー👩‍🚀","eventType":"naïve.event","properties":{"#,
        r#""max":18446744073709551615,"min":-9223372036854775808,"beyond":9007199254740993,"#,
        r#""float":0.1,"tiny":5e-324,"nul":"\u0000","line":"a\r\nb\u2028","rtl":"שלום","quote":"\"'<>&%"}}"#,
    );
    let accepted = host.ask(&Ask::new("POST", "/events").json(body));
    assert_eq!(accepted.status, 202);
    let found = host.ask(&Ask::get(&format!("/events/{}", accepted.text("eventId"))));
    let sent: Value = serde_json::from_str(body).unwrap();
    assert_eq!(found.json()["properties"], sent["properties"]);
    let text = String::from_utf8(found.body.to_vec()).unwrap();
    assert!(text.contains("18446744073709551615") && text.contains("9007199254740993"), "{text}");
}
