//! What an operator sees of this function: lines on standard output, of which CloudWatch makes metrics.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use isotherm_core::{Folded, Level, Line, Ran, Reply, Request, Seen, Service, Stamp, Writer};
use tokio::time::Instant;

use crate::aws::environment;
use crate::request::{Incoming, stamp};

/// CloudWatch makes metrics of lines, so every request has one unless the configuration says otherwise.
const LEVEL: Level = Level::Info;

/// Looks at an answer before it is sent: completes it, and writes its line.
pub(crate) fn answered(service: &Service, incoming: &Incoming, stamp: Stamp, reply: &mut Reply, began: Instant) {
    let seen = seen(service, &incoming.request(), stamp, reply, began);
    with_writer(|writer| incoming.line(service, &seen, writer));
}

/// Writes the line of a message.
pub(crate) fn delivered(
    service: &Service,
    request: &Request<'_>,
    key: Option<&str>,
    stamp: Stamp,
    mut reply: Reply,
    began: Instant,
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

fn seen(service: &Service, request: &Request<'_>, stamp: Stamp, reply: &mut Reply, began: Instant) -> Seen {
    static IS_USED: AtomicBool = AtomicBool::new(false);
    let is_cold = !IS_USED.swap(true, Ordering::Relaxed);
    service.seen(request, stamp, reply, Ran { duration: began.elapsed(), is_cold })
}

fn with_writer(line: impl FnOnce(Writer<'_>) -> Option<Line>) {
    let (instance, function) = (environment("AWS_LAMBDA_LOG_STREAM_NAME"), environment("AWS_LAMBDA_FUNCTION_NAME"));
    // The runtime sets it for each invocation.
    let x_ray = environment("_X_AMZN_TRACE_ID");
    let writer = Writer {
        level: LEVEL,
        instance: instance.as_deref().unwrap_or_default(),
        function: function.as_deref(),
        x_ray: x_ray.as_deref(),
    };
    if let Some(Line { text, .. }) = line(writer) {
        // One write for the whole line. If nobody reads it, the function still goes on answering.
        let _closed = std::io::stdout().write_all(format!("{text}\n").as_bytes());
    }
}
