//! Rollups in a shard: folded behind a watermark, and read for reports.
//!
//! No function here awaits anything, so a report's statements see one moment. A fold writes in its caller's
//! transaction. Between [`UnfoldedEvents::next`] and [`UnfoldedEvents::fold`] the caller may await the bucket.

use isotherm_core::{
    Backup, Blocks, Folded, KeyRange, Load, OpenBlocks, ReadBudget, Reading, RejectedRecord, ReportData, Service, Step,
    StoredPage, TooMuch, Unfolded, WriteLimits,
};
use worker::{Error, Result, SqlStorage, SqlStorageValue, console_error};

use crate::blocks;
use crate::database::{blob, columns, integer, other_row, whole};
use crate::protocol::ShardName;

const REJECT: &str = "INSERT OR REPLACE INTO rejected_events (seq, reason, record) VALUES (?, ?, ?)";

const UNFOLDED: &str = "SELECT seq, record FROM events WHERE seq > ? ORDER BY seq LIMIT ?";

const PAGES: &str = "SELECT key, page FROM rollups WHERE key >= ? AND key < ?";

const WRITE: &str = "INSERT OR REPLACE INTO rollups (key, page) VALUES (?, ?)";

const TAIL: &str = "SELECT record FROM events WHERE seq > ?";

/// Events that are about to be folded.
pub(crate) struct UnfoldedEvents {
    /// The watermark before these events.
    after: u64,
    source: Source,
}

enum Source {
    Blocks(OpenBlocks),
    /// Rows of the table `events`, which are all older than blocks.
    Rows {
        seqs: Vec<u64>,
        records: Vec<String>,
    },
}

impl UnfoldedEvents {
    /// Reads the next events behind the watermark: at most `events`, or whole blocks until they have as many, and no
    /// more once they have `bytes` bytes. Returns `None` if all are folded.
    pub(crate) fn next(sql: &SqlStorage, blocks: &mut Blocks, events: usize, bytes: usize) -> Result<Option<Self>> {
        let after = blocks::watermark(sql)?;
        let mut source = if blocks.has_rows() { rows(sql, after, events, bytes)? } else { None };
        if source.is_none() {
            // Blocks that are being folded must not grow.
            blocks.seal();
            let open = OpenBlocks::new(blocks::open(sql, after, events, bytes)?);
            source = (!open.records().is_empty()).then_some(Source::Blocks(open));
        }
        Ok(source.map(|source| Self { after, source }))
    }

    fn records(&self) -> &[String] {
        match &self.source {
            Source::Blocks(open) => open.records(),
            Source::Rows { records, .. } => records,
        }
    }

    fn seqs(&self) -> &[u64] {
        match &self.source {
            Source::Blocks(open) => open.seqs(),
            Source::Rows { seqs, .. } => seqs,
        }
    }

    /// How many of these events a fold takes that is to take `events`.
    pub(crate) fn at_most(&self, events: usize) -> usize {
        match &self.source {
            Source::Blocks(open) => open.at_most(events),
            Source::Rows { records, .. } => records.len(),
        }
    }

    /// Folds the first of these events: at most `at_most`, and no more than may be written at once.
    pub(crate) fn step(&self, service: &Service, tenant: &str, at_most: usize) -> Step {
        let records: Vec<_> = self.records().iter().map(|record| Unfolded { tenant, record }).collect();
        service.fold(&records, at_most, WriteLimits::ONE_WRITER)
    }

    /// The objects that back up the events of a step. A repeated fold begins at the same event, and overwrites the
    /// failed one's objects.
    pub(crate) fn backups(&self, service: &Service, shard: &ShardName, step: &Step) -> Vec<Backup> {
        let batch = format!("{}-{:010}", shard.number, self.seqs().first().copied().unwrap_or_default());
        let tenant = shard.tenant.as_str();
        let taken = self.records().iter().take(step.records());
        service.backups(&batch, taken.map(|record| Unfolded { tenant, record }))
    }

    /// Writes a step's pages, closes its events' blocks, and moves the watermark. If the pages are too large, the step
    /// is made of fewer events. Returns how much was folded. Fails if the events are others than when they were read.
    pub(crate) fn fold(
        &self,
        sql: &SqlStorage,
        blocks: &mut Blocks,
        service: &Service,
        tenant: &str,
        mut step: Step,
    ) -> Result<(Load, Folded)> {
        if blocks::watermark(sql)? != self.after || !self.is_as_read(sql)? {
            return Err(Error::RustError("the events changed during the backup".to_owned()));
        }
        let (taken, write) = loop {
            let taken = step.records();
            let stored = step.ranges().map(|(_, ranges)| pages(sql, ranges)).collect::<Result<_>>()?;
            match step.merge(stored) {
                Ok(write) => break (taken, write),
                Err(TooMuch { at_most }) => step = self.step(service, tenant, at_most),
            }
        };
        let folded = write.folded(taken);
        for (_, page) in write.damaged {
            console_error!("isotherm: reports of {tenant} are incomplete: {page}");
        }
        for RejectedRecord { index, reason } in write.rejected {
            let (Some(seq), Some(record)) = (self.seqs().get(index), self.records().get(index)) else { continue };
            console_error!("isotherm: event {seq} of {tenant} is in no report, but in rejected_events: {reason}");
            sql.exec(REJECT, vec![integer(*seq), reason.into(), record.as_str().into()])?;
        }
        self::write(sql, write.pages.into_iter().map(|(_, page)| page).collect())?;
        let watermark = match &self.source {
            Source::Blocks(open) => {
                let closed = blocks.close(open, taken);
                let watermark = closed.watermark;
                blocks::write(sql, blocks, closed)?;
                watermark
            }
            Source::Rows { seqs, .. } => {
                taken.checked_sub(1).and_then(|last| seqs.get(last)).copied().unwrap_or(self.after)
            }
        };
        sql.exec(WRITE, vec!["".into(), integer(watermark)])?;
        Ok((self.records().iter().take(taken).map(|record| Load::of(record)).sum(), folded))
    }

