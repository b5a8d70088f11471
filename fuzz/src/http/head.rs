//! One request as three adapters see it.

use hyper::http;
use isotherm_core::{Admission, Request};
use isotherm_fuzz::{SERVICE, STAMP, Text, check_reply, shown};

use crate::{native, spin, workers};

/// A request as text. A request that no HTTP library accepts reaches no adapter.
pub(crate) fn run(input: &[u8]) {
    let Some(text) = Text::read(input) else { return };
    let target = if text.query.is_empty() { text.path.to_owned() } else { format!("{}?{}", text.path, text.query) };
    // In these cases a browser's URL and a server's target differ before an adapter sees them.
    if !target.starts_with('/') || target.starts_with("//") || target.contains(['#', '\\']) {
        return;
    }
    let mut builder = http::Request::builder().method(text.method).uri(&target);
    for (name, value) in &text.headers {
        builder = builder.header(*name, value);
    }
    let Ok(request) = builder.body(()) else { return };
    let head = native::Head::new(request.into_parts().0);
    let seen = head.request();
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
    let answered = SERVICE.admit(&Request { body: text.body, ..seen.clone() }, STAMP);
    if let Admission::Reply(reply) = &answered {
        check_reply(seen.method, reply);
    }
    assert_eq!(shown(&answered), shown(&SERVICE.admit(&text.request(), STAMP)), "answers");
}
