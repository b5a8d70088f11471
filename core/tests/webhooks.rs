//! Standard Webhooks: whose messages are taken, and what becomes of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use isotherm_core::{Admission, Config, Door, Millis, Plan, Request, Service, Stamp};
use serde_json::{Value, json};
use sha2::Sha256;

/// The example of the specification: a secret, a message and its signature.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SENT: u64 = 1_614_265_330;
const BODY: &str = r#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
/// Another secret, of 24 bytes.
const NEXT: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const CONFIG: &str = r#"{"version":2,"webhooks":[{"id":"billing","tenant":"acme","secrets":["billing","next"]}]}"#;

fn service() -> Service {
    let service = Service::new(Config::parse(CONFIG).unwrap())
        .with_secrets(|name| Some(if name == "ISOTHERM_SECRET_BILLING" { SECRET } else { NEXT }.to_owned()));
    assert!(!service.is_closed(), "{:?}", service.notice());
    service
}

fn signed(secret: &str, id: &str, sent: u64, body: &str) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let hmac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(format!("{id}.{sent}.{body}"));
    format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
}

fn headers(id: &str, sent: impl ToString, signature: &str) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", sent.to_string()),
        ("webhook-signature", signature.to_owned()),
    ]
}

/// What a message to a path becomes, this many seconds after the example's: the tenant and the record, or status and
/// answer.
fn ask(path: &str, headers: &[(&'static str, String)], body: &str, now: u64) -> Result<(String, Value), (u16, String)> {
    let request = Request { method: "POST", path, query: "", headers, body: body.as_bytes() };
    match service().admit(&request, Stamp { received_at: Millis(now * 1000), entropy: 7 }) {
        Admission::Plan(Plan::Store(plan)) => {
            let kept = (plan.tenant().as_str().to_owned(), serde_json::from_str(&plan.events()[0].record).unwrap());
            let _unanswered = plan.respond(Vec::new());
            Ok(kept)
        }
        Admission::Plan(_) => panic!("an event is stored"),
        Admission::Reply(reply) => Err((reply.status, String::from_utf8(reply.body).unwrap())),
    }
}

fn send(id: &str, sent: u64, signature: &str, body: &str, now: u64) -> Result<(String, Value), (u16, String)> {
    ask("/webhooks/billing", &headers(id, sent, signature), body, now)
}

#[track_caller]
fn refused(answer: Result<(String, Value), (u16, String)>, status: u16, part: &str) {
    let (found, body) = answer.unwrap_err();
    assert!(found == status && body.contains(part), "{found} {body}");
}

#[test]
fn the_example_of_the_specification_is_taken() {
    assert_eq!(signed(SECRET, ID, SENT, BODY), SIGNATURE);
    let (tenant, record) = send(ID, SENT, SIGNATURE, BODY, SENT).unwrap();
    assert_eq!(tenant, "acme");
    assert_eq!([&record["userId"], &record["eventType"]], [&json!("billing"), &json!("webhook")]);
    assert_eq!([&record["messageId"], &record["properties"]], [&json!(ID), &json!({"test": 2_432_232_314_u64})]);
}

#[test]
fn a_message_is_mapped() {
    let body = r#"{"type":"invoice.paid","timestamp":"2021-02-25T15:00:00Z","data":{"user_id":7,"total":9.5}}"#;
    let (_, record) = send("m1", SENT, &signed(SECRET, "m1", SENT, body), body, SENT).unwrap();
    assert_eq!([&record["userId"], &record["eventType"]], [&json!("7"), &json!("invoice.paid")]);
    assert_eq!(record["timestamp"], "2021-02-25T15:00:00.000Z");
    assert_eq!(record["properties"], json!({"total": 9.5}));
    let body = r#"{"type":"tick","data":[1]}"#;
    let (_, record) = send("m2", SENT, &signed(SECRET, "m2", SENT, body), body, SENT).unwrap();
    assert_eq!([&record["userId"], &record["properties"]], [&json!("billing"), &json!({"data": [1]})]);
}

#[test]
fn each_secret_is_good_and_one_good_signature_is_enough() {
    let next = signed(NEXT, ID, SENT, BODY);
    send(ID, SENT, &next, BODY, SENT).unwrap();
    send(ID, SENT, &format!("v1a,AAAA v1,AAAA v1,no-base64 {next}"), BODY, SENT).unwrap();
    let other = signed("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", ID, SENT, BODY);
    for signature in [&other, "v1,", "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "g0hM9SsE", " "] {
        refused(send(ID, SENT, signature, BODY, SENT), 401, "webhook-signature is none of this body");
    }
}

#[test]
fn the_signature_is_over_id_time_and_body() {
    let refused_here = |answer| refused(answer, 401, "webhook-signature is none of this body");
    refused_here(send("msg_other", SENT, SIGNATURE, BODY, SENT));
    refused_here(send(ID, SENT + 1, SIGNATURE, BODY, SENT));
    refused_here(send(ID, SENT, SIGNATURE, r#"{"test": 2432232315}"#, SENT));
    // Parts that are moved from one place to the next.
    let moved = signed(SECRET, "a", SENT, &format!("{SENT}.{{}}"));
    refused(send(&format!("a.{SENT}"), SENT, &moved, "{}", SENT), 401, "without a full stop");
}

#[test]
fn the_time_is_five_minutes_away_at_most() {
    for now in [SENT - 300, SENT + 300] {
        send(ID, SENT, SIGNATURE, BODY, now).unwrap();
    }
    for now in [SENT - 301, SENT + 301] {
        refused(send(ID, SENT, SIGNATURE, BODY, now), 401, "more than 5 minutes from now");
    }
    for sent in ["", "x", "-1", "1e9", "99999999999999999999", "18446744073709551615"] {
        refused(ask("/webhooks/billing", &headers(ID, sent, SIGNATURE), BODY, SENT), 401, "5 minutes");
    }
}

#[test]
fn without_a_signature_no_body_is_read() {
    for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = headers(ID, SENT, SIGNATURE);
        headers.retain(|(name, _)| *name != missing);
        let request = Request { method: "POST", path: "/webhooks/billing", query: "", headers: &headers, body: b"" };
        let stamp = Stamp { received_at: Millis(SENT * 1000), entropy: 7 };
        let service = service();
        let Door::Reply(reply) = service.admit_head(&request, stamp) else { panic!("without {missing}") };
        assert_eq!(reply.status, 401);
        assert!(reply.headers.iter().any(|(name, _)| *name == "www-authenticate"));
    }
    refused(ask("/webhooks/other", &headers(ID, SENT, SIGNATURE), BODY, SENT), 401, "unauthorized");
    let long = format!(r#"{{"data":"{}"}}"#, "x".repeat(64 * 1024));
    refused(send(ID, SENT, &signed(SECRET, ID, SENT, &long), &long, SENT), 413, "body_too_large");
}

#[test]
fn a_configuration_says_what_is_wrong_with_a_sender() {
    for (webhooks, problem) in [
        (r#"[{"id":"a","tenant":"acme","secrets":[]}]"#, "webhooks[0].secrets must be the names of 1 to 4 secrets"),
        (r#"[{"id":"a","tenant":"acme"}]"#, "webhooks[0].secrets must be"),
        (r#"[{"id":"a","secrets":["b"]}]"#, "webhooks[0].tenant"),
        (r#"[{"tenant":"acme","secrets":["b"]}]"#, "webhooks[0].id"),
        (r#"[{"id":"a","tenant":"t","secrets":["b"],"key":1}]"#, "webhooks[0] must be an object with no members but"),
        (r#"[{"id":"a","tenant":"t","secrets":["B!"]}]"#, "a secret's name must be"),
        (
            r#"[{"id":"a","tenant":"t","secrets":["b"]},{"id":"a","tenant":"t","secrets":["b"]}]"#,
            "webhooks[1].id is there twice",
        ),
        ("[]", "there are no keys"),
    ] {
        let error = Config::parse(&format!(r#"{{"version":2,"webhooks":{webhooks}}}"#)).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    for secret in
        ["whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw_and_more", "whsec_no base64, but long enough to be"]
    {
        let service = Service::new(Config::parse(CONFIG).unwrap()).with_secrets(|_name| Some(secret.to_owned()));
        assert!(service.is_closed(), "{secret}");
        assert!(!format!("{:?}", service.notice()).contains(secret), "a notice has no secret");
    }
}
