//! SDKs of other services, as their registries have them.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use cloudevents::event::Event;
use cloudevents::message::BinaryDeserializer as _;
use cloudevents::{EventBuilder as _, EventBuilderV10};
use isotherm_core::{EventId, Tenant, key_entry, public_key_entry};
use isotherm_hosts::{Platform, Up};
use serde_json::json;

use crate::client::Ask;
use crate::fixture::{Fixture, block_on, start, up};

const TENANT: &str = "shop";
const SECRET: &str = "a secret key of the SDKs";
const PUBLIC: &str = "public_key_of_the_sdks";
const READER: &str = "a key that reads for the SDKs";
/// 32 bytes in base64.
const WEBHOOKS: &str = "whsec_dGhlIHNlY3JldCBvZiB0aGUgd2ViaG9va3MsIHRlc3Q=";

/// SDKs for servers deliver each event once, on a way that fails. `tests/sdks/servers.test.mjs` says what they send.
pub fn servers_deliver_once(platform: Platform) {
    run(platform, "servers.test.mjs");
}

/// Pages in Chromium deliver likewise: by our script, and by SDKs. `tests/sdks/pages.test.mjs` says what they send.
pub fn pages_deliver_once(platform: Platform) {
    run(platform, "pages.test.mjs");
}

/// CloudEvents of the SDK for Rust arrive in each of the three forms, and count once if they are sent again.
pub fn cloudevents_of_rust_arrive_once(platform: Platform) {
    let host = Fixture::open(platform);
    let event = |id: &str| -> Event {
        let data = json!({"userId": "user-1", "of": id});
        let event = EventBuilderV10::new().id(id).ty("rust").source("/sdks").data("application/json", data);
        event.build().unwrap()
    };
    let binary = || {
        let request = hyper::Request::builder().method("POST").uri("/cloudevents");
        let request: hyper::Request<Option<Vec<u8>>> = event("binary").deserialize_binary(request).unwrap();
        let ask = Ask::new("POST", "/cloudevents").body(request.body().clone().unwrap_or_default());
        let headers = request.headers().iter();
        headers.fold(ask, |ask, (name, value)| ask.header(name.as_str(), value.to_str().unwrap()))
    };
    let json = |media: &str, body: serde_json::Result<String>| {
        Ask::new("POST", "/cloudevents").header("content-type", media).body(body.unwrap())
    };
    let structured = || json("application/cloudevents+json", serde_json::to_string(&event("structured")));
    let batched = || json("application/cloudevents-batch+json", serde_json::to_string(&[event("one"), event("two")]));
    for (ask, events) in [(binary(), 1), (structured(), 1), (batched(), 2)] {
        for expected in [(events, 0), (0, events)] {
            let answer = host.ask(&ask);
            let count = |name| answer.json()[name].as_u64();
            assert_eq!((count("accepted"), count("duplicate")), (Some(expected.0), Some(expected.1)), "{answer:?}");
        }
    }
    let tenant = Tenant::parse("default".to_owned()).unwrap();
    for id in ["binary", "structured", "one", "two"] {
        let event = EventId::of_message(&tenant, &format!("/sdks#{id}"));
        let found = host.ask(&Ask::get(&format!("/events/{event}"))).json();
        assert_eq!((&found["userId"], &found["properties"]["of"]), (&json!("user-1"), &json!(id)), "{found}");
    }
}

fn run(platform: Platform, test: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tools = root.join("target/tools");
    let pages = free_port();
    let origins = [format!("http://127.0.0.1:{pages}")];
    let keys = [
        key_entry(SECRET, Some("secret"), TENANT, "write", None),
        public_key_entry(PUBLIC, Some("public"), TENANT, None, &origins),
        key_entry(READER, Some("reader"), TENANT, "read", None),
    ];
    let keys = keys.map(|entry| entry.unwrap()).join(",");
    let webhooks = format!(r#"{{"id":"tests","tenant":"{TENANT}","secrets":["webhooks"]}}"#);
    let config = format!(r#"{{"version":2,"keys":[{keys}],"webhooks":[{webhooks}]}}"#);
    let mut up = Up { config, ..up(platform, "release") };
    up.environment.push(("ISOTHERM_SECRET_WEBHOOKS".to_owned(), WEBHOOKS.to_owned()));
    let (port, remote) = block_on(start(&up));
    let mut node = Command::new("node");
    node.current_dir(root.join("tests/sdks")).args(["--test", test]);
    node.env("ISOTHERM_URL", format!("http://127.0.0.1:{port}")).env("PAGES_PORT", pages.to_string());
    node.env("ISOTHERM_TENANT", TENANT).env("ISOTHERM_SECRET", SECRET);
    node.env("ISOTHERM_WEBHOOKS", WEBHOOKS).env("ISOTHERM_PUBLIC", PUBLIC).env("ISOTHERM_READER", READER);
    node.env("SDKS", tools.join("sdks")).env("PYTHONPATH", tools.join("sdks-python"));
    let output = node.output().unwrap_or_else(|error| panic!("cannot start node: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    block_on(remote.stop()).unwrap();
}

/// A port of loopback that nobody listened on a moment ago.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
