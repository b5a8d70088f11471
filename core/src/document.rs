//! Documents that are part of the program, kept packed.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::reply::Reply;

/// The contract itself: OpenAPI 3.1.
pub(crate) fn openapi() -> Reply {
    Reply::of_json(200, inflated(include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json.gz"))))
}

fn inflated(gzip: &[u8]) -> Vec<u8> {
    let mut document = Vec::new();
    // Packed when this was built: reading it can't fail, and a document cut short would be seen by any test.
    let _whole = GzDecoder::new(gzip).read_to_end(&mut document);
    document
}
