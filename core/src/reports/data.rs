//! A store's data for a report, how much of it may be read, and how a shard sends it.

use std::fmt;

use crate::codec::{Reader, Writer};
use crate::formats;
use crate::rollups::key::Series;
use crate::rollups::stored::StoredPage;
use crate::vocabulary::time::Millis;

/// A store's data for a report, as of one moment and so read in one transaction. A store with several shards gives one
/// for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportData {
    /// All pages in [`Reading::ranges`](crate::Reading::ranges), in any order.
    pub pages: Vec<StoredPage>,
    /// The records of the tenant's events after the watermark, which no page counts.
    pub tail: Vec<String>,
    /// Events that were accepted before this moment are in `pages` or in `tail`. `None`: this holds for all events that
    /// were accepted before the request arrived.
    pub as_of: Option<Millis>,
    /// True if reading ended at the budget. Then there is no other data; see [`ReportData::too_large`].
    pub is_too_large: bool,
    /// True if events of the report's hours are known to be missing.
    pub is_incomplete: bool,
}

/// The most bytes that a report reads, of all shards together. A Workers isolate may hold each byte up to four times:
/// in a shard, on the way and here.
pub(crate) const READ_BYTES: usize = 16 * 1024 * 1024;
/// The most memory of the rollups that a report or a compaction has at once, in bytes. Together with what was read it must fit
/// into an isolate of 128 MB.
pub(crate) const CELL_BYTES: usize = 32 * 1024 * 1024;
/// What a page or a record takes in memory besides its bytes.
pub(crate) const ITEM_BYTES: usize = 64;

/// The bytes that a report or a compaction may still read from a store, or a report from one of its shards. A host subtracts
/// what it reads before it reads on. If the budget does not suffice, a report is given [`ReportData::too_large`], and a
/// compaction no pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    left: usize,
}

impl ReadBudget {
    /// The budget of one of `shards` shards.
    pub(crate) fn of_shards(shards: u32) -> Self {
        Self { left: READ_BYTES / usize::try_from(shards).unwrap_or(usize::MAX).max(1) }
    }

    /// The budget of a compaction. It has an isolate or a process to itself while it runs.
    pub(crate) fn of_compaction() -> Self {
        Self { left: READ_BYTES }
    }

    /// Subtracts a page or a manifest, and returns whether it is within the budget.
    #[must_use]
    pub fn takes_page(&mut self, page: &StoredPage) -> bool {
        self.takes(page.key.len() + page.bytes.len())
    }

    /// Subtracts a record, and returns whether it is within the budget.
    #[must_use]
    pub fn takes_record(&mut self, record: &str) -> bool {
        self.takes(record.len())
    }

    fn takes(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes + ITEM_BYTES) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// Stored pages that a report could not read, for one line of a log. It names no value, because values are a client's
/// text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnreadablePages {
    count: usize,
    first: String,
}

impl UnreadablePages {
    /// Whether there are no such pages.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn add(&mut self, key: &str) {
        if self.count == 0 {
            self.first =
                Series::parse(key).map_or_else(|| "an unknown key".to_owned(), |(series, _)| series.to_string());
        }
        self.count += 1;
    }
}

impl fmt::Display for UnreadablePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, first } = self;
        write!(f, "a report is incomplete, for {count} stored pages cannot be read; the first: {first}")
    }
}

impl ReportData {
    /// The data that a host gives when the budget is used up.
    pub fn too_large() -> Self {
        Self { is_too_large: true, ..Self::default() }
    }

    /// Encodes the data for a shard's answer, if the shard and the code that answers the report are apart. Texts and
    /// pages are written unchanged, because that is the cheapest encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { pages, tail, as_of, is_too_large, is_incomplete } = self;
        let mut writer = Writer(vec![formats::REPORT_DATA]);
        writer.byte(u8::from(as_of.is_some()) | u8::from(*is_too_large) << 1 | u8::from(*is_incomplete) << 2);
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

    /// Reads what [`ReportData::to_bytes`] gave; `None` if the bytes are of another version or malformed.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.byte().filter(|version| *version == formats::REPORT_DATA)?;
        let (flags, as_of) = (reader.byte()?, reader.small()?);
        let as_of = (flags & 1 == 1).then_some(Millis(as_of));
        let (is_too_large, is_incomplete) = (flags & 2 == 2, flags & 4 == 4);
        let mut data = Self { as_of, is_too_large, is_incomplete, ..Self::default() };
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
            ReportData::too_large(),
            ReportData {
                pages: pages.clone(),
                tail: vec!["{}".to_owned()],
                as_of: Some(Millis(0)),
                ..ReportData::default()
            },
            ReportData {
                pages,
                tail: vec![String::new(); 300],
                as_of: Some(Millis(u64::MAX)),
                is_too_large: true,
                is_incomplete: true,
            },
        ] {
            let bytes = data.to_bytes();
            assert_eq!(ReportData::from_bytes(&bytes), Some(data));
            for length in (0..bytes.len()).step_by(1 + bytes.len() / 500) {
                assert_eq!(ReportData::from_bytes(&bytes[..length]), None, "{length}");
            }
            assert_eq!(ReportData::from_bytes(&[&[formats::REPORT_DATA + 1], &bytes[1..]].concat()), None);
        }
    }

    #[test]
    fn a_budget_is_shared_by_shards_and_ends() {
        let page = StoredPage { key: "k".to_owned(), bytes: vec![0; 64 * 1024] };
        for shards in [0, 1, 4] {
            let mut budget = ReadBudget::of_shards(shards);
            let taken = (0..).take_while(|_| budget.takes_page(&page)).count();
            assert_eq!(taken, READ_BYTES / shards.max(1) as usize / (64 * 1024 + 1 + ITEM_BYTES));
            let records = (0..).take_while(|_| budget.takes_record("")).count();
            assert!(records <= 1024 && !budget.takes_record(""));
        }
    }
}
