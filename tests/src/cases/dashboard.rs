//! The dashboard, in a real browser.

use std::path::Path;
use std::process::Command;

use isotherm_hosts::Platform;

use super::reports;
use crate::client::Ask;

/// Node.js drives Chromium over the January flights. `dashboard/test/dashboard.test.mjs` says what the page must
/// show.
pub fn a_browser_shows_the_flights(platform: Platform) {
    let host = reports::flights(platform);
    let page = host.ask(&Ask::get("/dashboard"));
    assert_eq!(page.status, 200);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboard");
    let mut node = Command::new("node");
    node.current_dir(folder).args(["--test", "test/dashboard.test.mjs"]);
    node.env("ISOTHERM_URL", format!("http://127.0.0.1:{}", host.port));
    let output = node.output().unwrap_or_else(|error| panic!("cannot start node: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
