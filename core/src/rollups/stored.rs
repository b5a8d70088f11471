//! What a store keeps of rollups: pages under keys.

use std::fmt;

use crate::rollups::key::apart;

/// A page of rollups as a store keeps it; opaque to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPage {
    /// The page's key, UTF-8, unique within a tenant. `rollups/key.rs` has its layout.
    pub key: String,
    /// The page's content: some 64 KiB at most. A page of a single rollup may be larger, but never exceeds 400 KB, the
    /// most that an item of DynamoDB has.
    pub bytes: Vec<u8>,
}

/// The stored bytes under this key are not a page that this version can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadablePage {
    /// The page's key.
    pub key: String,
}

impl fmt::Display for UnreadablePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored rollups under {:?} cannot be read", self.key)
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
        let (count, bytes) =
            pages.fold((0, 0), |(count, bytes), page| (count + 1, bytes + page.key.len() + page.bytes.len()));
        count <= self.pages && bytes <= self.bytes
    }
}
