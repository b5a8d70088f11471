//! Any text as a configuration. Either it is refused in few words and the service is closed, or it makes a service
//! whose door is shut.

use isotherm_core::{Admission, Config, Reply, Request, Service};
use isotherm_fuzz::{STAMP, check_reply};

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 1024, "an error of {} bytes", message.len());
            assert!(!has_hash(&message), "a hash is in the log: {message}");
            assert_eq!(Config::parse(text).expect_err("refused before"), error);
            check_closed(&Service::from_text(Some(text)), &message);
            return;
        }
    };
    let again = Config::parse(text).expect("taken before");
    assert_eq!(format!("{config:?}"), format!("{again:?}"));
    let mut service = Service::new(config);
    if !service.secrets().is_empty() {
        check_closed(&service, "until it has its secrets");
        service = service.with_secrets(|_name| Some("32 bytes are the fewest of secrets".to_owned()));
    }
    assert!(!service.is_closed());
    assert!((1..=256).contains(&service.shards()));
    let tenants = service.tenants();
    for (at, tenant) in tenants.iter().enumerate() {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        assert!((1..=64).contains(&tenant.as_str().len()) && tenant.as_str().bytes().all(is_safe), "{tenant:?}");
        assert!(!tenants[..at].contains(tenant), "{tenant:?} twice");
    }
    let body = br#"{"userId":"u","eventType":"t","properties":{}}"#;
    for authorization in [None, Some("Bearer "), Some("Bearer 0"), Some("Basic Og==")] {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value.to_owned())).into_iter().collect();
        let maintenance = Request { method: "POST", path: "/schedule", query: "", headers: &headers, body: b"" };
        assert!(matches!(reply(&service, &maintenance), Some(reply) if reply.status == 401), "anyone is an operator");
        let request = Request { path: "/events", body, ..maintenance };
        match service.admit(&request, STAMP) {
            Admission::Reply(reply) => {
                check_reply("POST", &reply);
                // An open service may ask for a schema that this event does not meet.
                assert!(reply.status == 401 || (reply.status == 422 && text.contains("schemas")), "{}", reply.status);
            }
            // `contains('\\')`: escapes could spell the word `open` as well.
            Admission::Plan(_) => {
                assert!(text.contains("open") || text.contains('\\'), "open, and nobody said so");
                assert!(service.notice().is_some(), "open, and nobody is told so");
            }
        }
    }
    assert!(matches!(reply(&service, &get("/healthz")), Some(reply) if reply.status == 200));
}

/// Checks a service that could not be configured for this reason.
fn check_closed(service: &Service, reason: &str) {
    assert!(service.is_closed() && service.notice().is_some_and(|notice| notice.contains(reason)));
    for (path, status) in [("/healthz", 200), ("/events", 503), ("/reports/summary", 503), ("/openapi.json", 503)] {
        let reply = reply(service, &get(path)).expect("no plan");
        check_reply("GET", &reply);
        assert_eq!(reply.status, status, "{path}");
    }
}

fn get(path: &str) -> Request<'_> {
    Request { method: "GET", path, query: "", headers: &[], body: b"" }
}

fn reply(service: &Service, request: &Request<'_>) -> Option<Reply> {
    if let Admission::Reply(reply) = service.admit(request, STAMP) { Some(reply) } else { None }
}

fn has_hash(text: &str) -> bool {
    text.split(|character: char| !character.is_ascii_hexdigit()).any(|digits| digits.len() >= 32)
}
