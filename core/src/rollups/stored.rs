//! What a store keeps of rollups: pages under keys.

use std::fmt;

use crate::rollups::key::{KeyKind, apart};

/// The most bytes of a page and its key together, which every store takes.
pub(crate) const PAGE_BYTES: usize = 400_000;

/// A page of rollups as a store keeps it; opaque to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPage {
    /// The page's key, UTF-8, unique within a tenant. `rollups/key.rs` has its layout.
    pub key: String,
    /// The page's content: some 64 KiB at most. A page of a single rollup may be larger, but never exceeds 400 KB, the
    /// most that an item of DynamoDB has.
    pub bytes: Vec<u8>,
}

impl StoredPage {
    /// Bytes of key and content.
    pub(crate) fn len(&self) -> usize {
        self.key.len() + self.bytes.len()
    }
}

/// The stored bytes under this key are not a page that this version can read. Its text goes to a log, so it names no
/// value: values are a client's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadablePage {
    /// The page's key.
    pub key: String,
}

impl fmt::Display for UnreadablePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KeyKind::of(&self.key) {
            KeyKind::Page(series, _) | KeyKind::Moved(series, _) | KeyKind::Apart(series) => {
                write!(f, "the stored rollups of {series} cannot be read")
            }
            KeyKind::Unknown if self.key.contains(char::is_control) => {
                f.write_str("the stored rollups under an unknown key cannot be read")
            }
            // The name of a lane or of a list of lanes.
            KeyKind::Day | KeyKind::Unknown => write!(f, "the stored rollups under {:?} cannot be read", self.key),
        }
    }
}

impl std::error::Error for UnreadablePage {}

/// The result of a fold or a compaction, which is to be written.
#[must_use = "what is merged and not written is in no report"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The pages to write. Each replaces what is stored under its key.
    pub pages: Vec<StoredPage>,
    /// Stored pages that can't be read. Their bytes are set apart within `pages`. Reports that need them say that they
    /// are incomplete; nothing else is affected. The host logs a line for each.
    pub damaged: Vec<UnreadablePage>,
    /// Whether `pages` count the first events of some day.
    pub(crate) opens_day: bool,
}

impl Merged {
    /// Moves unreadable bytes to a key of their own, so that new bytes can take their place.
    pub(crate) fn set_apart(&mut self, key: String, bytes: Vec<u8>) {
        self.pages.push(StoredPage { key: apart(&key), bytes });
        self.damaged.push(UnreadablePage { key });
    }
}

/// How much a store accepts in one transaction, besides a watermark.
#[derive(Clone, Copy, Debug)]
pub struct WriteLimits {
    /// The number of pages.
    pub pages: usize,
    /// Bytes of the pages' keys and contents.
    pub bytes: usize,
}

impl WriteLimits {
    /// For a store that blocks others while it writes, such as one with a single writer: some ten milliseconds of work.
    pub const ONE_WRITER: Self = Self { pages: 1000, bytes: 8_000_000 };

    /// No limits.
    pub const NONE: Self = Self { pages: usize::MAX, bytes: usize::MAX };

    /// Whether these pages fit into one transaction.
    pub fn fit<'p>(&self, pages: impl Iterator<Item = &'p StoredPage>) -> bool {
        let (count, bytes) = pages.fold((0, 0), |(count, bytes), page| (count + 1, bytes + page.len()));
        count <= self.pages && bytes <= self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollups::key::{Day, Hour, Period, Series};

    #[test]
    fn a_line_about_an_unreadable_page_has_no_value() {
        let key = Series::prefix("plan", Period::Hour(Hour(376_954)), "signed up") + "secret";
        let told = |key: &str| UnreadablePage { key: key.to_owned() }.to_string();
        let series = r#"the stored rollups of signed up by "plan" from 2013-01-01T10:00:00.000Z cannot be read"#;
        assert_eq!([told(&key), told(&apart(&key))], [series, series]);
        assert!(told(&key.replace("0005c07a", "no hour")).contains("an unknown key"));
        assert!(told(&Day(15_706).manifest()).contains("0003d5a"));
        assert!(told("~lost").contains("~lost"));
    }
}
