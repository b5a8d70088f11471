//! What a store of blocks has in memory: the ids that are not folded yet, and the first row of the index.

use std::collections::BTreeMap;
use std::fmt;

use crate::blocks::event::{BlockEvent, Head};
use crate::blocks::keep::{Keep, Kept};
use crate::blocks::part;
use crate::blocks::rows::{BlockRow, Row, RowRead, RowWrites};
use crate::blocks::runs::{Runs, Spill};
use crate::blocks::search::{Found, Search};
use crate::maintenance::machine::Held;
use crate::store::holder::Holder;
use crate::store::load::Load;
use crate::store::plan::StoreOutcome;
use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::EventId;
use crate::vocabulary::time::{Millis, Seconds};

/// A block that has this many bytes grows no more. Each append writes the whole block anew, though it is billed as one
/// row.
const OPEN_BYTES: u64 = 16 * 1024;

/// What a store holds, from which its memory is read.
#[derive(Clone, Debug, Default)]
pub struct StoredBlocks {
    /// The number of the last folded event.
    pub watermark: u64,
    /// The number of the last event in the table `events`, which older versions wrote; 0 if it has none.
    pub last_row: u64,
    /// The row of runs with the number [`Blocks::FIRST_ROW`].
    pub index: Option<Vec<u8>>,
    /// All blocks behind the watermark.
    pub open: Vec<BlockRow>,
}

/// What a store of blocks has in memory. It mirrors the store's rows: whenever a statement fails, and after each fold,
/// the host drops it and reads it again.
#[derive(Clone)]
pub struct Blocks {
    watermark: u64,
    last_row: u64,
    /// The number that the next event gets.
    next: u64,
    /// The block to which the next events are appended, and its bytes.
    open: Option<(u64, u64)>,
    unfolded: BTreeMap<EventId, Unfolded>,
    load: Load,
    oldest: Option<Millis>,
    runs: Runs,
}

/// An event that is not folded.
#[derive(Clone, Copy, Debug)]
struct Unfolded {
    digest: Digest,
    expires_at: Seconds,
    block: u64,
}

/// Events to write into the table of blocks. If the host can't write them, it drops its [`Blocks`].
#[must_use = "events that are not written are not kept"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockWrite {
    /// The number of the block.
    pub seq: u64,
    /// True: insert the block. False: append the bytes to the block, and add `count` to its count.
    pub is_new: bool,
    /// How many events are written.
    pub count: u64,
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// The load of these events.
    pub load: Load,
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { watermark, next, open, load, .. } = self;
        write!(f, "blocks behind {watermark}, next {next}, open {open:?}, {load:?}")
    }
}

impl Blocks {
    /// The number of the row of runs that is always in memory.
    pub const FIRST_ROW: u64 = Runs::FIRST_ROW;

    /// Reads what the store holds.
    pub fn new(stored: &StoredBlocks) -> Self {
        let StoredBlocks { watermark, last_row, index, open } = stored;
        let runs = match index {
            None => Runs::default(),
            Some(row) => Runs::read(row).unwrap_or_else(Runs::of_unknown),
        };
        let mut blocks = Self {
            watermark: *watermark,
            last_row: *last_row,
            next: *watermark.max(last_row) + 1,
            open: None,
            unfolded: BTreeMap::new(),
            load: Load::default(),
            oldest: None,
            runs,
        };
        for BlockRow { seq, count, bytes, .. } in open {
            let (events, unreadable) = part::read_block(bytes, *count);
            blocks.next = blocks.next.max(seq.saturating_add(*count));
            // Nothing is appended to a damaged block.
            blocks.open = unreadable.is_none().then_some((*seq, bytes.len() as u64));
            events.iter().for_each(|event| blocks.take_in(event, *seq));
        }
        blocks
    }

    fn take_in(&mut self, event: &BlockEvent<'_>, block: u64) {
        let Head { id, digest, expires_at, received_at, .. } = event.head;
        self.unfolded.insert(id, Unfolded { digest, expires_at, block });
        self.load = self.load + Load { events: 1, bytes: event.record_bytes() };
        self.oldest = Some(self.oldest.map_or(received_at, |oldest| oldest.min(received_at)));
    }

    /// The number of the last folded event.
    pub fn watermark(&self) -> u64 {
        self.watermark
    }

    /// Whether the table `events` has rows. Only older versions wrote to it.
    pub fn has_rows(&self) -> bool {
        self.last_row > 0
    }

    /// Adds the events in blocks to what the store holds otherwise.
    pub fn held(&self, rows: Held) -> Held {
        let oldest = match self.oldest {
            Some(oldest) if rows.unfolded.events > 0 => oldest.min(rows.oldest),
            oldest => oldest.unwrap_or(rows.oldest),
        };
        Held { unfolded: rows.unfolded + self.load, oldest, ..rows }
    }

