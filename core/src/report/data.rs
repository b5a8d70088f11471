//! What a store has for a report, and how a shard sends it.

use crate::rollup::codec::{Reader, Writer};
use crate::rollup::fold::StoredPage;
use crate::time::Millis;

/// Of [`ReportData::to_bytes`]: shard and front may be of two versions while a new one is deployed.
const VERSION: u8 = 1;

/// What a store has for a report, as of one moment: one transaction. A store of several shards gives one for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportData {
    /// All pages in [`Reading::ranges`](crate::Reading::ranges), in the order of their keys within a range.
    pub pages: Vec<StoredPage>,
    /// The records of the tenant's events behind the watermark, which are in no page.
    pub tail: Vec<String>,
    /// Events that were accepted before this moment are in `pages` or in `tail`. `None`: all that were accepted before the
    /// request arrived are.
    pub as_of: Option<Millis>,
}

impl ReportData {
    /// As a shard answers it, where what it has and what settles the report are apart. Texts and pages stand there as they
    /// are: no encoding would come cheaper.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { pages, tail, as_of } = self;
        let mut writer = Writer(vec![VERSION]);
        writer.length(usize::from(as_of.is_some()));
        writer.unsigned(as_of.map_or(0, |Millis(as_of)| as_of));
        writer.length(pages.len());
        for StoredPage { key, bytes } in pages {
            writer.text(key);
            writer.bytes(bytes);
        }
        writer.length(tail.len());
        tail.iter().for_each(|record| writer.text(record));
        writer.0
    }

    /// What [`ReportData::to_bytes`] gave; `None` where these bytes are of another version, or none of its.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.byte().filter(|version| *version == VERSION)?;
        let (is_some, as_of) = (reader.byte()? == 1, reader.small()?);
        let mut data = Self { as_of: is_some.then_some(Millis(as_of)), ..Self::default() };
        for _ in 0..reader.small::<usize>()? {
            data.pages.push(StoredPage { key: reader.text()?.to_owned(), bytes: reader.bytes()?.to_owned() });
        }
        for _ in 0..reader.small::<usize>()? {
            data.tail.push(reader.text()?.to_owned());
        }
        reader.is_empty().then_some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shard_sends_arrives() {
        let page = |key: &str, length| StoredPage { key: key.to_owned(), bytes: vec![7; length] };
        let pages = vec![page("", 0), page("carrier", 200), page("é", 70_000)];
        for data in [
            ReportData::default(),
            ReportData { pages: pages.clone(), tail: vec!["{}".to_owned()], as_of: Some(Millis(0)) },
            ReportData { pages, tail: vec![String::new(); 300], as_of: Some(Millis(u64::MAX)) },
        ] {
            let bytes = data.to_bytes();
            assert_eq!(ReportData::from_bytes(&bytes), Some(data));
            for length in (0..bytes.len()).step_by(1 + bytes.len() / 500) {
                assert_eq!(ReportData::from_bytes(&bytes[..length]), None, "{length}");
            }
            assert_eq!(ReportData::from_bytes(&[&[VERSION + 1], &bytes[1..]].concat()), None);
        }
    }
}