    /// Whether the blocks are still as they were read: a fold writes only then.
    fn is_as_read(&self, sql: &SqlStorage) -> Result<bool> {
        let Source::Blocks(open) = &self.source else { return Ok(true) };
        let (from, until) = open.range();
        Ok(blocks::length(sql, from, until)? == open.bytes())
    }
}

/// The next rows of the table `events` behind the watermark.
fn rows(sql: &SqlStorage, after: u64, events: usize, bytes: usize) -> Result<Option<Source>> {
    let (mut seqs, mut records, mut read) = (Vec::new(), Vec::new(), 0);
    for row in sql.exec(UNFOLDED, vec![integer(after), integer(events as u64)])?.raw() {
        let [seq, record] = columns(row?)?;
        seqs.push(whole(seq));
        let record = text(record);
        read += record.len();
        records.push(record);
        if read >= bytes {
            break;
        }
    }
    Ok((!seqs.is_empty()).then_some(Source::Rows { seqs, records }))
}

/// A value that is not text is read as an empty one, which core rejects.
fn text(value: SqlStorageValue) -> String {
    if let SqlStorageValue::String(text) = value { text } else { String::new() }
}

/// Reads this shard's data for a report.
pub(crate) fn read(sql: &SqlStorage, blocks: &Blocks, reading: &Reading, budget: ReadBudget) -> Result<ReportData> {
    Ok(read_within(sql, blocks, reading, budget)?.unwrap_or_else(ReportData::too_large))
}

/// Returns `None` if the data exceed the budget.
fn read_within(
    sql: &SqlStorage,
    blocks: &Blocks,
    reading: &Reading,
    mut budget: ReadBudget,
) -> Result<Option<ReportData>> {
    let mut takes = |page: &StoredPage| budget.takes_page(page);
    let Some(manifests) = pages_while(sql, reading.manifests().as_slice(), &mut takes)? else { return Ok(None) };
    let Some(pages) = pages_while(sql, &reading.ranges(&manifests), &mut takes)? else { return Ok(None) };
    let mut tail = Vec::new();
    if blocks.has_rows() {
        for row in sql.exec(TAIL, vec![integer(blocks::watermark(sql)?)])?.raw() {
            let [record] = columns(row?)?;
            tail.push(text(record));
        }
    }
    tail.extend(OpenBlocks::new(blocks::open(sql, blocks.watermark(), usize::MAX, usize::MAX)?).into_records());
    let is_within = tail.iter().all(|record| budget.takes_record(record));
    Ok(is_within.then(|| ReportData { pages, tail, ..ReportData::default() }))
}

pub(crate) fn pages(sql: &SqlStorage, ranges: &[KeyRange]) -> Result<Vec<StoredPage>> {
    pages_while(sql, ranges, &mut |_| true).map(Option::unwrap_or_default)
}

/// Reads the pages in these ranges. Stops and returns `None` as soon as `takes` rejects a page.
pub(crate) fn pages_while(
    sql: &SqlStorage,
    ranges: &[KeyRange],
    takes: &mut dyn FnMut(&StoredPage) -> bool,
) -> Result<Option<Vec<StoredPage>>> {
    let mut pages = Vec::new();
    let is_whole = each_page(sql, ranges, &mut |page| {
        let is_taken = takes(&page);
        pages.push(page);
        is_taken
    })?;
    Ok(is_whole.then_some(pages))
}

/// Gives the pages in these ranges to `take`, one by one. Stops and returns `false` as soon as it does.
pub(crate) fn each_page(
    sql: &SqlStorage,
    ranges: &[KeyRange],
    take: &mut dyn FnMut(StoredPage) -> bool,
) -> Result<bool> {
    for KeyRange { from, until } in ranges {
        for row in sql.exec(PAGES, vec![from.as_str().into(), until.as_str().into()])?.raw() {
            let [SqlStorageValue::String(key), page] = columns(row?)? else { return Err(other_row()) };
            // A value that is not a BLOB is read as an empty page, which core sets apart.
            if !take(StoredPage { key, bytes: blob(page) }) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

pub(crate) fn write(sql: &SqlStorage, pages: Vec<StoredPage>) -> Result<()> {
    for StoredPage { key, bytes } in pages {
        sql.exec(WRITE, vec![key.into(), SqlStorageValue::Blob(bytes)])?;
    }
    Ok(())
}
