//! Documents that are built into the program, compressed with gzip.

use crate::gzip;
use crate::vocabulary::facts::Facts;
use crate::vocabulary::reply::Reply;

/// The API contract as OpenAPI 3.1.
pub(crate) fn openapi() -> Reply {
    Reply::of_json(200, inflated(include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json.gz"))))
}

/// The dashboard, a page that shows reports. Its source is in `dashboard/`. Its content security policy lets it run
/// only its own script and call only this service.
pub(crate) fn dashboard() -> Reply {
    let header = |name, value: &str| (name, value.to_owned());
    Reply {
        status: 200,
        headers: vec![
            header("content-type", "text/html; charset=utf-8"),
            header("content-security-policy", include_str!("../dashboard.csp").trim_ascii_end()),
            header("x-content-type-options", "nosniff"),
            header("referrer-policy", "no-referrer"),
        ],
        body: inflated(include_bytes!("../dashboard.html.gz")),
        facts: Facts::default(),
    }
}

/// The script that other sites' pages include. Its source is in `dashboard/`.
pub(crate) fn script() -> Reply {
    let mut reply = Reply::script(include_bytes!("../i.js").to_vec());
    reply.headers.extend([
        ("cache-control", "public, max-age=3600".to_owned()),
        ("cross-origin-resource-policy", "cross-origin".to_owned()),
    ]);
    reply
}

fn inflated(gzip: &[u8]) -> Vec<u8> {
    // The build compressed this data, so reading it can't fail. Any test would notice an empty document.
    gzip::inflated(gzip, usize::MAX).unwrap_or_default()
}
