//! Keys, scopes and tenants.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isotherm_hosts::Platform;

use super::{check, named};
use crate::client::{Answer, Ask};
use crate::fixture::Fixture;

fn with(ask: Ask, key: &str) -> Ask {
    ask.header("authorization", &format!("Bearer {key}"))
}

/// A request without a key gets 401, and one with a key of another scope gets 403.
pub fn keys_open_what_their_scope_says(platform: Platform) {
    let host = Fixture::keyed(platform);
    let event = || Ask::event(&named("scopes"));
    check(&host.ask(&event()), 401, "unauthorized");
    check(&host.ask(&with(event(), "no such key is there")), 401, "unauthorized");
    check(&host.ask(&event().header("authorization", "Basic !")), 401, "unauthorized");
    check(&host.ask(&with(event(), "acme reads reports")), 403, "forbidden");
    let accepted = host.ask(&with(event(), "acme writes events"));
    assert_eq!(accepted.status, 202);
    let find = || Ask::get(&format!("/events/{}", accepted.text("eventId")));
    check(&host.ask(&find()), 401, "unauthorized");
    check(&host.ask(&with(find(), "acme writes events")), 403, "forbidden");
    for key in ["acme reads reports", "acme does both of it"] {
        assert_eq!(host.ask(&with(find(), key)).status, 200);
        for pair in [format!("{key}:"), format!("anyone:{key}")] {
            let basic = format!("Basic {}", STANDARD.encode(pair));
            assert_eq!(host.ask(&find().header("authorization", &basic)).status, 200);
        }
    }
    assert_eq!(host.ask(&Ask::get("/healthz")).status, 200);
    assert_eq!(host.ask(&Ask::get("/openapi.json")).status, 200);
}

/// The same messageId under two tenants is two events.
pub fn tenants_do_not_see_each_other(platform: Platform) {
    let host = Fixture::keyed(platform);
    let event = || Ask::event(&named("tenants"));
    let acme = host.ask(&with(event(), "acme does both of it"));
    let globex = host.ask(&with(event(), "globex does both"));
    assert!(globex.json()["duplicate"].is_null());
    assert_ne!(acme.text("eventId"), globex.text("eventId"));
    let find = Ask::get(&format!("/events/{}", acme.text("eventId")));
    check(&host.ask(&with(find, "globex does both")), 404, "not_found");
}

/// Every route answers 503, except the one that says whether the host lives.
pub fn without_a_whole_configuration_nothing_is_open(platform: Platform) {
    for config in ["", r#"{"keys":[]}"#, r#"{"open":tru"#] {
        let host = Fixture::configured(platform, config);
        assert_eq!(host.ask(&Ask::get("/healthz")).status, 200);
        check(&host.ask(&Ask::event(&named("closed"))), 503, "not_configured");
        check(&host.ask(&with(Ask::event(&named("closed")), "acme does both of it")), 503, "not_configured");
        check(&host.ask(&Ask::get("/reports/summary")), 503, "not_configured");
        check(&host.ask(&Ask::get("/nowhere")), 503, "not_configured");
    }
}

