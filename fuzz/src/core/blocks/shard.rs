//! A shard's tables in memory, and the statements of its adapter.

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::Unstructured;
use isotherm_core::{
    BlockRow, BlockWrite, BlockWrites, Blocks, Found, Keep, Kept, OpenBlocks, Row, RowRead, RowWrites, Search, Seconds,
    StoredBlocks, UnreadableBlock,
};

use super::RECORD_BYTES;
use super::wire::event_id;

/// The most bytes of a row of ids.
const RUN_BYTES: usize = 25_000;
/// The most bytes of an open block, without its last part.
const OPEN_BYTES: usize = 16 * 1024;
/// The most bytes of the texts in a closed block.
const TEXT_BYTES: usize = 32 * 1024 + RECORD_BYTES;
/// The most bytes of an event beside its texts: id, digest, five numbers.
const HEAD_BYTES: usize = 32 + 5 * 10;

/// The rows of a shard. Those that do not change are shared with other shards.
#[derive(Clone, Default)]
pub(crate) struct Shard {
    pub(crate) blocks: BTreeMap<u64, Arc<BlockRow>>,
    pub(crate) runs: BTreeMap<u64, Arc<Vec<u8>>>,
    pub(crate) watermark: u64,
    pub(crate) memory: Option<Blocks>,
    is_damaged: bool,
}

impl Shard {
    /// What the shard has in memory.
    pub(crate) fn memory(&mut self) -> Blocks {
        let stored = || StoredBlocks {
            watermark: self.watermark,
            last_row: 0,
            index: self.runs.get(&Blocks::FIRST_ROW).map(|row| row.to_vec()),
            open: self.blocks.range(self.watermark + 1..).map(|(_, row)| BlockRow::clone(row)).collect(),
        };
        self.memory.take().unwrap_or_else(|| Blocks::new(&stored()))
    }

    fn rows(&self, read: &RowRead) -> Vec<Row> {
        if read.from > read.until {
            return Vec::new();
        }
        let rows = self.runs.range(read.from..=read.until);
        let rows = rows.map(|(number, bytes)| Row { number: *number, bytes: bytes.to_vec() });
        let limit = read.limit as usize;
        if read.is_backwards { rows.rev().take(limit).collect() } else { rows.take(limit).collect() }
    }

    fn put(&mut self, RowWrites { gone, rows }: RowWrites) {
        for number in gone {
            let was_there = self.runs.remove(&number).is_some();
            assert!(was_there || self.is_damaged, "row {number} is deleted, and was not there");
        }
        for Row { number, bytes } in rows {
            assert!(bytes.len() <= RUN_BYTES || self.is_damaged, "a row of {} bytes", bytes.len());
            self.runs.insert(number, Arc::new(bytes));
        }
    }

    /// The rows of the index that a search reads, and the blocks that they name.
    fn read(&self, search: &Search) -> (Vec<Row>, Vec<BlockRow>) {
        let rows: Vec<Row> = search.reads().iter().flat_map(|read| self.rows(read)).collect();
        let blocks = search.blocks(&rows);
        let blocks = blocks.iter().filter_map(|seq| self.blocks.get(seq)).map(|row| BlockRow::clone(row)).collect();
        (rows, blocks)
    }

    pub(crate) fn search(&self, search: &Search) -> Found {
        let (rows, blocks) = self.read(search);
        let found = search.known(&rows, &blocks);
        assert!(found.damaged.is_empty() || self.is_damaged, "{:?}", found.damaged);
        found
    }

    /// Keeps a part. Returns what it wrote too, with the number of the first new event.
    pub(crate) fn keep(&mut self, keep: &Keep<'_>) -> (Kept, Option<(BlockWrite, u64)>) {
        let mut memory = self.memory();
        let found = self.search(&memory.repeated(keep));
        let (kept, write) = memory.keep(keep, &found);
        self.memory = Some(memory);
        let Some(write) = write else { return (kept, None) };
        let BlockWrite { seq, is_new, count, bytes, .. } = write.clone();
        let first = if is_new {
            let row = BlockRow { seq, count, expires_at: None, bytes };
            assert!(self.blocks.insert(seq, Arc::new(row)).is_none(), "block {seq} is there already");
            seq
        } else {
            let row = Arc::make_mut(self.blocks.get_mut(&seq).expect("an open block is there"));
            assert!(row.bytes.len() < OPEN_BYTES, "a block of {} bytes grows on", row.bytes.len());
            let first = seq + row.count;
            row.count += count;
            row.bytes.extend(bytes);
            first
        };
        (kept, Some((write, first)))
    }

