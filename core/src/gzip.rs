//! gzip (RFC 1952) around flate2's deflate and inflate. flate2's own framing brings checksum tables of 16 kB, which are a
//! thirtieth of the smallest artifact; the table here has 1 kB.

use std::io::Write as _;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};

/// The header of a stream without a name and a time.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Flags of a header that say which parts follow it.
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;
/// The most members that a stream may have. Even an almost empty member costs as much as inflating some kilobytes. A
/// batch with one member for each event has 1,000.
const MEMBERS: usize = 1024;
/// The least memory to inflate into at a time, in bytes.
const CHUNK: usize = 16 * 1024;

/// The bytes as a gzip stream. Equal bytes give equal streams.
pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(HEADER.to_vec(), Compression::default());
    // Neither call fails, because a vector accepts every write.
    let _written = encoder.write_all(bytes);
    let mut gzip = encoder.finish().unwrap_or_default();
    gzip.extend_from_slice(&crc32(bytes).to_le_bytes());
    gzip.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    gzip
}

/// The content of a gzip stream, with its members joined. If it is longer than `most`, the result has the first `most`
/// bytes and maybe some more. `None` if the stream is not gzip, is cut off, or has more than [`MEMBERS`] members.
pub(crate) fn inflated(mut gzip: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let mut inflate = Decompress::new(false);
    for _ in 0..MEMBERS {
        gzip = after_header(gzip)?;
        let start = inflated.len();
        inflate.reset(false);
        loop {
            if inflated.len() >= most {
                return Some(inflated);
            }
            inflated.reserve(inflated.len().clamp(CHUNK, most.max(CHUNK)));
            let (read, wrote) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress_vec(gzip, &mut inflated, FlushDecompress::None).ok()?;
            gzip = gzip.get(usize::try_from(inflate.total_in() - read).ok()?..)?;
            match status {
                Status::StreamEnd => break,
                _ if (inflate.total_in(), inflate.total_out()) == (read, wrote) => return None,
                _ => {}
            }
        }
        let member = inflated.get(start..)?;
        let (trailer, rest) = gzip.split_first_chunk::<8>()?;
        let expected = u64::from(crc32(member)) | u64::from(member.len() as u32) << 32;
        if u64::from_le_bytes(*trailer) != expected {
            return None;
        }
        if rest.is_empty() {
            return Some(inflated);
        }
        gzip = rest;
    }
    None
}

fn after_header(gzip: &[u8]) -> Option<&[u8]> {
    let ([0x1f, 0x8b, 8, flags, ..], mut rest) = gzip.split_first_chunk::<10>()? else { return None };
    let has = |flag: u8| flags & flag != 0;
    if has(RESERVED) {
        return None;
    }
    if has(EXTRA) {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if has(text) {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if has(HEADER_CRC) {
        let (crc, after) = rest.split_first_chunk::<2>()?;
        let header = gzip.get(..gzip.len() - rest.len())?;
        if crc32(header) as u16 != u16::from_le_bytes(*crc) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

const TABLE: [u32; 256] = table();

#[allow(clippy::indexing_slicing, reason = "a const function has no other way, and the compiler checks the place")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            remainder = if remainder & 1 == 1 { remainder >> 1 ^ 0xedb8_8320 } else { remainder >> 1 };
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
}

#[allow(clippy::indexing_slicing, reason = "a byte has no more values than the table")]
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use flate2::read::MultiGzDecoder;
    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;

    /// Compares with flate2's own reader.
    #[track_caller]
    fn check(gzip: &[u8]) {
        let mut expected = Vec::new();
        let read = MultiGzDecoder::new(gzip).read_to_end(&mut expected);
        assert_eq!(inflated(gzip, usize::MAX), read.ok().map(|_| expected), "{gzip:?}");
    }

    fn packed(builder: GzBuilder, bytes: &[u8]) -> Vec<u8> {
        let mut writer = builder.write(Vec::new(), Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    proptest! {
        #[test]
        fn gzip_is_read_as_by_a_peer(
            members in prop::collection::vec((prop::collection::vec(0_u8..8, 0..400), any::<u8>()), 1..3),
            cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(),
        ) {
            let mut gzip = Vec::new();
            for (bytes, options) in members {
                let mut builder = GzBuilder::new();
                if options & 1 == 1 { builder = builder.filename("a name") }
                if options & 2 == 2 { builder = builder.comment("a comment") }
                if options & 4 == 4 { builder = builder.extra("extra") }
                gzip.extend(packed(builder, &bytes));
            }
            check(&gzip);
            check(&gzip[..cut.index(gzip.len())]);
            // A flip in the time or the system of a header does not change the content.
            let at = flip.index(gzip.len());
            gzip[at] ^= 1;
            check(&gzip);
        }
    }

    #[test]
    fn a_header_may_have_a_checksum() {
        let mut gzip = packed(GzBuilder::new(), b"text");
        gzip[3] |= 2;
        let crc = (crc32(&gzip[..10]) as u16).to_le_bytes();
        gzip.splice(10..10, crc);
        check(&gzip);
        assert_eq!(inflated(&gzip, 100).as_deref(), Some(&b"text"[..]));
        gzip[10] ^= 1;
        check(&gzip);
    }

    #[test]
    fn a_bomb_is_not_inflated_further_than_it_has_to_be() {
        let bomb = packed(GzBuilder::new(), &vec![0; 10 << 20]);
        let inflated = inflated(&bomb, 1000).unwrap();
        assert!((1000..100_000).contains(&inflated.len()));
    }
}