    /// Looks for the event with this id.
    pub fn find(&self, id: EventId) -> Search {
        match self.unfolded.get(&id) {
            Some(Unfolded { block, .. }) => Search { ids: vec![id], named: vec![(*block, id)], ..Search::default() },
            None => self.search(vec![id]),
        }
    }

    /// Looks for the folded events that a part may repeat.
    pub fn repeated(&self, keep: &Keep<'_>) -> Search {
        let is_asked =
            |event: &&BlockEvent<'_>| !self.unfolded.contains_key(&event.head.id) && keep.may_be_there(event);
        self.search(keep.events.iter().filter(is_asked).map(|event| event.head.id).collect())
    }

    fn search(&self, ids: Vec<EventId>) -> Search {
        let named = ids.iter().flat_map(|id| self.runs.young(*id).map(|block| (block, *id))).collect();
        let mut reads: Vec<RowRead> = ids.iter().flat_map(|id| self.runs.reads(*id)).collect();
        reads.sort_unstable_by_key(|read| read.until);
        Search { ids, reads, named }
    }

    /// Decides what becomes of a part's events, given what [`Blocks::repeated`] has found. The host writes the new ones.
    /// An event that may be there is refused for now, for it must not count twice.
    pub fn keep(&mut self, keep: &Keep<'_>, found: &Found) -> (Kept, Option<BlockWrite>) {
        let outcome = |event: &BlockEvent<'_>| {
            let Head { id, .. } = event.head;
            let unfolded = self.unfolded.get(&id);
            let unfolded = unfolded.map(|Unfolded { digest, expires_at, .. }| (*digest, *expires_at, false));
            let known = found.known.iter().filter(|known| known.id == id);
            let known = known.map(|known| (known.digest, known.expires_at, known.is_folded));
            let is_unsure = found.unsure.contains(&id);
            let mut outcome = if is_unsure { StoreOutcome::Unavailable } else { StoreOutcome::Stored };
            for (digest, expires_at, is_folded) in unfolded.into_iter().chain(known) {
                match Holder::of(Some(digest), Some(expires_at), keep.expired_by) {
                    Holder::Stays(outcome) => return outcome,
                    Holder::MakesWay if is_folded => {}
                    Holder::MakesWay => outcome = StoreOutcome::Unavailable,
                }
            }
            outcome
        };
        let outcomes: Vec<_> = keep.events.iter().map(outcome).collect();
        let new = keep.events.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == StoreOutcome::Stored);
        let new: Vec<_> = new.map(|(event, _)| *event).collect();
        let bytes = if new.len() == keep.events.len() {
            keep.part.to_vec()
        } else {
            let mut bytes = Vec::new();
            part::write(new.iter(), &mut bytes);
            bytes
        };
        (Kept(outcomes), (!new.is_empty()).then(|| self.append(&new, bytes)))
    }

    fn append(&mut self, events: &[BlockEvent<'_>], bytes: Vec<u8>) -> BlockWrite {
        let open = self.open.filter(|(_, length)| *length < OPEN_BYTES);
        let (seq, length) = open.unwrap_or((self.next, 0));
        let count = events.len() as u64;
        self.next = self.next.saturating_add(count);
        self.open = Some((seq, length + bytes.len() as u64));
        let before = self.load;
        events.iter().for_each(|event| self.take_in(event, seq));
        BlockWrite { seq, is_new: open.is_none(), count, bytes, load: self.load - before }
    }

    /// The next event begins a new block: a fold is reading the one that grows.
    pub fn seal(&mut self) {
        self.open = None;
    }

    pub(crate) fn runs(&mut self) -> &mut Runs {
        &mut self.runs
    }

    /// The next step of merging the index; `None` if it needs none.
    pub fn spill(&self) -> Option<Spill> {
        self.runs.spill(self.next)
    }

    /// What a step of merging writes, once all is read. Blocks before `oldest` are deleted.
    pub fn merge(&mut self, spill: Spill, oldest: u64) -> RowWrites {
        self.runs.merge(spill, oldest)
    }

    /// The first row of the index, to be put after all steps of merging.
    pub fn index(&self) -> Row {
        self.runs.to_row()
    }

    /// Which rows of the index to clear of deleted blocks at this time. A row has its turn about once a week.
    pub fn sweep_reads(&self, now: Seconds) -> Vec<RowRead> {
        self.runs.sweep_reads(now.0 / 3600).collect()
    }

    /// What to write into the index, given the rows of [`Blocks::sweep_reads`]. Blocks before `oldest` are deleted.
    pub fn sweep(&mut self, rows: &[Row], oldest: u64) -> RowWrites {
        self.runs.sweep(rows, oldest)
    }
}
