//! Replaces the adapter's `watch`: makes lines, and drops them.

use isotherm_core::{Level, Ran, Reply, Request, Service, Stamp, Writer};
use tokio::time::Instant;

/// Makes the line of a message.
pub(crate) fn delivered(
    service: &Service,
    request: &Request<'_>,
    key: Option<&str>,
    stamp: Stamp,
    mut reply: Reply,
    _began: Instant,
) {
    let seen = service.seen(request, stamp, &mut reply, Ran::default());
    let writer = Writer { level: Level::Info, instance: "", function: Some("drain"), x_ray: None };
    let line = service.message_line(request, key, &seen, writer);
    assert!(line.is_some_and(|line| !line.text.contains('\n')), "a message has a line");
}
