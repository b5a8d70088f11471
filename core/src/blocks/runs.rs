//! The index of closed blocks: which block may have an id. It is a tree of sorted runs, written rarely and bit by bit.
//!
//! ```text
//! level 0   one row, which takes the ids of each fold
//! level 1   up to 8 rows, sorted            when a level is full, one row moves down: it is merged with the rows of
//! level 2   up to 64 rows, sorted           the next level that cover its keys
//! …
//! ```
//!
//! A look-up reads one row of each level. Level 0 is in memory. In each further level an id is written some eight
//! times, with a thousand others.
//!
//! An entry has 48 bits of the id, its key, and the number of its block. Ids may have equal keys: then a look-up reads a
//! block in vain. Entries of deleted blocks are dropped when their row is written, or by [`Runs::sweep`].

use crate::blocks::rows::{Row, RowRead, RowWrites};
use crate::codec::{Reader, Writer};
use crate::formats;
use crate::vocabulary::id::EventId;

/// The most entries that a row should have.
const ENTRIES: usize = 1024;
/// How many times as many rows a level may have as the one above it.
const FANOUT: u64 = 8;
/// The bits and bytes of a key.
const KEY_BITS: u32 = 48;
const KEY: usize = 6;
const LAST_KEY: u64 = (1 << KEY_BITS) - 1;
/// The bytes of an entry: five for the block's number.
const ENTRY: usize = KEY + 5;
/// The last level whose rows have numbers that JavaScript holds exactly. It has room for 10^28 rows.
const LAST_LEVEL: u64 = 31;
/// Each hour's sweep reads this part of all rows, so a week's sweeps read nearly all of them.
const SWEEPS: u64 = 7 * 24;

/// A key and the number of a block, both with their highest byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry([u8; ENTRY]);

impl Entry {
    pub(crate) fn new(id: EventId, block: u64) -> Self {
        let mut entry = [0; ENTRY];
        let number = u128::from(key(id)) << (8 * (ENTRY - KEY)) | u128::from(block & BLOCKS);
        entry.iter_mut().zip(number.to_be_bytes().iter().skip(16 - ENTRY)).for_each(|(byte, of)| *byte = *of);
        Self(entry)
    }

    fn key(self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes) >> (64 - KEY_BITS))
    }

    /// Entries are sorted by this.
    fn order(&self) -> (u64, u64) {
        (self.key(), self.block())
    }

    fn block(self) -> u64 {
        self.0.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes) & BLOCKS)
    }
}

/// The bits of an entry that hold the block's number.
const BLOCKS: u64 = (1 << (8 * (ENTRY - KEY))) - 1;

fn key(id: EventId) -> u64 {
    id.low_bits() & LAST_KEY
}

/// The index, as far as it is in memory: its first row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// The entries of level 0, sorted.
    young: Vec<Entry>,
    /// How many rows level 1 has, and each level after it.
    levels: Vec<u64>,
}

/// The numbers of a level's rows whose first keys are in this range.
fn numbers(level: usize, from: u64, until: u64) -> (u64, u64) {
    let level = (level as u64).min(LAST_LEVEL) << KEY_BITS;
    (level | from, level | until)
}

/// Reads a level's rows forwards.
fn forwards(level: usize, from: u64, until: u64, limit: u32) -> RowRead {
    let (from, until) = numbers(level, from, until);
    RowRead { from, until, is_backwards: false, limit }
}

/// Reads the only row of a level that may have this key.
fn row_with(level: usize, key: u64) -> RowRead {
    let (from, until) = numbers(level, 0, key);
    RowRead { from, until, is_backwards: true, limit: 1 }
}

impl Runs {
    /// The number of the row that [`Runs::read`] reads.
    pub(crate) const FIRST_ROW: u64 = 0;

    /// Reads the first row.
    pub(crate) fn read(row: &[u8]) -> Option<Self> {
        let mut reader = Reader(row);
        let mut levels = Vec::new();
        reader.byte().filter(|version| *version == formats::RUN)?;
        for _ in 0..reader.small::<u64>()? {
            levels.push(reader.small()?);
        }
        Some(Self { young: entries(reader.0)?, levels })
    }

    /// The index if its first row can't be read. The number of levels and the counts of their rows are guesses, and
    /// high enough for every look-up. The ids of level 0 are lost.
    pub(crate) fn of_unknown() -> Self {
        Self { young: Vec::new(), levels: vec![1; 8] }
    }

    /// The first row.
    pub(crate) fn to_row(&self) -> Row {
        row_of(Self::FIRST_ROW, &self.levels, &self.young)
    }

    /// The blocks that may have the id, as far as level 0 knows.
    pub(crate) fn young(&self, id: EventId) -> impl Iterator<Item = u64> {
        with_key(&self.young, key(id))
    }