    /// The record under an id, unless it has expired.
    pub(crate) fn find(&mut self, id: u128, now: u64) -> Result<Option<String>, UnreadableBlock> {
        let memory = self.memory();
        let search = memory.find(event_id(id));
        self.memory = Some(memory);
        let (rows, blocks) = self.read(&search);
        search.record(&rows, &blocks, Seconds(now))
    }

    /// Folds at most `blocks` blocks, and at most `taken` events. Returns the records.
    pub(crate) fn fold(&mut self, blocks: usize, taken: usize) -> Vec<String> {
        let mut memory = self.memory();
        memory.seal();
        let rows = self.blocks.range(self.watermark + 1..).take(blocks).map(|(_, row)| BlockRow::clone(row)).collect();
        let open = OpenBlocks::new(rows);
        let taken = taken.min(open.records().len());
        if taken == 0 {
            self.memory = Some(memory);
            return Vec::new();
        }
        let BlockWrites { gone, rows, watermark } = memory.close(&open, taken);
        assert!(watermark > self.watermark, "a fold that does nothing");
        for seq in gone {
            assert!(self.blocks.remove(&seq).is_some(), "block {seq} is deleted, and was not there");
        }
        for row in rows {
            let most = TEXT_BYTES + HEAD_BYTES * row.count as usize;
            assert!(row.expires_at.is_none() || row.bytes.len() < most, "a closed block of {} bytes", row.bytes.len());
            self.blocks.insert(row.seq, Arc::new(row));
        }
        self.watermark = watermark;
        let oldest = self.oldest();
        let mut steps = 0;
        while let Some(mut spill) = memory.spill() {
            steps += 1;
            assert!(steps < 1000, "moving rows down never ends");
            while let Some(read) = spill.read() {
                spill.take(self.rows(&read));
            }
            let writes = memory.merge(spill, oldest);
            self.put(writes);
        }
        self.put(RowWrites { gone: Vec::new(), rows: vec![memory.index()] });
        // A host reads it anew after each fold.
        self.memory = None;
        open.records()[..taken].to_vec()
    }

    fn oldest(&self) -> u64 {
        self.blocks.keys().next().copied().unwrap_or(self.watermark + 1)
    }

    /// Deletes closed blocks whose events have all expired, and removes their ids from some rows.
    pub(crate) fn expire(&mut self, until: u64) {
        self.blocks.retain(|_, row| row.expires_at.is_none_or(|at| at.0 > until));
        let mut memory = self.memory();
        let rows: Vec<Row> = memory.sweep_reads(Seconds(until)).iter().flat_map(|read| self.rows(read)).collect();
        let writes = memory.sweep(&rows, self.oldest());
        self.put(writes);
        self.memory = Some(memory);
    }

    /// Damages the bytes of one row.
    pub(crate) fn damage(&mut self, input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        (self.is_damaged, self.memory) = (true, None);
        let bytes = if input.arbitrary()? && !self.blocks.is_empty() {
            let at = input.choose_index(self.blocks.len())?;
            self.blocks.values_mut().nth(at).map(|row| &mut Arc::make_mut(row).bytes)
        } else if self.runs.is_empty() {
            Some(Arc::make_mut(self.runs.entry(Blocks::FIRST_ROW).or_default()))
        } else {
            let at = input.choose_index(self.runs.len())?;
            self.runs.values_mut().nth(at).map(Arc::make_mut)
        };
        let Some(bytes) = bytes else { return Ok(()) };
        let offset = input.int_in_range(0..=bytes.len())?;
        match input.int_in_range(0..=3)? {
            0 => bytes.truncate(offset),
            1 => *bytes = input.arbitrary()?,
            2 => drop(bytes.splice(offset..offset, input.arbitrary::<[u8; 3]>()?)),
            _ => {
                let by = input.arbitrary::<u8>()?;
                bytes.iter_mut().skip(offset).take(1).for_each(|byte| *byte ^= by);
            }
        }
        Ok(())
    }
}
