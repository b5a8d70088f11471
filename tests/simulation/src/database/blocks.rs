//! The tables of blocks and runs. Each function is what one statement does, or some of one transaction.

use isotherm_core::{
    BlockRow, BlockWrite, BlockWrites, Blocks, ExpiryOrder, NewEvent, OpenBlocks, Row, RowRead, RowWrites, Search,
    Seconds, StoredBlocks, StoredPage, Tenant,
};

use super::Database;

impl Database {
    /// What a shard reads into its memory.
    pub(crate) fn stored_blocks(&self) -> StoredBlocks {
        StoredBlocks {
            watermark: self.watermark,
            last_row: self.events.last_key_value().map_or(0, |(seq, _)| *seq),
            index: self.runs.get(&Blocks::FIRST_ROW).cloned(),
            open: self.open_blocks(usize::MAX, usize::MAX),
        }
    }

    /// The blocks behind the watermark: no more once they have so many events or bytes.
    pub(crate) fn open_blocks(&self, events: usize, bytes: usize) -> Vec<BlockRow> {
        let (mut open, mut count, mut length) = (Vec::new(), 0, 0);
        for row in self.blocks.range(self.watermark + 1..).map(|(_, row)| row) {
            count += row.count as usize;
            length += row.bytes.len();
            open.push(row.clone());
            if count >= events || length >= bytes {
                break;
            }
        }
        open
    }

    /// The records in blocks behind the watermark.
    pub(super) fn open_records(&self) -> Vec<String> {
        OpenBlocks::new(self.open_blocks(usize::MAX, usize::MAX)).into_records()
    }

    /// The rows of the index that a search reads, and the blocks that they name.
    pub(crate) fn search(&self, search: &Search) -> (Vec<Row>, Vec<BlockRow>) {
        let index: Vec<Row> = search.reads().iter().flat_map(|read| self.rows(read)).collect();
        let blocks = search.blocks(&index).iter().filter_map(|seq| self.blocks.get(seq).cloned()).collect();
        (index, blocks)
    }

    fn rows(&self, read: &RowRead) -> Vec<Row> {
        let rows = self.runs.range(read.from..=read.until);
        let rows = rows.map(|(number, bytes)| Row { number: *number, bytes: bytes.clone() });
        let limit = read.limit as usize;
        if read.is_backwards { rows.rev().take(limit).collect() } else { rows.take(limit).collect() }
    }

    /// Writes a part's new events.
    pub(crate) fn write_block<'e>(
        &mut self,
        tenant: &str,
        BlockWrite { seq, is_new, count, bytes, .. }: BlockWrite,
        events: impl Iterator<Item = &'e NewEvent>,
    ) {
        let now = self.world.now();
        for event in events {
            if let Err(twice) = self.world.truth.borrow_mut().keep(tenant, event, now) {
                self.world.violated(twice);
            }
            self.world.figures.borrow_mut().events += 1;
        }
        let row = BlockRow { seq, count: 0, expires_at: None, bytes: Vec::new() };
        let is_known = self.blocks.contains_key(&seq);
        if is_known == is_new || seq <= self.watermark {
            self.world.violated(format!("block {seq} is written behind {}; it is new: {is_new}", self.watermark));
        }
        let row = self.blocks.entry(seq).or_insert(row);
        row.count += count;
        row.bytes.extend(bytes);
    }

    /// Writes what a fold gives, unless the events behind the watermark are no longer those that the fold read. Returns
    /// whether it wrote.
    #[must_use]
    pub(crate) fn close(
        &mut self,
        (before, open): (u64, &OpenBlocks),
        taken: usize,
        pages: Vec<(Tenant, StoredPage)>,
        blocks: &mut Blocks,
    ) -> bool {
        let (from, until) = open.range();
        let length: usize = self.blocks.range(from..=until).map(|(_, row)| row.bytes.len()).sum();
        if self.watermark != before || length as u64 != open.bytes() {
            return false;
        }
        let BlockWrites { gone, rows, watermark } = blocks.close(open, taken);
        gone.iter().for_each(|seq| drop(self.blocks.remove(seq)));
        self.blocks.extend(rows.into_iter().map(|row| (row.seq, row)));
        let oldest = self.oldest();
        while let Some(mut spill) = blocks.spill() {
            while let Some(read) = spill.read() {
                spill.take(self.rows(&read));
            }
            self.put_runs(blocks.merge(spill, oldest));
        }
        self.put_runs(RowWrites { gone: Vec::new(), rows: vec![blocks.index()] });
        self.write_if(before, pages, Some(watermark))
    }

    fn put_runs(&mut self, writes: RowWrites) {
        writes.gone.iter().for_each(|number| drop(self.runs.remove(number)));
        self.runs.extend(writes.rows.into_iter().map(|row| (row.number, row.bytes)));
    }

    fn oldest(&self) -> u64 {
        self.blocks.first_key_value().map_or(self.watermark + 1, |(seq, _)| *seq)
    }

    /// Deletes blocks that have expired, either among the oldest ones or those that expire first. Removes their ids
    /// from the index.
    pub(crate) fn expire_blocks(
        &mut self,
        until: Seconds,
        among: usize,
        order: ExpiryOrder,
        blocks: &mut Blocks,
    ) -> usize {
        let mut seen = 0;
        let mut first: Vec<&BlockRow> = self.blocks.values().collect();
        if order == ExpiryOrder::Time {
            first.retain(|row| row.expires_at.is_some());
            first.sort_by_key(|row| row.expires_at);
        }
        let oldest = first.into_iter().take_while(|row| {
            let is_looked_at = seen < among as u64;
            seen += row.count;
            is_looked_at
        });
        let expired = oldest.filter(|row| row.expires_at.is_some_and(|at| at <= until));
        let expired: Vec<u64> = expired.map(|row| row.seq).collect();
        let gone = expired.iter().filter_map(|seq| self.blocks.remove(seq));
        let deleted: u64 = gone.map(|row| row.count).sum();
        self.world.figures.borrow_mut().deleted += deleted;
        let swept: Vec<Row> = blocks.sweep_reads(until).iter().flat_map(|read| self.rows(read)).collect();
        let oldest = self.oldest();
        self.put_runs(blocks.sweep(&swept, oldest));
        deleted as usize
    }

    /// When the first of the folded blocks expires.
    pub(super) fn oldest_block_expiry(&self) -> Option<Seconds> {
        self.blocks.values().filter_map(|row| row.expires_at).min()
    }
}
