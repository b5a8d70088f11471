//! Any text as a configuration: it is refused in few words, or makes a service whose door is shut.

use isotherm_core::{Admission, Config, Request, Service};
use isotherm_fuzz::{STAMP, check_reply};

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 1024, "an error of {} bytes", message.len());
            assert_eq!(Config::parse(text).expect_err("refused before"), error);
            return;
        }
    };
    let again = Config::parse(text).expect("taken before");
    assert_eq!(format!("{config:?}"), format!("{again:?}"));
    let service = Service::new(config);
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
        let request = Request { method: "POST", path: "/events", query: "", headers: &headers, body };
        match service.admit(&request, STAMP) {
            Admission::Reply(reply) => {
                check_reply(&reply);
                assert!(matches!(reply.status, 401 | 403 | 503), "status {}", reply.status);
            }
            // Escapes could spell the word as well.
            Admission::Plan(_) => assert!(text.contains("open") || text.contains('\\'), "open, and nobody said so"),
        }
    }
    let request = Request { method: "GET", path: "/healthz", query: "", headers: &[], body: b"" };
    assert!(matches!(service.admit(&request, STAMP), Admission::Reply(reply) if reply.status == 200));
}