/// Who sends more events than the configuration allows is told when to come again. Spin keeps no count: each request may
/// have an instance of its own.
pub fn limits_say_when_to_come_again(platform: Platform) {
    let config =
        r#"{"version":2,"open":true,"shards":1,"limits":{"tenants":{"*":{"events":10,"seconds":3600,"burst":20}}}}"#;
    let host = Fixture::configured(platform, config);
    let batch = |part: usize| {
        let events: Vec<_> = (0..15).map(|index| named(&format!("limited-{part}-{index}"))).collect();
        host.send(&Ask::batch(&events))
    };
    let header = |answer: &Answer, name: &str| {
        answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let policy = r#""tenant";q=10;w=3600"#.to_owned();
    let first = batch(0);
    assert_eq!((first.status, header(&first, "ratelimit-policy")), (200, Some(policy.clone())));
    let second = batch(1);
    if platform == Platform::Spin {
        // Each instance counts for itself, and either it or another one got this request.
        assert!([200, 429].contains(&second.status), "{second:?}");
        return;
    }
    check(&second, 429, "rate_limited");
    assert_eq!(header(&second, "ratelimit-policy"), Some(policy));
    // The request's stamp is the same for both, but a shard goes by its own clock.
    let wait: u64 = header(&second, "retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert!(header(&second, "x-ratelimit-reset").is_some());
    let single = host.send(&Ask::event(&named("limited-0-0")));
    assert_eq!(single.status, 202, "five are left");
}

/// Tokens that Node.js has signed with keys of the tests. They are good until 2100.
const TOKENS: [&str; 3] = [
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0LyIsImF1ZCI6Imlzb3RoZXJtIiwiZXhwIjo0MTAyNDQ0ODAwLCJvcmciOiJhY21lIiwic2NvcGUiOiJib3RoIn0.BLWxF2gfOkOgC5D0PwTlQ3CrIzBhDoBpxSzR7ITuC-SjqCsaVslxGQmYR_nWbS8vu8TsC8ICgc-8gtEJ1TKrUg",
    "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0LyIsImF1ZCI6Imlzb3RoZXJtIiwiZXhwIjo0MTAyNDQ0ODAwLCJvcmciOiJhY21lIiwic2NvcGUiOiJib3RoIn0.wWH-dyPqknYkac6OTFA-E2DUSJSoVk5_nK-kfnH42nsl_Q8HdTAXKcx2Q-fqYo3qa6vuGoJRP3zdNK9RMuJ-Cg",
    "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0LyIsImF1ZCI6Imlzb3RoZXJtIiwiZXhwIjo0MTAyNDQ0ODAwLCJvcmciOiJhY21lIiwic2NvcGUiOiJib3RoIn0.5l90q4ZMrdl9AtqKN8Y-U-g5fBBcGL4lCKPzG4n3tQo",
];
const ISSUERS: &str = r#"{"version":2,"jwt":[
    {"id":"es256","issuer":"https://issuer.test/","audience":"isotherm","algorithm":"ES256","tenantClaim":"org","scopeClaim":"scope",
     "key":{"kty":"EC","crv":"P-256","x":"HhhTL9R1TALzBB2cdc6zO4P_2BrHzk_ogsyxyYvFiW4","y":"pGwxHE4v9A3ZajZT5uRURdMt_khuztdcepDGoYiBwKM"}},
    {"id":"eddsa","issuer":"https://issuer.test/","audience":"isotherm","algorithm":"EdDSA","tenantClaim":"org","scopeClaim":"scope",
     "key":{"kty":"OKP","crv":"Ed25519","x":"_RckOFqgx1tk-3jNYC-h2ZH96_drE8WO1wLqyDXp9hg"}},
    {"id":"hs256","issuer":"https://issuer.test/","audience":"isotherm","algorithm":"HS256","tenantClaim":"org","scopeClaim":"scope",
     "secret":"conformance"}],
    "privacy":{"hash":{"*":["email"]},"drop":{"*":["phone"]},"secret":"conformance"}}"#;

/// A token of each algorithm stands for a key. The secret comes from the platform, and is the key of hashes, too.
pub fn tokens_take_the_place_of_keys(platform: Platform) {
    let host = Fixture::configured(platform, ISSUERS);
    for (at, token) in TOKENS.iter().enumerate() {
        let mut event = named(&format!("token {at}"));
        event["properties"] = serde_json::json!({"email": "a@b.test", "phone": "1", "n": 1});
        let accepted = host.ask(&with(Ask::event(&event), token));
        assert_eq!(accepted.status, 202);
        let found = host.ask(&with(Ask::get(&format!("/events/{}", accepted.text("eventId"))), token));
        let properties = &found.json()["properties"];
        assert!(properties["phone"].is_null() && properties["email"].as_str().is_some_and(|hash| hash.len() == 32));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
        check(&host.ask(&with(Ask::event(&event), &forged)), 401, "unauthorized");
    }
    check(&host.ask(&with(Ask::new("POST", "/schedule"), TOKENS[0])), 403, "forbidden");
    check(&host.ask(&Ask::event(&named("no token"))), 401, "unauthorized");
}

/// The operator's route needs an operator's key.
pub fn the_schedule_asks_for_an_operator(platform: Platform) {
    let host = Fixture::keyed(platform);
    let schedule = |method: &str| Ask::new(method, "/schedule");
    for method in ["POST", "GET", "DELETE"] {
        check(&host.ask(&schedule(method)), 401, "unauthorized");
        check(&host.ask(&with(schedule(method), "acme does both of it")), 403, "forbidden");
        check(&Fixture::open(platform).ask(&schedule(method)), 401, "unauthorized");
    }
    check(&host.ask(&with(schedule("GET"), "acme operates it all")), 405, "method_not_allowed");
    assert_eq!(host.ask(&with(schedule("POST"), "acme operates it all")).status, 200);
    check(&host.ask(&with(Ask::event(&named("operator")), "acme operates it all")), 403, "forbidden");
}

/// The joined lines of a header are one value, which is neither a valid key nor a valid content type.
pub fn repeated_headers_are_one_value(platform: Platform) {
    let host = Fixture::keyed(platform);
    let event = || Ask::event(&named("twice"));
    let twice = with(with(event(), "acme writes events"), "acme writes events");
    check(&host.ask(&twice), 401, "unauthorized");
    let twice = with(event(), "acme writes events").header("content-type", "application/json; charset=utf-8");
    check(&host.ask(&twice), 415, "unsupported_media_type");
}

/// The key is checked before the body.
pub fn the_head_is_looked_at_first(platform: Platform) {
    let host = Fixture::keyed(platform);
    let post = || Ask::new("POST", "/events").header("content-type", "text/plain").body("no event");
    check(&host.ask(&post()), 401, "unauthorized");
    check(&host.ask(&with(post(), "acme reads reports")), 403, "forbidden");
    check(&host.ask(&with(post(), "acme writes events")), 415, "unsupported_media_type");
}
