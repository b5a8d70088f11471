//! Tokens in place of keys: what RFC 8725 asks for, and what clients are told. Its list (section 3), and the tests:
//!
//! - 3.1 and 3.2, algorithms: `the_token_does_not_choose_its_algorithm`
//! - 3.3, all cryptographic operations; 3.4, points of a curve: `other_encodings_and_nested_tokens_are_refused`, and the tests
//!   of `core/src/admission/signature.rs`
//! - 3.5, keys with entropy: `without_its_secrets_a_service_is_closed`
//! - 3.6, no compression: `other_encodings_and_nested_tokens_are_refused`
//! - 3.7, UTF-8: `a_token_whose_json_is_no_utf_8_is_refused`
//! - 3.8 and 3.9, issuer, subject and audience: `claims_are_checked`. No subject is used, so none is checked.
//! - 3.10, no trust in what is claimed: `the_header_is_not_trusted`
//! - 3.11, explicit types: `other_kinds_of_tokens_are_refused`
//! - 3.12, rules that exclude each other: `a_token_of_one_issuer_is_none_of_another`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use isotherm_core::{Admission, Config, Limiter, Millis, Plan, Request, Service, Stamp, StoreOutcome};
use sha2::Sha256;

const SECRET: &str = "a secret of the tests, of 32 bytes and more";
const NOW: u64 = 1_763_726_400;
const CLAIMS: &str =
    r#"{"iss":"https://issuer.test/","aud":"isotherm","exp":1763726500,"org":"acme","scope":"openid write"}"#;

fn es256() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()
}

fn eddsa() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[9; 32])
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The public keys of the tests, as JWK.
fn jwk(algorithm: &str) -> String {
    if algorithm == "EdDSA" {
        return format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, encoded(eddsa().verifying_key().as_bytes()));
    }
    let point = es256().verifying_key().to_sec1_point(false);
    let (x, y) = (encoded(&point.as_bytes()[1..33]), encoded(&point.as_bytes()[33..]));
    format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)
}

