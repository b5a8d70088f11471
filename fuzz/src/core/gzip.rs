//! Bodies in gzip. flate2's reader is the peer, and a body is answered as it would be without the encoding.

use std::io::{Read as _, Write as _};

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use isotherm_core::{Admission, Request};
use isotherm_fuzz::{KEY, SERVICE, STAMP, check_reply, shown};

const MOST: usize = 1024 * 1024;

/// The first byte says what the rest is: mostly a gzip stream. For one value in 16, since packing is slow, the rest
/// is packed into a gzip stream, in members of a size that the first byte gives.
pub(crate) fn run(input: &[u8]) {
    let Some((first, body)) = input.split_first() else { return };
    if first % 16 == 1 {
        let packed: Vec<u8> =
            body.chunks(64 * (1 + usize::from(first >> 4))).flat_map(|part| member(part, first >> 4)).collect();
        if body.is_empty() {
            return;
        }
        assert_eq!(shown(&admit(&packed, true)), shown(&admit(body, false)), "packed, it is something else");
        return;
    }
    let answered = || {
        let answered = admit(body, true);
        if let Admission::Reply(reply) = &answered {
            check_reply("POST", reply);
        }
        answered
    };
    let mut peer = Vec::new();
    // Long bodies are slow, so only one first byte allows them.
    let most = if *first == 254 { MOST } else { MOST / 16 };
    match MultiGzDecoder::new(body).take(most as u64 + 1).read_to_end(&mut peer) {
        Ok(_) if peer.len() <= most => {
            let answered = answered();
            // Empty members cost work, so their number may be limited.
            let is_refused =
                matches!(&answered, Admission::Reply(reply) if reply.body.starts_with(br#"{"error":"invalid_gzip""#));
            if !(is_refused && body.len() > 20 * 64) {
                assert_eq!(shown(&answered), shown(&admit(&peer, false)), "unlike the peer");
            }
        }
        // A body that is too long need not be read to its end.
        Ok(_) if most == MOST => assert!(matches!(status(&answered()), Some(400 | 413)), "too long, and taken"),
        Ok(_) => {}
        Err(_) => assert!(matches!(status(&answered()), Some(400 | 413)), "the peer refuses it"),
    }
}

fn admit(body: &[u8], is_gzip: bool) -> Admission {
    let mut headers =
        vec![("authorization", format!("Bearer {KEY}")), ("content-type", "application/x-ndjson".to_owned())];
    headers.extend(is_gzip.then(|| ("content-encoding", "gzip".to_owned())));
    SERVICE.admit(&Request { method: "POST", path: "/events/batch", query: "", headers: &headers, body }, STAMP)
}

fn status(admission: &Admission) -> Option<u16> {
    if let Admission::Reply(reply) = admission { Some(reply.status) } else { None }
}

fn member(part: &[u8], flags: u8) -> Vec<u8> {
    let mut builder = GzBuilder::new();
    if flags & 2 != 0 {
        builder = builder.filename("name");
    }
    if flags & 4 != 0 {
        builder = builder.comment("comment").extra(vec![0x1f, 0x8b, 8, 0]);
    }
    let mut gzip = builder.write(Vec::new(), Compression::fast());
    gzip.write_all(part).expect("a vector takes all");
    gzip.finish().expect("a vector takes all")
}