    /// Reads the rows of the other levels that may have the id. The counts of rows may be guesses, so no level is
    /// skipped.
    pub(crate) fn reads(&self, id: EventId) -> impl Iterator<Item = RowRead> {
        (1..=self.levels.len()).map(move |level| row_with(level, key(id)))
    }

    /// Takes in the ids of a fold.
    pub(crate) fn add(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.young.extend(entries);
        self.young.sort_unstable_by_key(Entry::order);
        self.young.dedup();
    }

    /// Picks a row to move down from the first overfull level. `salt`, another number each time, picks pseudo-randomly,
    /// so that no range of keys is always chosen.
    pub(crate) fn spill(&self, salt: u64) -> Option<Spill> {
        if self.young.len() > ENTRIES {
            return Some(Spill::of(0, Self::FIRST_ROW, self.young.clone()));
        }
        let has_too_much = |(level, rows): (u32, &u64)| *rows > FANOUT.saturating_pow(level);
        let level = 1 + (1..).zip(&self.levels).position(has_too_much)?;
        let pick = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - KEY_BITS);
        let stage = Stage::Source(forwards(level, pick, LAST_KEY, 1));
        Some(Spill { level, pick, stage, ..Spill::of(level, Self::FIRST_ROW, Vec::new()) })
    }

    /// Moves a spill's row down by one level. Drops entries of deleted blocks: those before `oldest`.
    pub(crate) fn merge(&mut self, spill: Spill, oldest: u64) -> RowWrites {
        let Spill { level, source, entries, targets, .. } = spill;
        let mut all = entries;
        // A row that can't be read is given up, so that it stops no fold.
        targets.iter().filter_map(|row| of_row(&row.bytes)).for_each(|entries| all.extend(entries));
        all.retain(|entry| entry.block() >= oldest);
        all.sort_unstable_by_key(Entry::order);
        all.dedup();
        let mut writes = RowWrites { gone: Vec::new(), rows: rows_of(level + 1, &all).collect() };
        let is_put = |number: u64| writes.rows.iter().any(|row| row.number == number);
        writes.gone = targets.iter().map(|row| row.number).filter(|number| !is_put(*number)).collect();
        let (put, gone) = (writes.rows.len() as u64, targets.len() as u64);
        self.count(level + 1, |rows| (rows + put).saturating_sub(gone));
        match source {
            _ if level == 0 => self.young.clear(),
            // The level has no rows, so they were counted wrong.
            Self::FIRST_ROW => self.count(level, |_| 0),
            number => {
                writes.gone.push(number);
                self.count(level, |rows| rows.saturating_sub(1));
            }
        }
        writes
    }

    /// Changes the count of a level's rows.
    fn count(&mut self, level: usize, count: impl FnOnce(u64) -> u64) {
        if self.levels.len() < level {
            self.levels.resize(level, 0);
        }
        if let Some(rows) = level.checked_sub(1).and_then(|above| self.levels.get_mut(above)) {
            *rows = count(*rows);
        }
    }

    /// Which rows to sweep in this hour.
    pub(crate) fn sweep_reads(&self, hour: u64) -> impl Iterator<Item = RowRead> {
        let begin = |sweep| sweep * (LAST_KEY / SWEEPS + 1);
        let (from, until) = (begin(hour % SWEEPS), begin(hour % SWEEPS + 1).min(LAST_KEY + 1) - 1);
        (1..=self.levels.len()).map(move |level| forwards(level, from, until, u32::MAX))
    }

    /// Cleans rows in which more than half the entries are of deleted blocks: those before `oldest`.
    pub(crate) fn sweep(&mut self, rows: &[Row], oldest: u64) -> RowWrites {
        let is_live = |entry: &Entry| entry.block() >= oldest;
        let is_due = |entries: &[Entry]| 2 * entries.iter().filter(|entry| is_live(entry)).count() < entries.len();
        let mut writes = RowWrites::default();
        let mut is_changed = is_due(&self.young);
        for row in rows {
            let Some(mut entries) = of_row(&row.bytes).filter(|entries| is_due(entries)) else { continue };
            entries.retain(is_live);
            if entries.is_empty() {
                writes.gone.push(row.number);
                self.count((row.number >> KEY_BITS) as usize, |rows| rows.saturating_sub(1));
                is_changed = true;
            } else {
                // The row keeps its number: that need not be its first key.
                writes.rows.push(row_of(row.number, &[], &entries));
            }
        }
        if is_changed {
            self.young.retain(is_live);
            writes.rows.push(self.to_row());
        }
        writes
    }
}

/// A row on its way to the next level.
#[derive(Clone, Debug)]
pub struct Spill {
    level: usize,
    /// The row at or after this key moves. If there is none, the level's first row does.
    pick: u64,
    stage: Stage,
    /// The number of the row that moves, once it is found, and its entries.
    source: u64,
    entries: Vec<Entry>,
    /// The rows of the next level that are merged with it.
    targets: Vec<Row>,
}

