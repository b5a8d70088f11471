//! What an operator sees of this isolate: lines in its log.

use std::cell::{Cell, OnceCell};
use std::time::Duration;

use isotherm_core::{Folded, Level, Line, Millis, Ran, Reply, Request, Seen, Service, Stamp, Writer};
use worker::{Date, console_error, console_log, console_warn};

use crate::request::stamp;

/// A line costs as much as two requests, so those that succeed have none unless the configuration says so.
const LEVEL: Level = Level::Error;

thread_local! {
    /// A random name of this isolate.
    static INSTANCE: OnceCell<String> = const { OnceCell::new() };
    static IS_USED: Cell<bool> = const { Cell::new(false) };
}

/// Looks at an answer before it is sent: completes it, and writes its line.
pub(crate) fn answered(service: &Service, request: &Request<'_>, stamp: Stamp, reply: &mut Reply) {
    let seen = seen(service, request, stamp, reply, stamp.received_at);
    with_writer(|writer| service.line(request, &seen, writer));
}

/// Writes the line of a message.
pub(crate) fn delivered(
    service: &Service,
    request: &Request<'_>,
    key: Option<&str>,
    stamp: Stamp,
    mut reply: Reply,
    began: Millis,
) {
    let seen = seen(service, request, stamp, &mut reply, began);
    with_writer(|writer| service.message_line(request, key, &seen, writer));
}

/// Writes the line of a fold.
pub(crate) fn folded(service: &Service, folded: &Folded) {
    if let Ok(stamp) = stamp() {
        with_writer(|writer| service.fold_line(folded, stamp, writer));
    }
}

fn seen(service: &Service, request: &Request<'_>, stamp: Stamp, reply: &mut Reply, began: Millis) -> Seen {
    // The clock stands still between I/O when deployed.
    let duration = Duration::from_millis(Date::now().as_millis().saturating_sub(began.0));
    let is_cold = !IS_USED.replace(true);
    service.seen(request, stamp, reply, Ran { duration, is_cold })
}

fn with_writer(line: impl FnOnce(Writer<'_>) -> Option<Line>) {
    let name = || stamp().map_or_else(|_none| String::new(), |stamp| format!("{:016x}", stamp.entropy as u64));
    let line = INSTANCE.with(|instance| {
        line(Writer { level: LEVEL, instance: instance.get_or_init(name), function: None, x_ray: None })
    });
    match line {
        None => {}
        Some(Line { level: Level::Error, text }) => console_error!("{text}"),
        Some(Line { level: Level::Warn, text }) => console_warn!("{text}"),
        Some(Line { text, .. }) => console_log!("{text}"),
    }
}
