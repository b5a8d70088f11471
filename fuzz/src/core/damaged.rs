//! Bytes that a store or a shard hands back. Everything that can be read is written back as it was read.

use isotherm_core::{Lanes, Millis, ReportData, StoredPage, Watermark};

/// The answer of a shard.
pub(crate) fn shard(input: &[u8]) {
    let Some(data) = ReportData::from_bytes(input) else { return };
    let bytes = data.to_bytes();
    assert!(bytes.len() <= input.len(), "{} bytes were read, {} are written", input.len(), bytes.len());
    assert_eq!(ReportData::from_bytes(&bytes).as_ref(), Some(&data));
    for length in [0, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(ReportData::from_bytes(&bytes[..length]), None, "a part of it is read as a whole");
    }
}

/// The watermark of a lane. The first 8 bytes are a time.
pub(crate) fn watermark(input: &[u8]) {
    let Some((time, bytes)) = input.split_first_chunk() else { return };
    let now = Millis(u64::from_le_bytes(*time));
    // The same bytes are also read as the list of waiting shards.
    let waiting = StoredPage { key: "shards".to_owned(), bytes: bytes.to_vec() };
    let _any = Lanes::read([waiting]).as_of(now);
    let stored = StoredPage { key: "watermark".to_owned(), bytes: bytes.to_vec() };
    match Watermark::read(&stored) {
        Err(unreadable) => assert_eq!(unreadable.key, stored.key),
        Ok(watermark) => {
            let again = StoredPage { bytes: watermark.to_bytes(), ..stored };
            assert_eq!(Watermark::read(&again).as_ref(), Ok(&watermark));
            let as_of = |watermarks: &[&Watermark]| {
                let named = watermarks.iter().zip(["0", "1"]);
                let page = |(watermark, name): (&&Watermark, &str)| StoredPage {
                    key: name.to_owned(),
                    bytes: watermark.to_bytes(),
                };
                Lanes::read(named.map(page)).as_of(now)
            };
            if watermark.has_ended(now) {
                assert_eq!(as_of(&[&watermark]), as_of(&[]), "an ended lane holds reports back");
            }
        }
    }
}