/// An entry of `jwt`.
fn issuer(algorithm: &str, more: &str) -> String {
    let key = match algorithm {
        "HS256" => r#""secret":"auth""#.to_owned(),
        "RS256" => r#""key":"gateway""#.to_owned(),
        other => format!(r#""key":{}"#, jwk(other)),
    };
    format!(
        r#"{{"id":"{}","issuer":"https://issuer.test/","audience":"isotherm","algorithm":"{algorithm}",{key}{more}}}"#,
        algorithm.to_lowercase()
    )
}

const BY_CLAIMS: &str = r#","tenantClaim":"org","scopeClaim":"scope""#;

fn configured(issuers: &[String]) -> Service {
    let text = format!(r#"{{"version":2,"jwt":[{}]}}"#, issuers.join(","));
    let service = Service::new(Config::parse(&text).unwrap());
    let service = service.with_secrets(|name| (name == "ISOTHERM_SECRET_AUTH").then(|| SECRET.to_owned()));
    assert!(!service.is_closed(), "{:?}", service.notice());
    service
}

fn all() -> Service {
    configured(&["HS256", "ES256", "EdDSA"].map(|algorithm| issuer(algorithm, BY_CLAIMS)))
}

fn hs256(secret: &[u8], message: &str) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn token(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = if header.contains("ES256") {
        let signature: p256::ecdsa::Signature = es256().sign(message.as_bytes());
        signature.to_bytes().to_vec()
    } else if header.contains("EdDSA") {
        eddsa().sign(message.as_bytes()).to_bytes().to_vec()
    } else {
        hs256(SECRET.as_bytes(), &message)
    };
    format!("{message}.{}", encoded(signature))
}

/// What an event that comes with a token gets: the tenant, or status and message.
fn ask(service: &Service, token: &str) -> Result<String, (u16, String)> {
    answered(token, |request, stamp| service.admit(request, stamp))
}

/// The same, where the platform's gateway says that it has checked the token.
fn ask_verified(service: &Service, token: &str) -> Result<String, (u16, String)> {
    answered(token, |request, stamp| service.admit_verified(request, stamp))
}

fn answered(token: &str, admit: impl Fn(&Request<'_>, Stamp) -> Admission) -> Result<String, (u16, String)> {
    let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/json".to_owned())];
    let body = br#"{"userId":"u","eventType":"t","properties":{}}"#;
    let request = Request { method: "POST", path: "/events", query: "", headers: &headers, body };
    match admit(&request, Stamp { received_at: Millis(NOW * 1000), entropy: 7 }) {
        Admission::Plan(Plan::Store(plan)) => {
            let tenant = plan.tenant().as_str().to_owned();
            let _unanswered = plan.respond(Vec::new());
            Ok(tenant)
        }
        Admission::Plan(_) => panic!("an event is stored"),
        Admission::Reply(reply) => {
            let body = String::from_utf8(reply.body).unwrap();
            let message = body.split(r#""message":""#).nth(1).unwrap().split(r#"","requestId"#).next().unwrap();
            Err((reply.status, message.to_owned()))
        }
    }
}

#[track_caller]
fn refused(service: &Service, token: &str, part: &str) {
    let (status, message) = ask(service, token).unwrap_err();
    assert!(status == 401 && message.contains(part), "{status} {message}");
}

const NOT_OURS: &str = "not signed by a configured issuer";

#[test]
fn each_algorithm_is_taken_with_its_own_key() {
    let service = all();
    for algorithm in ["HS256", "ES256", "EdDSA"] {
        let token = token(&format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#), CLAIMS);
        assert_eq!(ask(&service, &token), Ok("acme".to_owned()), "{algorithm}");
        assert_eq!(ask(&configured(&[issuer(algorithm, BY_CLAIMS)]), &token), Ok("acme".to_owned()));
    }
}

/// RFC 8725, 2.1 and 3.1: neither `none`, nor a key of another algorithm.
#[test]
fn the_token_does_not_choose_its_algorithm() {
    let service = all();
    for alg in ["none", "None", "nOnE", "", "HS384", "RS256", "ES384", "hs256"] {
        let message = format!("{}.{}", encoded(format!(r#"{{"alg":"{alg}"}}"#)), encoded(CLAIMS));
        refused(&service, &format!("{message}."), NOT_OURS);
        refused(&service, &format!("{message}.{}", encoded(hs256(SECRET.as_bytes(), &message))), NOT_OURS);
    }
    refused(&service, &format!("{}.{}.", encoded("{}"), encoded(CLAIMS)), NOT_OURS);
    // The public key as the secret of an HMAC.
    let message = format!("{}.{}", encoded(r#"{"alg":"HS256"}"#), encoded(CLAIMS));
    let point = es256().verifying_key().to_sec1_point(false);
    for key in [point.as_bytes(), jwk("ES256").as_bytes(), b"", &eddsa().verifying_key().to_bytes()] {
        refused(&service, &format!("{message}.{}", encoded(hs256(key, &message))), NOT_OURS);
        let only = configured(&[issuer("ES256", BY_CLAIMS), issuer("EdDSA", BY_CLAIMS)]);
        refused(&only, &format!("{message}.{}", encoded(hs256(key, &message))), NOT_OURS);
    }
    // A good signature under the name of another algorithm.
    let eddsa = token(r#"{"alg":"EdDSA"}"#, CLAIMS);
    let (_, signature) = eddsa.rsplit_once('.').unwrap();
    refused(&service, &format!("{}.{}.{signature}", encoded(r#"{"alg":"ES256"}"#), encoded(CLAIMS)), NOT_OURS);
}

/// RFC 8725, 2.4 and 2.5, and RFC 7515, 4.1.11: nothing in the header names a key, and what it says is critical is not known.
#[test]
fn the_header_is_not_trusted() {
    let service = all();
    let jwk = jwk("ES256");
    for more in [r#""jku":"https://evil.test/""#, &format!(r#""jwk":{jwk}"#), r#""x5u":"https://evil.test/""#] {
        let forged = token(&format!(r#"{{"alg":"HS256",{more}}}"#), CLAIMS);
        // It is ignored: the signature is that of the configured key.
        assert!(ask(&service, &forged).is_ok());
    }
    for crit in [r#""crit":["b64"],"b64":false"#, r#""crit":[]"#, r#""crit":["exp"]"#] {
        refused(&service, &token(&format!(r#"{{"alg":"HS256",{crit}}}"#), CLAIMS), "crit");
    }
    refused(&service, &token(r#"{"alg":"HS256","alg":"HS256"}"#, CLAIMS), NOT_OURS);
    refused(&service, &token(r#"["HS256"]"#, CLAIMS), NOT_OURS);
}

/// RFC 8725, 2.8 and 3.11: a token of another kind is none for access.
#[test]
fn other_kinds_of_tokens_are_refused() {
    let service = all();
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert!(ask(&service, &token(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#), CLAIMS)).is_ok());
    }
    for typ in [r#""dpop+jwt""#, r#""secevent+jwt""#, r#""""#, "1"] {
        refused(&service, &token(&format!(r#"{{"alg":"ES256","typ":{typ}}}"#), CLAIMS), "typ");
    }
}

/// RFC 8725, 3.8, 3.9 and RFC 7519, 4.1.
#[test]
fn claims_are_checked() {
    let service = all();
    let with = |from: &str, to: &str| token(r#"{"alg":"EdDSA"}"#, &CLAIMS.replace(from, to));
    for (from, to, problem) in [
        (r#""iss":"https://issuer.test/""#, r#""iss":"https://issuer.test""#, "iss"),
        (r#""iss":"https://issuer.test/","#, "", "iss"),
        (r#""iss":"https://issuer.test/""#, r#""iss":["https://issuer.test/"]"#, "iss"),
        (r#""aud":"isotherm""#, r#""aud":"another""#, "aud"),
        (r#""aud":"isotherm""#, r#""aud":["another",{"a":"isotherm"}]"#, "aud"),
        (r#""aud":"isotherm","#, "", "aud"),
        (r#""exp":1763726500,"#, "", "needs exp"),
        (r#""exp":1763726500"#, r#""exp":"1763726500""#, "needs exp"),
        (r#""exp":1763726500"#, r#""exp":1763726339"#, "expired"),
        (r#""exp":1763726500"#, r#""exp":1763726340"#, "expired"),
        (r#""exp":1763726500"#, r#""exp":-1"#, "expired"),
        (r#""exp":1763726500"#, r#""exp":1763726500,"nbf":1763726461"#, "nbf"),
        (r#""exp":1763726500"#, r#""exp":1763726500,"nbf":"soon""#, "nbf"),
        (r#""exp":1763726500"#, r#""exp":1763726500,"exp":99999999999"#, NOT_OURS),
        (r#""org":"acme""#, r#""org":"a b""#, "tenant"),
        (r#""org":"acme","#, "", "tenant"),
        (r#""org":"acme""#, r#""org":["acme"]"#, "tenant"),
    ] {
        refused(&service, &with(from, to), problem);
    }
    for (from, to) in [
        (r#""aud":"isotherm""#, r#""aud":["another","isotherm"]"#),
        // The clocks may differ by a minute.
        (r#""exp":1763726500"#, r#""exp":1763726341"#),
        (r#""exp":1763726500"#, r#""exp":1763726500.5,"nbf":1763726460"#),
        (r#""scope":"openid write""#, r#""scope":["both"]"#),
        (r#""org":"acme""#, r#""org":"acme","sub":{"any":["thing"]}"#),
    ] {
        assert_eq!(ask(&service, &with(from, to)), Ok("acme".to_owned()), "{to}");
    }
    for scope in
        [r#""scope":"read""#, r#""scope":"writer""#, r#""scope":1"#, r#""scope":["operate"]"#, r#""scopes":"write""#]
    {
        let (status, _) = ask(&service, &with(r#""scope":"openid write""#, scope)).unwrap_err();
        assert_eq!(status, 403, "{scope}");
    }
}

/// RFC 8725, 3.7.
#[test]
fn a_token_whose_json_is_no_utf_8_is_refused() {
    let signed = |header: &[u8], claims: &[u8]| {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = encoded(hs256(SECRET.as_bytes(), &message));
        format!("{message}.{signature}")
    };
    let header: &[u8] = br#"{"alg":"HS256"}"#;
    assert!(ask(&all(), &signed(header, CLAIMS.as_bytes())).is_ok());
    let latin = CLAIMS.replace("acme", "acm\u{e9}").chars().map(|char| char as u8).collect::<Vec<u8>>();
    let utf_16: Vec<u8> = CLAIMS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let overlong = [CLAIMS.trim_end_matches('}').as_bytes(), b",\"a\":\"\xc0\xaf\"}"].concat();
    for claims in [latin, utf_16, overlong] {
        refused(&all(), &signed(header, &claims), NOT_OURS);
    }
    refused(&all(), &signed(b"{\"alg\":\"HS256\",\"a\":\"\xff\"}", CLAIMS.as_bytes()), NOT_OURS);
}

/// RFC 8725, 3.3 and 3.6: a token within a token, and one that is encrypted or compressed.
#[test]
fn other_encodings_and_nested_tokens_are_refused() {
    let good = token(r#"{"alg":"HS256"}"#, CLAIMS);
    for header in [r#"{"alg":"HS256","cty":"JWT"}"#, r#"{"alg":"HS256","zip":"DEF"}"#] {
        refused(&all(), &token(header, &good), NOT_OURS);
    }
    let encrypted = encoded(r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#);
    refused(&all(), &format!("{encrypted}..AAAA.AAAA.AAAA"), "a configured key is required");
}

/// RFC 8725, 3.12: issuers share an address, and are told apart by algorithm, key and audience alone.
#[test]
fn a_token_of_one_issuer_is_none_of_another() {
    let reports = issuer("ES256", r#","tenant":"acme","scope":"read""#).replace("\"isotherm\"", "\"reports\"");
    let service = configured(&[issuer("EdDSA", BY_CLAIMS), reports]);
    assert!(ask(&service, &token(r#"{"alg":"EdDSA"}"#, CLAIMS)).is_ok());
    refused(&service, &token(r#"{"alg":"ES256"}"#, CLAIMS), "aud");
    let to_reports = CLAIMS.replace("\"isotherm\"", "\"reports\"");
    refused(&service, &token(r#"{"alg":"EdDSA"}"#, &to_reports), "aud");
    // It is that issuer's token, and the scope that it claims is not the one of the configuration.
    assert_eq!(ask(&service, &token(r#"{"alg":"ES256"}"#, &to_reports)).unwrap_err().0, 403);
}

#[test]
fn what_is_no_token_is_refused_whatever_its_size() {
    let service = all();
    let good = token(r#"{"alg":"HS256"}"#, CLAIMS);
    refused(&service, &good[..good.len() - 1], NOT_OURS);
    refused(&service, &format!("{good}="), NOT_OURS);
    refused(&service, &good.replacen('.', " .", 1), NOT_OURS);
    for nothing in ["..", ".", "a.b.c", "e30.e30.", "a.b.c.d"] {
        let (status, _) = ask(&service, nothing).unwrap_err();
        assert_eq!(status, 401, "{nothing}");
    }
    let huge = token(&format!(r#"{{"alg":"HS256","a":"{}"}}"#, "x".repeat(7000)), CLAIMS);
    refused(&service, &huge, "more than 8,192 bytes");
    let deep = token(r#"{"alg":"HS256"}"#, &format!("{}{}", "[".repeat(2000), "]".repeat(2000)));
    refused(&service, &deep, NOT_OURS);
    // Signed, and still no claims.
    refused(&service, &token(r#"{"alg":"HS256"}"#, "[]"), "iss");
}

const RS256: &str = r#"{"alg":"RS256","typ":"JWT","kid":"the gateway knows it"}"#;

/// Core has no code for RSA, so the signature of these tokens may be anything.
#[test]
fn rs256_is_taken_only_where_the_gateway_has_checked_it() {
    let service = configured(&[issuer("RS256", BY_CLAIMS)]);
    let good = token(RS256, CLAIMS);
    assert_eq!(ask_verified(&service, &good), Ok("acme".to_owned()));
    refused(&service, &good, NOT_OURS);
    // The gateway checks RS256 alone. Core has no key for the others, so it refuses them.
    for alg in ["HS256", "none", "ES256", "EdDSA", "RS512", "rs256", ""] {
        let other = token(&format!(r#"{{"alg":"{alg}"}}"#), CLAIMS);
        refused(&service, &other, NOT_OURS);
        assert_eq!(ask_verified(&service, &other).unwrap_err().0, 401, "{alg}");
    }
    // Whoever has checked the signature has not read the claims and the header for core.
    for (from, to, status) in [
        ("https://issuer.test/", "https://evil.test/", 401),
        (r#""aud":"isotherm""#, r#""aud":"another""#, 401),
        ("1763726500", "1763726339", 401),
        (r#""exp":1763726500"#, r#""exp":1763726500,"nbf":1763726461"#, 401),
        (r#""org":"acme""#, r#""org":"a b""#, 401),
        ("openid write", "openid read", 403),
    ] {
        let wrong = token(RS256, &CLAIMS.replace(from, to));
        assert_eq!(ask_verified(&service, &wrong).unwrap_err().0, status, "{to}");
    }
    // Gateways join the lines of a header that is sent twice: which of the two has been checked is not known.
    for two in [format!("{good}, Bearer {good}"), format!("{good}, {good}"), format!("{good}, Bearer x")] {
        assert_eq!(ask_verified(&service, &two).unwrap_err().0, 401, "{two}");
    }
    let dpop = token(&RS256.replace("JWT", "dpop+jwt"), CLAIMS);
    assert_eq!(ask_verified(&service, &dpop).unwrap_err().0, 401);
    // What a queue or a gateway asks about a header alone is not checked either.
    assert_eq!(service.writer(Some(&format!("Bearer {good}")), Millis(NOW * 1000)), Ok(None));
}

/// The gateway checks RS256 alone, so its word is none for the tokens of other issuers, and none is needed for keys.
#[test]
fn what_the_gateway_says_changes_nothing_for_others() {
    let others = all();
    for algorithm in ["HS256", "ES256", "EdDSA"] {
        let good = token(&format!(r#"{{"alg":"{algorithm}"}}"#), CLAIMS);
        assert_eq!(ask_verified(&others, &good), Ok("acme".to_owned()), "{algorithm}");
        let (message, _) = good.rsplit_once('.').unwrap();
        let forged = format!("{message}.{}", encoded([1; 64]));
        assert_eq!(ask_verified(&others, &forged).unwrap_err().0, 401, "{algorithm}");
    }
    assert_eq!(ask_verified(&others, &token(RS256, CLAIMS)).unwrap_err().0, 401);
    let both = configured(&[issuer("RS256", BY_CLAIMS), issuer("HS256", BY_CLAIMS)]);
    let (message, signature) = (token(r#"{"alg":"HS256"}"#, CLAIMS), encoded([1; 32]));
    let forged = format!("{}.{signature}", message.rsplit_once('.').unwrap().0);
    assert_eq!(ask_verified(&both, &forged).unwrap_err().0, 401);
    let keyed = r#"{"version":2,"keys":[{"sha256":"773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1","tenant":"globex","scope":"write"}]}"#;
    let keyed = Service::new(Config::parse(keyed).unwrap());
    assert_eq!(ask_verified(&keyed, "a key of the tests"), Ok("globex".to_owned()));
    assert_eq!(ask_verified(&keyed, "another key that is none").unwrap_err().0, 401);
}

#[test]
fn a_key_may_be_named_and_changed() {
    let named = |kid: &str| issuer("ES256", BY_CLAIMS).replace(r#"{"kty""#, &format!(r#"{{"kid":"{kid}","kty""#));
    let service = configured(&[named("new")]);
    assert!(ask(&service, &token(r#"{"alg":"ES256","kid":"new"}"#, CLAIMS)).is_ok());
    refused(&service, &token(r#"{"alg":"ES256","kid":"old"}"#, CLAIMS), NOT_OURS);
    refused(&service, &token(r#"{"alg":"ES256"}"#, CLAIMS), NOT_OURS);
    refused(&service, &token(r#"{"alg":"ES256","kid":"../new"}"#, CLAIMS), NOT_OURS);
}

#[test]
fn tenant_and_scope_may_be_fixed_and_a_queue_carries_them() {
    let fixed = configured(&[issuer("HS256", r#","tenant":"globex","scope":"both""#)]);
    let bearer = |claims: &str| format!("Bearer {}", token(r#"{"alg":"HS256"}"#, claims));
    assert_eq!(ask(&fixed, &token(r#"{"alg":"HS256"}"#, CLAIMS)), Ok("globex".to_owned()));
    assert_eq!(fixed.tenants().iter().map(|tenant| tenant.as_str()).collect::<Vec<_>>(), ["globex"]);
    let now = Millis(NOW * 1000);
    assert_eq!(fixed.writer(Some(&bearer(CLAIMS)), now).unwrap().as_deref(), Some("hs256/globex"));
    let claimed = all();
    assert_eq!(claimed.writer(Some(&bearer(CLAIMS)), now).unwrap().as_deref(), Some("hs256/acme"));
    assert_eq!(claimed.writer(Some(&bearer(&CLAIMS.replace("write", "read"))), now), Ok(None));
    let body = br#"{"userId":"u","eventType":"t","properties":{}}"#;
    let request = Request { method: "POST", path: "/events", query: "", headers: &[], body };
    let tenant = |service: &Service, id: &str| match service.admit_message(
        &request,
        Some(id),
        Stamp { received_at: now, entropy: 1 },
    ) {
        Admission::Plan(Plan::Store(plan)) => {
            let tenant = plan.tenant().as_str().to_owned();
            let _unanswered = plan.respond(Vec::new());
            Some(tenant)
        }
        _ => None,
    };
    assert_eq!(tenant(&claimed, "hs256/acme").as_deref(), Some("acme"));
    assert_eq!(tenant(&fixed, "hs256/globex").as_deref(), Some("globex"));
    for none in ["hs256/acme", "hs256", "hs256/", "other/globex", "hs256/a b"] {
        assert_eq!(tenant(&fixed, none), None, "{none}");
    }
}

#[test]
fn an_issuers_tokens_have_one_allowance() {
    let entry = issuer("HS256", BY_CLAIMS);
    let text =
        format!(r#"{{"version":2,"jwt":[{entry}],"limits":{{"keys":{{"hs256":{{"events":1,"seconds":60}}}}}}}}"#);
    let service = Service::new(Config::parse(&text).unwrap()).with_secrets(|_name| Some(SECRET.to_owned()));
    let headers = [("authorization", format!("Bearer {}", token(r#"{"alg":"HS256"}"#, CLAIMS)))];
    let body = br#"{"userId":"u","eventType":"t","properties":{}}"#;
    let request = Request { method: "POST", path: "/events", query: "", headers: &headers, body };
    let mut limiter = Limiter::default();
    let statuses = [0, 1].map(|entropy| {
        let stamp = Stamp { received_at: Millis(NOW * 1000), entropy };
        let Admission::Plan(Plan::Store(mut plan)) = service.admit(&request, stamp) else { panic!("it is good") };
        let outcomes = if plan.take_from(&mut limiter) { vec![StoreOutcome::Stored] } else { Vec::new() };
        plan.respond(outcomes).status
    });
    assert_eq!(statuses, [202, 429]);
}

#[test]
fn without_its_secrets_a_service_is_closed() {
    let text = format!(r#"{{"version":2,"jwt":[{}],"shards":16}}"#, issuer("HS256", BY_CLAIMS));
    let service = Service::new(Config::parse(&text).unwrap());
    assert_eq!(service.secrets(), ["ISOTHERM_SECRET_AUTH"]);
    let good = token(r#"{"alg":"HS256"}"#, CLAIMS);
    let closed = |service: &Service, part: &str| {
        assert!(service.is_closed() && service.notice().unwrap().contains(part), "{:?}", service.notice());
        assert_eq!(ask(service, &good).unwrap_err().0, 503);
        assert_eq!(service.writer(Some(&format!("Bearer {good}")), Millis(NOW * 1000)), Ok(None));
        // Maintenance goes on as the rest of the configuration says.
        assert_eq!((service.shards(), service.known()), (16, Ok(())));
    };
    closed(&service, "until it has its secrets: ISOTHERM_SECRET_AUTH");
    closed(&service.clone().with_secrets(|_name| None), "there is no secret ISOTHERM_SECRET_AUTH");
    let short = service.clone().with_secrets(|_name| Some("31 bytes are not enough for it!".to_owned()));
    closed(&short, "has 31 bytes; it needs 32");
    let debugged = format!("{:?}", service.with_secrets(|_name| Some(SECRET.to_owned())));
    assert!(!debugged.contains("secret of the tests") && !debugged.contains("97, 32, 115"), "{debugged}");
}

#[test]
fn what_is_wrong_with_an_issuer_is_named() {
    let problem = |entry: &str| Config::parse(&format!(r#"{{"version":2,"jwt":[{entry}]}}"#)).unwrap_err().to_string();
    let es256 = |more: &str| issuer("ES256", more);
    let plain = es256(BY_CLAIMS);
    for (entry, expected) in [
        (plain.replace("ES256", "RS512"), "jwt[0].algorithm must be HS256, ES256, EdDSA or RS256"),
        (plain.replace("ES256", "RS256"), "jwt[0] with RS256 needs the key \"gateway\", and no secret"),
        (issuer("RS256", BY_CLAIMS).replace(r#""key":"gateway","#, ""), "jwt[0] with RS256 needs the key"),
        (issuer("RS256", BY_CLAIMS).replace("gateway", "Gateway"), "jwt[0] with RS256 needs the key"),
        (issuer("RS256", r#","secret":"auth""#), "jwt[0] with RS256 needs the key"),
        (issuer("RS256", ""), "jwt[0] needs either tenant or tenantClaim"),
        (issuer("RS256", BY_CLAIMS).replace("RS256", "ES256"), "jwt[0].key must be a JWK with kty EC"),
        (issuer("RS256", BY_CLAIMS).replace("RS256", "HS256"), "jwt[0] with HS256 needs the name of a secret"),
        (plain.replace("ES256", "none"), "jwt[0].algorithm must be"),
        (plain.replace("ES256", "EdDSA"), "jwt[0].key must be a JWK with kty OKP"),
        (plain.replace(r#""id":"es256""#, r#""id":"a/b""#), "jwt[0].id must be 1 to 64"),
        (es256(""), "jwt[0] needs either tenant or tenantClaim"),
        (es256(r#","tenant":"a","tenantClaim":"b","scope":"read""#), "jwt[0] needs either tenant or tenantClaim"),
        (es256(r#","tenant":"a""#), "jwt[0] needs either scope or scopeClaim"),
        (es256(r#","tenant":"a b","scope":"read""#), "jwt[0].tenant must be"),
        (es256(r#","secret":"auth","tenant":"a","scope":"read""#), "jwt[0] with ES256 needs a key, and no secret"),
        (es256(r#","tenant":"a","scope":"read","leewaySeconds":601"#), "jwt[0].leewaySeconds must be 0 to 600"),
        (
            issuer("HS256", BY_CLAIMS).replace(r#""secret":"auth""#, &format!(r#""key":{}"#, jwk("ES256"))),
            "jwt[0] with HS256 needs the name of a secret",
        ),
        (issuer("HS256", BY_CLAIMS).replace("auth", SECRET), "it is no secret itself"),
        (
            plain.replace(r#""issuer":"https://issuer.test/""#, r#""issuer":"""#),
            "jwt[0] needs an issuer and an audience",
        ),
        (format!("{plain},{plain}"), "jwt[1].id is there twice"),
    ] {
        let problem = problem(&entry);
        assert!(problem.contains(expected) && !problem.contains("secret of the tests"), "{problem}");
    }
    assert!(
        Config::parse(&format!(r#"{{"open":true,"jwt":[{plain}]}}"#)).unwrap_err().to_string().contains("open stands")
    );
}
