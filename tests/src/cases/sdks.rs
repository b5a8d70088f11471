//! SDKs of other services, as their registries have them.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cloudevents::event::Event;
use cloudevents::message::BinaryDeserializer as _;
use cloudevents::{EventBuilder as _, EventBuilderV10};
use isotherm_core::{EventId, Tenant, key_entry, public_key_entry};
use isotherm_hosts::{Platform, Up};
use serde_json::json;

use crate::client::{Ask, send};
use crate::fixture::{block_on, start, up};

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

/// SDKs for servers and pages lose nothing while the store is down for a minute. `tests/sdks/outage.test.mjs` says which of
/// them need settings for that, and which need an app that sends again.
pub fn all_outlive_a_minute(platform: Platform) {
    let data = tempfile::tempdir().unwrap();
    run_with(Up { data: Some(data.path().to_owned()), ..up(platform, "release") }, "outage.test.mjs");
}

/// CloudEvents of the SDK for Rust count once, in each of the three forms, on a way that fails. The SDK only writes
/// requests. Its caller sees each answer, and sends again.
pub fn cloudevents_of_rust_arrive_once(platform: Platform) {
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
    let faults = ["overloaded", "unavailable", "lost"];
    block_on(async {
        let (port, remote) = start(&up(platform, "release")).await;
        let mut way = Way::to(port, &faults);
        for (ask, events) in [(binary(), 1), (structured(), 1), (batched(), 2)] {
            let mut answers = Vec::new();
            for _ in 0..=faults.len() {
                answers.push(send(way.port, &ask).await.ok());
            }
            let statuses: Vec<_> = answers.iter().map(|answer| answer.as_ref().map(|answer| answer.status)).collect();
            assert_eq!(statuses, [Some(429), Some(503), None, Some(200)]);
            // The request whose answer was lost has been kept.
            let last = answers.pop().flatten().unwrap().json();
            assert_eq!((&last["accepted"], &last["duplicate"]), (&json!(0), &json!(events)), "{last}");
        }
        way.child.kill().unwrap();
        let tenant = Tenant::parse("default".to_owned()).unwrap();
        for id in ["binary", "structured", "one", "two"] {
            let event = EventId::of_message(&tenant, &format!("/sdks#{id}"));
            let found = send(port, &Ask::get(&format!("/events/{event}"))).await.unwrap().json();
            assert_eq!((&found["userId"], &found["properties"]["of"]), (&json!("user-1"), &json!(id)), "{found}");
        }
        remote.stop().await.unwrap();
    });
}

/// The way that fails of `tests/sdks/host.mjs`, in a process of its own.
struct Way {
    port: u16,
    child: Child,
}

impl Way {
    fn to(host: u16, faults: &[&str]) -> Self {
        let mut node = node();
        node.arg("way.mjs").args(faults).env("ISOTHERM_URL", format!("http://127.0.0.1:{host}"));
        // It ends when its standard input does.
        let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { port: line.trim().parse().unwrap(), child }
    }
}

/// Node.js where the tests with SDKs are.
fn node() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tools = root.join("target/tools");
    let mut node = Command::new("node");
    node.current_dir(root.join("tests/sdks"));
    node.env("SDKS", tools.join("sdks")).env("PYTHONPATH", tools.join("sdks-python"));
    node
}

fn run(platform: Platform, test: &str) {
    run_with(up(platform, "release"), test);
}

fn run_with(up: Up, test: &str) {
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
    let mut up = Up { config, ..up };
    up.environment.push(("ISOTHERM_SECRET_WEBHOOKS".to_owned(), WEBHOOKS.to_owned()));
    let (port, remote) = block_on(start(&up));
    let mut node = node();
    node.args(["--test", test]);
    node.env("ISOTHERM_URL", format!("http://127.0.0.1:{port}")).env("PAGES_PORT", pages.to_string());
    node.env("ISOTHERM_TENANT", TENANT).env("ISOTHERM_SECRET", SECRET);
    node.env("ISOTHERM_WEBHOOKS", WEBHOOKS).env("ISOTHERM_PUBLIC", PUBLIC).env("ISOTHERM_READER", READER);
    node.envs(up.data.iter().map(|data| ("ISOTHERM_DATA", data)));
    let output = node.output().unwrap_or_else(|error| panic!("cannot start node: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    block_on(remote.stop()).unwrap();
}

/// A port of loopback that nobody listened on a moment ago.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
