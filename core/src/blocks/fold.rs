//! Folds blocks: their events go into pages, and the blocks are closed.

use std::collections::BTreeMap;
use std::mem;

use crate::blocks::block;
use crate::blocks::event::BlockEvent;
use crate::blocks::memory::Blocks;
use crate::blocks::part;
use crate::blocks::rows::BlockRow;
use crate::blocks::runs::Entry;
use crate::store::new_event::NewEvent;
use crate::vocabulary::time::Millis;

/// The events of a closed block expire within this time of each other: six hours. A queue may bring one that was received
/// days ago.
const EXPIRY_SECONDS: u64 = 6 * 60 * 60;

/// Whole open blocks, which are about to be folded.
#[derive(Clone, Debug)]
pub struct OpenBlocks {
    rows: Vec<BlockRow>,
    records: Vec<String>,
    /// The number of each record's event.
    seqs: Vec<u64>,
}

/// What a fold writes into the table of blocks: first what is gone is deleted, then rows are put in the place of
/// others. The watermark moves in the same transaction.
#[must_use = "blocks that are not closed are folded again"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockWrites {
    /// Numbers of blocks to delete.
    pub gone: Vec<u64>,
    /// Blocks to put.
    pub rows: Vec<BlockRow>,
    /// The number of the last event that is folded now.
    pub watermark: u64,
}

/// One event of an open block, or what can't be read at its end.
enum Item<'a> {
    Event(BlockEvent<'a>),
    Unreadable(&'a [u8]),
}

/// The items of a block, each with its number.
fn items(row: &BlockRow) -> impl Iterator<Item = (u64, Item<'_>)> {
    let (events, rest) = part::read_block(&row.bytes, row.count);
    // If no event is missing, bytes behind the events are dropped.
    let rest = rest.filter(|_| (events.len() as u64) < row.count.max(1));
    (row.seq..).zip(events.into_iter().map(Item::Event).chain(rest.map(Item::Unreadable)))
}

impl OpenBlocks {
    /// The blocks behind the watermark, or the first of them, in their order.
    pub fn new(rows: Vec<BlockRow>) -> Self {
        let items = rows.iter().flat_map(items).map(|(seq, item)| match item {
            Item::Event(event) => (seq, event.record()),
            // This is no record, so the fold rejects it, and it is kept where an operator finds it.
            Item::Unreadable(bytes) => (seq, bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        });
        let (seqs, records) = items.unzip();
        Self { rows, records, seqs }
    }

    /// A block with these events alone.
    pub fn of(seq: u64, events: &[NewEvent]) -> Self {
        let mut bytes = Vec::new();
        part::write(events.iter().map(BlockEvent::of).collect::<Vec<_>>().iter(), &mut bytes);
        Self::new(vec![BlockRow { seq, count: events.len() as u64, expires_at: None, bytes }])
    }

    /// When the first of these events was received; `None` if there is none.
    pub fn received_at(&self) -> Option<Millis> {
        match self.rows.iter().flat_map(items).next()?.1 {
            Item::Event(event) => Some(event.head.received_at),
            Item::Unreadable(_) => Some(Millis(0)),
        }
    }

    /// The numbers of the first and the last block.
    pub fn range(&self) -> (u64, u64) {
        let seq = |row: Option<&BlockRow>| row.map_or(0, |row| row.seq);
        (seq(self.rows.first()), seq(self.rows.last()))
    }

    /// The bytes of all blocks in [`OpenBlocks::range`]. If they have others now, events came, and the fold must not
    /// write.
    pub fn bytes(&self) -> u64 {
        self.rows.iter().map(|row| row.bytes.len() as u64).sum()
    }

    /// How many events a fold takes that is to take `events`: whole blocks, since the rest of a block is written again,
    /// unless the first one alone has more.
    pub fn at_most(&self, events: usize) -> usize {
        let first = self.rows.first().map_or(0, |row| row.count);
        if first > events as u64 { events } else { self.records.len() }
    }

    /// The events' records, in their order.
    pub fn records(&self) -> &[String] {
        &self.records
    }

    /// The events' records, in their order.
    pub fn into_records(self) -> Vec<String> {
        self.records
    }

    /// The number of each record's event.
    pub fn seqs(&self) -> &[u64] {
        &self.seqs
    }
}

impl Blocks {
    /// Closes these blocks up to and with the event at `taken - 1`, and takes their ids into the index. Events after it
    /// come into an open block of their own.
    pub fn close(&mut self, open: &OpenBlocks, taken: usize) -> BlockWrites {
        let mut writes = BlockWrites { watermark: self.watermark(), ..BlockWrites::default() };
        let mut closing = Closing::default();
        let mut before = 0;
        for row in &open.rows {
            if before >= taken {
                break;
            }
            writes.gone.push(row.seq);
            let mut rest: Option<(u64, Vec<u8>)> = None;
            for (seq, item) in items(row) {
                before += 1;
                match item {
                    Item::Event(event) if before <= taken => closing.push(seq, event, &mut writes.rows),
                    Item::Unreadable(_) if before <= taken => {}
                    item => {
                        let (_, bytes) = rest.get_or_insert((seq, Vec::new()));
                        match item {
                            Item::Event(event) => part::write([event].iter(), bytes),
                            Item::Unreadable(unreadable) => bytes.extend_from_slice(unreadable),
                        }
                    }
                }
            }
            let end = row.seq.saturating_add(row.count.max(1));
            writes.watermark = rest.as_ref().map_or(end, |(seq, _)| *seq).saturating_sub(1).max(writes.watermark);
            if let Some((seq, bytes)) = rest {
                closing.close(&mut writes.rows);
                writes.rows.push(BlockRow { seq, count: end.saturating_sub(seq), expires_at: None, bytes });
            }
        }
        closing.close(&mut writes.rows);
        writes.gone.retain(|gone| writes.rows.iter().all(|row| row.seq != *gone));
        self.runs().add(closing.entries);
        writes
    }
}

/// Events that become closed blocks: those that expire about the same time together, so that a block can be deleted as
/// a whole.
#[derive(Default)]
struct Closing<'a> {
    blocks: BTreeMap<u64, ClosingBlock<'a>>,
    entries: Vec<Entry>,
}

/// The events of one block.
#[derive(Default)]
struct ClosingBlock<'a> {
    seq: u64,
    bytes: usize,
    events: Vec<BlockEvent<'a>>,
}

impl<'a> Closing<'a> {
    fn push(&mut self, seq: u64, event: BlockEvent<'a>, rows: &mut Vec<BlockRow>) {
        let block = self.blocks.entry(event.head.expires_at.0 / EXPIRY_SECONDS).or_default();
        if block.events.is_empty() {
            block.seq = seq;
        }
        block.bytes += event.text.stored().iter().map(|text| text.len()).sum::<usize>();
        block.events.push(event);
        self.entries.push(Entry::new(event.head.id, block.seq));
        if block.bytes >= block::TEXT_BYTES {
            rows.extend(mem::take(block).close());
        }
    }

    fn close(&mut self, rows: &mut Vec<BlockRow>) {
        rows.extend(mem::take(&mut self.blocks).into_values().filter_map(ClosingBlock::close));
    }
}

impl ClosingBlock<'_> {
    fn close(self) -> Option<BlockRow> {
        let Self { seq, events, .. } = self;
        let expires_at = events.iter().map(|event| event.head.expires_at).max()?;
        Some(BlockRow { seq, count: events.len() as u64, expires_at: Some(expires_at), bytes: block::write(&events) })
    }
}
