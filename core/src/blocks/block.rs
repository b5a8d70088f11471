//! Closed blocks: folded events, whose records are deflated together.
//!
//! ```text
//! version · number of events · heads, each with the lengths of its two texts · deflated: all texts
//! ```
//!
//! Heads are not deflated: ids and digests do not compress, and a look-up reads only heads.

use std::io::Write as _;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Decompress, FlushDecompress};

use crate::blocks::event::{BlockEvent, Head, Heads, Text};
use crate::codec::{Reader, Writer};
use crate::formats;

/// A block is closed once its texts have this many bytes. That is deflate's window: larger blocks would hardly be
/// smaller, and a look-up inflates up to a whole one.
pub(crate) const TEXT_BYTES: usize = 32 * 1024;
/// The most bytes that a block's texts can have: one record of 128 KiB may come on top of what does not yet close a
/// block. A damaged block must not make its reader ask for more memory.
const MOST_BYTES: usize = 5 * TEXT_BYTES;

pub(crate) fn write(events: &[BlockEvent<'_>]) -> Vec<u8> {
    let mut writer = Writer(vec![formats::BLOCK]);
    writer.length(events.len());
    let mut heads = Heads::default();
    // Better compression takes three times as long and saves a fifth.
    let mut texts = DeflateEncoder::new(Vec::new(), Compression::fast());
    for BlockEvent { head, text } in events {
        heads.write(head, &mut writer);
        for text in text.stored() {
            writer.length(text.len());
            // Neither call fails, because a vector accepts every write.
            let _written = texts.write_all(text.as_bytes());
        }
    }
    writer.0.append(&mut texts.finish().unwrap_or_default());
    writer.0
}

/// A closed block whose texts are still deflated.
pub(crate) struct Closed<'a> {
    /// Each event's head with the lengths of its two texts.
    heads: Vec<(Head, [usize; 2])>,
    deflated: &'a [u8],
}

impl<'a> Closed<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.byte().filter(|version| *version == formats::BLOCK)?;
        let (mut heads, mut written, mut sum) = (Vec::new(), Heads::default(), 0_usize);
        for _ in 0..reader.small::<usize>()? {
            let head = written.read(&mut reader)?;
            let lengths = [reader.small()?, reader.small()?];
            sum = lengths.iter().try_fold(sum, |sum: usize, length| sum.checked_add(*length))?;
            heads.push((head, lengths));
        }
        (sum <= MOST_BYTES).then_some(Self { heads, deflated: reader.0 })
    }

    pub(crate) fn heads(&self) -> impl Iterator<Item = &Head> {
        self.heads.iter().map(|(head, _)| head)
    }

    /// The record of the last event that `is_wanted`. The outer `None` says that it can't be read.
    pub(crate) fn record(&self, is_wanted: impl Fn(&Head) -> bool) -> Option<Option<String>> {
        let Some(at) = self.heads.iter().rposition(|(head, _)| is_wanted(head)) else { return Some(None) };
        let upto = self.heads.get(..=at)?;
        let before: usize = upto.iter().take(at).flat_map(|(_, lengths)| lengths).sum();
        let texts = inflated(self.deflated, before + upto.last()?.1.iter().sum::<usize>())?;
        Some(Some(event(upto.last()?, texts.get(before..)?)?.record()))
    }

    /// All events, each with its record.
    pub(crate) fn records(&self) -> Option<Vec<(Head, String)>> {
        let texts = inflated(self.deflated, self.heads.iter().flat_map(|(_, lengths)| lengths).sum())?;
        let mut rest = texts.as_slice();
        let mut record = |of: &(Head, [usize; 2])| {
            let (text, others) = rest.split_at_checked(of.1.iter().sum())?;
            rest = others;
            Some((of.0, event(of, text)?.record()))
        };
        self.heads.iter().map(&mut record).collect()
    }
}

/// The event with this head and this text.
fn event<'t>((head, [names, _]): &(Head, [usize; 2]), text: &'t [u8]) -> Option<BlockEvent<'t>> {
    let (names, rest) = text.split_at_checked(*names)?;
    let text = Text::of_stored([std::str::from_utf8(names).ok()?, std::str::from_utf8(rest).ok()?]);
    Some(BlockEvent { head: *head, text })
}

/// The first `length` bytes of deflated ones.
fn inflated(deflated: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut inflated = Vec::with_capacity(length);
    let mut inflate = Decompress::new(false);
    while inflated.len() < length {
        let (read, wrote) = (inflate.total_in(), inflated.len());
        let rest = deflated.get(usize::try_from(read).ok()?..)?;
        inflate.decompress_vec(rest, &mut inflated, FlushDecompress::None).ok()?;
        if inflate.total_in() == read && inflated.len() == wrote {
            return None;
        }
    }
    Some(inflated)
}
