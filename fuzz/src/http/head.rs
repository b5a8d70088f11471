//! One request as three adapters see it.

use std::cell::LazyCell;

use axum::body::Body;
use isotherm_core::Admission;
use isotherm_fuzz::{SERVICE, STAMP, Text, check_reply, shown};
use tokio::runtime::{Builder, Runtime};

use crate::{native, spin, workers};

thread_local! {
    static RUNTIME: LazyCell<Runtime> =
        LazyCell::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
}

/// A request as text. What no HTTP library takes reaches no adapter.
pub(crate) fn run(input: &[u8]) {
    let Some(text) = Text::read(input) else { return };
    let target = if text.query.is_empty() { text.path.to_owned() } else { format!("{}?{}", text.path, text.query) };
    // A browser's URL and a server's target differ in these, before an adapter sees them.
    if !target.starts_with('/') || target.starts_with("//") || target.contains(['#', '\\']) {
        return;
    }
    let mut builder = axum::http::Request::builder().method(text.method).uri(&target);
    for (name, value) in &text.headers {
        builder = builder.header(*name, value);
    }
    let Ok(request) = builder.body(Body::from(text.body.to_vec())) else { return };
    let limit = SERVICE.limits().body_bytes;
    let received = RUNTIME.with(|runtime| runtime.block_on(native::Received::read(request, limit))).expect("a body");
    let seen = received.request();
    assert_eq!((seen.method, seen.path, seen.query), (text.method, text.path, text.query), "native");
    assert_eq!(spin::path_and_query(&target), (text.path, text.query), "Spin");
    let url = format!("https://isotherm.example.com{target}");
    assert_eq!(workers::path_and_query(&url), (text.path, text.query), "Workers");
    let sorted = |headers: &[(&'static str, String)]| {
        let mut headers = headers.to_vec();
        headers.sort();
        headers
    };
    assert_eq!(sorted(seen.headers), sorted(&text.headers), "headers");
    assert_eq!(seen.body, text.body);
    let answered = SERVICE.admit(&seen, STAMP);
    if let Admission::Reply(reply) = &answered {
        check_reply(reply);
    }
    assert_eq!(shown(&answered), shown(&SERVICE.admit(&text.request(), STAMP)), "answers");
}
