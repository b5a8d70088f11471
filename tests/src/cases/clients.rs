//! Browsers' pages, and clients of other protocols.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isotherm_hosts::{Platform, Up};
use serde_json::{Value, json};

use super::{check, counts, unnamed};
use crate::client::{Answer, Ask};
use crate::fixture::{Fixture, program, up};

const VECTORS: &str = include_str!("../../vectors/clients.json");
/// The keys of the vectors: a public one with an origin whose pages may use it, a server's, and one that reads.
const KEY: &str = "pk_of_the_vectors_acme";
const SECRET_KEY: &str = "sk_of_the_vectors_acme";
const READ_KEY: &str = "rk_of_the_vectors_acme";
const ORIGIN: &str = "https://shop.example";
/// 32 bytes in base64.
const WEBHOOK_SECRET: &str = "whsec_dGhlIHNlY3JldCBvZiB0aGUgd2ViaG9va3MsIHRlc3Q=";

fn vectors() -> Vec<Value> {
    serde_json::from_str(VECTORS).unwrap()
}

/// A host with the configuration that most vectors have.
fn host(platform: Platform) -> (Fixture, Value) {
    let config = vectors()[0]["config"].clone();
    (Fixture::configured(platform, &config.to_string()), config)
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Sends the requests of the clients' vectors one after another. Each finds in the store what earlier ones left there.
pub fn every_client_is_answered_to_the_byte(platform: Platform) {
    let (host, config) = host(platform);
    let mut asked = 0;
    for vector in vectors() {
        let request = vector["request"].as_str().unwrap();
        let headers = vector["headers"].as_array().cloned().unwrap_or_default();
        // Other configurations would need other hosts, HEAD has no body to compare, and the tests' client says how long
        // its bodies are.
        let is_announced = headers.iter().any(|header| header[0] == "content-length");
        if vector["config"] != config || request.starts_with("HEAD") || is_announced {
            continue;
        }
        let (method, target) = request.split_once(' ').unwrap();
        let body = match vector["bodyBase64"].as_str() {
            Some(text) => STANDARD.decode(text).unwrap(),
            None => vector["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
        };
        let mut ask = Ask::new(method, target).body(body);
        for header in &headers {
            ask = ask.header(header[0].as_str().unwrap(), header[1].as_str().unwrap());
        }
        // What a report says depends on when it is asked.
        if target.starts_with("/reports") {
            let answer = host.send(&ask);
            assert!(header(&answer, "access-control-allow-origin").is_none(), "{answer:?}");
        } else {
            host.ask(&ask);
        }
        asked += 1;
    }
    assert!(asked > 90, "only {asked} vectors");
}

/// A page of a configured origin asks whether it may send events, and then does. The answer to its question has no body.
pub fn a_page_asks_first(platform: Platform) {
    let (host, _) = host(platform);
    let asking = Ask::new("OPTIONS", "/events").header("origin", ORIGIN);
    let answer = host.ask(&asking.header("access-control-request-method", "POST"));
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
    assert!(
        header(&answer, "content-length").is_none() && header(&answer, "transfer-encoding").is_none(),
        "{answer:?}"
    );
    assert_eq!(header(&answer, "access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(header(&answer, "access-control-allow-methods"), Some("POST"));
    assert_eq!(header(&answer, "vary"), Some("Origin"));
    let send = |origin: &str| {
        let ask = Ask::new("POST", "/events").header("origin", origin).header("content-type", "text/plain");
        host.ask(&ask.header("authorization", &format!("Bearer {KEY}")).body(unnamed().to_string()))
    };
    let answer = send(ORIGIN);
    assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (202, Some(ORIGIN)));
    let answer = send("https://evil.example");
    check(&answer, 403, "origin_not_allowed");
    assert!(header(&answer, "access-control-allow-origin").is_none());
}

/// A body with its key is read to its limit and no further, and the same body with the key in the head is taken.
pub fn little_is_read_for_an_unknown_sender(platform: Platform) {
    let (host, _) = host(platform);
    let event = |index: usize| json!({"type": "track", "event": "e", "userId": "u", "messageId": format!("little-{index}"), "properties": {"p": "x".repeat(1000)}});
    let body = json!({"writeKey": KEY, "batch": (0..64).map(event).collect::<Vec<_>>()}).to_string();
    assert!(body.len() > 64 * 1024);
    let ask = || Ask::new("POST", "/v1/batch").json(body.clone());
    check(&host.ask(&ask()), 413, "body_too_large");
    let basic = format!("Basic {}", STANDARD.encode(format!("{KEY}:")));
    let answer = host.ask(&ask().header("authorization", &basic));
    assert_eq!((answer.status, &answer.json()["accepted"]), (200, &json!(64)), "{answer:?}");
    // Packed, it is small enough.
    let answer = host.ask(&ask().gzip());
    assert_eq!((answer.status, &answer.json()["duplicate"]), (200, &json!(64)), "{answer:?}");
}

/// A schema is enforced or only reported on, and crawlers are tagged.
pub fn schemas_and_bots_are_looked_at(platform: Platform) {
    let schema =
        |mode: &str| json!({"mode": mode, "schema": {"properties": {"amount": {"type": "number", "minimum": 0}}}});
    let schemas = json!({"purchase": schema("enforce"), "refund": schema("report-only")});
    let config = json!({"version": 2, "open": true, "schemas": schemas, "bots": true});
    let host = Fixture::configured(platform, &config.to_string());
    let event = |event_type: &str, amount: i64| json!({"userId": "u", "eventType": event_type, "properties": {"amount": amount}});
    let kept = |answer: Answer| {
        assert_eq!(answer.status, 202, "{answer:?}");
        host.ask(&Ask::get(&format!("/events/{}", answer.text("eventId")))).json()["properties"].clone()
    };
    let refused = host.ask(&Ask::event(&event("purchase", -1)));
    check(&refused, 422, "schema_violation");
    assert_eq!(refused.text("message"), "properties.amount must be at least 0");
    let batch = [event("purchase", -1), event("purchase", 1), event("refund", -1)];
    assert_eq!(counts(&host.ask(&Ask::batch(&batch))), [2, 0, 1, 0]);
    assert_eq!(kept(host.ask(&Ask::event(&event("refund", 1)))), json!({"amount": 1}));
    let reported = kept(host.ask(&Ask::event(&event("refund", -1))));
    assert_eq!(reported, json!({"amount": -1, "$schema": "properties.amount"}));
    let crawler = Ask::event(&event("view", 1)).header("user-agent", "Mozilla/5.0 (compatible; ExampleBot/2.1)");
    assert_eq!(kept(host.ask(&crawler)), json!({"amount": 1, "$bot": "bot"}));
    let person = Ask::event(&event("view", 1)).header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0");
    assert_eq!(kept(host.ask(&person)), json!({"amount": 1}));
}

/// `isotherm check`, which authors of clients and hosts use, finds nothing wrong with any host: neither for a server's key, nor
/// for a page's, nor for a sender of webhooks.
pub fn the_check_for_client_authors_finds_nothing(platform: Platform) {
    let mut config = vectors()[0]["config"].clone();
    config["webhooks"] = json!([{"id": "billing", "tenant": "acme", "secrets": ["webhooks"]}]);
    let mut up = Up { config: config.to_string(), ..up(platform, "test") };
    up.environment.push(("ISOTHERM_SECRET_WEBHOOKS".to_owned(), WEBHOOK_SECRET.to_owned()));
    let host = Fixture::new(&up);
    for (key, more) in [(SECRET_KEY, &["--webhook", "billing"]), (KEY, &["--origin", ORIGIN])] {
        let mut check = Command::new(program());
        check.args(["check", &host.url(), "--read-key", READ_KEY]).args(more);
        check.env("ISOTHERM_KEY", key).env("ISOTHERM_WEBHOOK_SECRET", WEBHOOK_SECRET);
        let output = check.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}
