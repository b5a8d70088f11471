//! Bodies of clients of other protocols. Whatever they hold, an answer follows the contract, and what is kept is events.

use isotherm_core::{HEADERS, Request};
use isotherm_fuzz::KEY;

use crate::request;

/// The routes, each with a content type that its clients send.
const DOORS: [(&str, &str); 10] = [
    ("/v1/batch", "application/json"),
    ("/v1/track", "text/plain"),
    ("/v1/identify", "application/json"),
    ("/v1/group", "application/json"),
    ("/batch/", "application/json"),
    ("/e/", "application/x-www-form-urlencoded"),
    ("/cloudevents", "application/cloudevents+json"),
    ("/cloudevents", "application/cloudevents-batch+json"),
    ("/v1/logs", "application/json"),
    ("/v1/logs", "application/x-protobuf"),
];

/// What the paths of other protocols begin with.
pub(crate) const PREFIXES: [&str; 7] = ["/v1/", "/batch", "/capture", "/e/", "/i/v0/", "/cloudevents", "/webhooks/"];

/// The first byte names the route, and whether the head has the key. `KEY` in the rest, which is the body, stands for the key.
pub(crate) fn run(input: &[u8]) {
    let Some((first, body)) = input.split_first() else { return };
    let (path, media) = DOORS[usize::from(*first) % DOORS.len()];
    let body = match std::str::from_utf8(body) {
        Ok(text) => text.replace("KEY", KEY).into_bytes(),
        Err(_) => body.to_vec(),
    };
    let content_type = HEADERS.iter().find(|name| **name == "content-type").expect("core reads it");
    let mut headers = vec![(*content_type, media.to_owned())];
    if *first < 128 {
        headers.push(("authorization", format!("Bearer {KEY}")));
    }
    request::check(&Request { method: "POST", path, query: "", headers: &headers, body: &body }, body.len(), false);
}
