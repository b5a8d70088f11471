//! Keys, scopes and tenants.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isotherm_hosts::Platform;

use super::{check, named};
use crate::client::Ask;
use crate::fixture::Fixture;

fn with(ask: Ask, key: &str) -> Ask {
    ask.header("authorization", &format!("Bearer {key}"))
}

/// 401 without a key, 403 with one of another scope.
pub fn keys_open_what_their_scope_says(platform: Platform) {
    let host = Fixture::keyed(platform);
    let event = || Ask::event(&named("scopes"));
    check(&host.ask(&event()), 401, "unauthorized");
    check(&host.ask(&with(event(), "no such key")), 401, "unauthorized");
    check(&host.ask(&event().header("authorization", "Basic !")), 401, "unauthorized");
    check(&host.ask(&with(event(), "acme reads")), 403, "forbidden");
    let accepted = host.ask(&with(event(), "acme writes"));
    assert_eq!(accepted.status, 202);
    let find = || Ask::get(&format!("/events/{}", accepted.text("eventId")));
    check(&host.ask(&find()), 401, "unauthorized");
    check(&host.ask(&with(find(), "acme writes")), 403, "forbidden");
    for key in ["acme reads", "acme does both"] {
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
    let acme = host.ask(&with(event(), "acme does both"));
    let globex = host.ask(&with(event(), "globex does both"));
    assert!(globex.json()["duplicate"].is_null());
    assert_ne!(acme.text("eventId"), globex.text("eventId"));
    let find = Ask::get(&format!("/events/{}", acme.text("eventId")));
    check(&host.ask(&with(find, "globex does both")), 404, "not_found");
}
