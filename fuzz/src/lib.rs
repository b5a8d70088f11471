//! What the fuzzing targets share: the service, requests as text, a store in memory, and the rules for every reply.
//!
//! A target takes any bytes and panics if a rule of the contract is broken. `cargo xtask fuzz` builds the programs
//! with coverage, chooses a target by [`TARGET`], and starts from the inputs kept in `fuzz/corpus/`.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a target panics to report what it found")]

mod request;
mod store;

use std::sync::LazyLock;

use isotherm_core::{Admission, Millis, Reply, Service, Stamp};
use serde_json::Value;

pub use request::Text;
pub use store::{Folded, Pages, records, report};

/// The environment variable that names the target.
pub const TARGET: &str = "ISOTHERM_FUZZ_TARGET";

/// A target. It panics to report what it found.
pub type Target = fn(&[u8]);

/// A key of the tenant `acme`, which may write and read.
pub const KEY: &str = "isotherm-fuzz-0123456789";

/// The key of the operator of `acme`.
pub const OPERATORS_KEY: &str = "isotherm-fuzz-operates-0123";

/// The time of every request, 2025-11-21T01:53:20Z, and its entropy.
pub const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };

/// The bytes that a store takes under one key: DynamoDB's 400 KB, including the names of attributes.
pub const UNIT_BYTES: usize = 400_000;

/// A service with two keys: [`KEY`] and [`OPERATORS_KEY`].
pub static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let config = r#"{"version":2,"keys":[
        {"sha256":"1e3aeef9b5451f3474e9b9ee9b9520ff53aa6c1c5e2ff04f1bdf32c60d2f9808","tenant":"acme","scope":"both"},
        {"sha256":"4884995e29a15fca05128f12d8778384ce0145eb5cf65eb4aa5ec55d60aa4cab","tenant":"acme","scope":"operate"}
    ]}"#;
    let service = Service::from_text(Some(config));
    assert_eq!(service.notice(), None, "the configuration is good");
    service
});

/// Returns the target that the environment names.
///
/// # Panics
/// The environment names none of these targets.
pub fn chosen(targets: &[(&str, Target)]) -> Target {
    let name = std::env::var(TARGET).unwrap_or_default();
    let found = targets.iter().find(|(known, _)| *known == name);
    found.map(|(_, target)| *target).unwrap_or_else(|| {
        let names: Vec<&str> = targets.iter().map(|(name, _)| *name).collect();
        panic!("{TARGET} is {name:?}; this program has {}", names.join(", "))
    })
}

/// Makes a program out of targets.
#[macro_export]
macro_rules! program {
    ($($name:literal => $target:path),* $(,)?) => {
        static CHOSEN: std::sync::LazyLock<$crate::Target> =
            std::sync::LazyLock::new(|| $crate::chosen(&[$(($name, $target as $crate::Target)),*]));

        libfuzzer_sys::fuzz_target!(|data: &[u8]| (*CHOSEN)(data));
    };
}

/// Checks that an answer to this method follows the contract. Its status is known, an error is short and carries its
/// code, and any other body is JSON.
pub fn check_reply(method: &str, reply: &Reply) {
    const STATUSES: [u16; 14] = [200, 202, 204, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503];
    let Reply { status, headers, body, .. } = reply;
    assert!(STATUSES.contains(status), "status {status}");
    let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let is_visible = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    assert!(headers.iter().all(|(_, value)| is_visible(value)), "{headers:?}");
    assert_eq!(*status == 405, header("allow").is_some());
    assert_eq!(*status == 401, header("www-authenticate").is_some());
    if method == "HEAD" {
        assert!(body.is_empty(), "the answer to HEAD has a body");
        return;
    }
    if *status < 400 {
        if header("content-type") == Some("application/json") && header("content-encoding").is_none() {
            serde_json::from_slice::<Value>(body).expect("JSON");
        }
        return;
    }
    assert!(body.len() < 1024, "an error of {} bytes", body.len());
    let error: Value = serde_json::from_slice(body).expect("JSON");
    let text = |name: &str| error[name].as_str().unwrap_or_else(|| panic!("no {name} in {error}"));
    assert_eq!(text("error"), text("code"));
    assert!(!text("code").is_empty() && !text("message").is_empty() && text("requestId").starts_with("req_"));
    assert_eq!(matches!(text("code"), "overloaded" | "unavailable"), header("retry-after").is_some());
}

/// An admission as text, for comparing two admissions.
pub fn shown(admission: &Admission) -> String {
    format!("{admission:?}")
}
