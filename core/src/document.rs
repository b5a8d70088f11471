//! Documents that are part of the program, kept packed.

use crate::gzip;
use crate::reply::Reply;

/// The contract itself: OpenAPI 3.1.
pub(crate) fn openapi() -> Reply {
    Reply::of_json(200, inflated(include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json.gz"))))
}

/// A page that shows reports; `dashboard/` is its source. It may run its own script alone, and ask nobody but this service.
pub(crate) fn dashboard() -> Reply {
    let header = |name, value: &str| (name, value.to_owned());
    Reply {
        status: 200,
        headers: vec![
            header("content-type", "text/html; charset=utf-8"),
            header("content-security-policy", include_str!("dashboard.csp").trim_ascii_end()),
            header("x-content-type-options", "nosniff"),
            header("referrer-policy", "no-referrer"),
        ],
        body: inflated(include_bytes!("dashboard.html.gz")),
    }
}

fn inflated(gzip: &[u8]) -> Vec<u8> {
    // Packed when this was built: reading it can't fail, and an empty document would be seen by any test.
    gzip::inflated(gzip, usize::MAX).unwrap_or_default()
}
