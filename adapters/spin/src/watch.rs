//! What an operator sees of this instance: lines on standard output.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use isotherm_core::{Folded, Level, Line, Ran, Reply, Request, Service, Stamp, Writer};

use crate::request::stamp;

/// Spin copies each line to a file and waits for it, which takes longer than many answers. So there is none unless the
/// configuration says so.
const LEVEL: Level = Level::Off;

/// Looks at an answer before it is sent: completes it, and writes its line.
pub(crate) fn answered(service: &Service, request: &Request<'_>, stamp: Stamp, reply: &mut Reply, started: Instant) {
    static IS_USED: AtomicBool = AtomicBool::new(false);
    let is_cold = !IS_USED.swap(true, Ordering::Relaxed);
    let seen = service.seen(request, stamp, reply, Ran { duration: started.elapsed(), is_cold });
    write(service.line(request, &seen, writer()));
}

/// Writes the line of a fold.
pub(crate) fn folded(service: &Service, folded: &Folded) {
    if let Ok(stamp) = stamp() {
        write(service.fold_line(folded, stamp, writer()));
    }
}

fn writer() -> Writer<'static> {
    /// A random name of this instance.
    static INSTANCE: OnceLock<String> = OnceLock::new();
    let name = || stamp().map_or_else(|_none| String::new(), |stamp| format!("{:016x}", stamp.entropy as u64));
    Writer { level: LEVEL, instance: INSTANCE.get_or_init(name), function: None, x_ray: None }
}

fn write(line: Option<Line>) {
    if let Some(Line { text, .. }) = line {
        println!("{text}");
    }
}
