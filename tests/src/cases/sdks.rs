//! SDKs of other services, as their registries have them.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use isotherm_core::{key_entry, public_key_entry};
use isotherm_hosts::{Platform, Up};

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
