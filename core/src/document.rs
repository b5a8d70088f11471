//! Documents that are part of the program, kept packed.

use std::io::Read;

use flate2::read::GzDecoder;

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
    let mut document = Vec::new();
    // Packed when this was built: reading it can't fail, and a document cut short would be seen by any test.
    let _whole = GzDecoder::new(gzip).read_to_end(&mut document);
    document
}