/// What a spill reads next.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The row that moves.
    Source(RowRead),
    /// The row that moves, from the level's start on, because there is none at or after the key.
    SourceFromStart(RowRead),
    /// The row of the next level that may have the first key.
    First(RowRead),
    /// The rows of the next level that may have the other keys.
    Others(RowRead),
    Over,
}

impl Spill {
    fn of(level: usize, source: u64, entries: Vec<Entry>) -> Self {
        let stage = entries.first().map_or(Stage::Over, |first| Stage::First(row_with(level + 1, first.key())));
        Self { level, pick: 0, stage, source, entries, targets: Vec::new() }
    }

    /// What to read next. `None` if all is read.
    pub fn read(&self) -> Option<RowRead> {
        match self.stage {
            Stage::Source(read) | Stage::SourceFromStart(read) | Stage::First(read) | Stage::Others(read) => Some(read),
            Stage::Over => None,
        }
    }

    /// Takes in the rows that were read.
    pub fn take(&mut self, rows: Vec<Row>) {
        match (self.stage, rows.first()) {
            (Stage::Source(_), None) => self.stage = Stage::SourceFromStart(forwards(self.level, 0, self.pick, 1)),
            (Stage::Source(_) | Stage::SourceFromStart(_), Some(row)) => {
                *self = Self::of(self.level, row.number, of_row(&row.bytes).unwrap_or_default());
            }
            (Stage::First(_), _) => {
                let keys = self.entries.first().zip(self.entries.last());
                let (first, last) = keys.map_or((0, 0), |(first, last)| (first.key(), last.key()));
                let others = (first < last).then(|| forwards(self.level + 1, first + 1, last, u32::MAX));
                (self.targets, self.stage) = (rows, others.map_or(Stage::Over, Stage::Others));
            }
            (Stage::Others(_), _) => {
                self.targets.extend(rows);
                self.stage = Stage::Over;
            }
            (Stage::SourceFromStart(_) | Stage::Over, _) => self.stage = Stage::Over,
        }
    }
}

/// The blocks that may have these ids, according to a row, each with the id.
pub(crate) fn named_in(row: &[u8], ids: &[EventId]) -> Option<Vec<(u64, EventId)>> {
    let entries = of_row(row)?;
    Some(ids.iter().flat_map(|id| with_key(&entries, key(*id)).map(|block| (block, *id))).collect())
}

/// True for the bytes of a row of level 1 or further.
pub(crate) fn is_row(row: &[u8]) -> bool {
    matches!(row, [formats::RUN, 0, rest @ ..] if rest.len().is_multiple_of(ENTRY))
}

/// True if the row with this number is the one of its level that may have the id. `rows` are all that were read.
pub(crate) fn is_told_by(number: u64, rows: &[Row], id: EventId) -> bool {
    let last = number >> KEY_BITS << KEY_BITS | key(id);
    number <= last && !rows.iter().any(|row| number < row.number && row.number <= last)
}

fn with_key(entries: &[Entry], key: u64) -> impl Iterator<Item = u64> {
    let from = entries.partition_point(|entry| entry.key() < key);
    entries.iter().skip(from).take_while(move |entry| entry.key() == key).map(|entry| entry.block())
}

/// The entries of a row of level 1 or further.
fn of_row(row: &[u8]) -> Option<Vec<Entry>> {
    match row {
        [formats::RUN, 0, rest @ ..] => entries(rest),
        _ => None,
    }
}

fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (entries, rest) = bytes.as_chunks();
    rest.is_empty().then(|| entries.iter().map(|entry| Entry(*entry)).collect())
}

/// Layout: the version; the number of levels that are counted, and their rows, in the first row alone; entries.
fn row_of(number: u64, levels: &[u64], entries: &[Entry]) -> Row {
    let mut writer = Writer(vec![formats::RUN]);
    writer.length(levels.len());
    levels.iter().for_each(|rows| writer.unsigned(*rows));
    entries.iter().for_each(|Entry(entry)| writer.0.extend_from_slice(entry));
    Row { number, bytes: writer.0 }
}

/// Rows of about equal size. Equal keys stay in one row, so that a look-up reads one.
fn rows_of(level: usize, entries: &[Entry]) -> impl Iterator<Item = Row> {
    let size = entries.len().div_ceil(entries.len().div_ceil(ENTRIES).max(1));
    let mut rest = entries;
    std::iter::from_fn(move || {
        let (first, last) = (rest.first()?, rest.get(size.saturating_sub(1)).or(rest.last())?);
        let (row, others) = rest.split_at(rest.partition_point(|entry| entry.key() <= last.key()));
        rest = others;
        let (number, _) = numbers(level, first.key(), 0);
        Some(row_of(number, &[], row))
    })
}
