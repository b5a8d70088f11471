//! Events in a shard: rows of blocks, and rows of the index of their ids. Core says what to read and write.
//!
//! Shards of older versions have a table `events` with a row for each event. It is read until its last event has
//! expired.

use isotherm_core::{
    BlockRow, BlockWrite, BlockWrites, Blocks, EventId, ExpiryOrder, Keep, Kept, Known, Load, Row, RowRead, RowWrites,
    Search, Seconds, StoredBlocks,
};
use worker::{Error, Result, SqlStorage, SqlStorageValue, console_error};

use crate::database::{blob, columns, first, integer, other_row, whole};

const WATERMARK: &str = "SELECT page FROM rollups WHERE key = ''";

const HAS_EVENTS: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'events'";

const LAST_EVENT: &str = "SELECT coalesce(max(seq), 0) FROM events";

const OPEN: &str = "SELECT seq, count, expires_at, bytes FROM blocks WHERE seq > ? ORDER BY seq";

const BLOCK: &str = "SELECT seq, count, expires_at, bytes FROM blocks WHERE seq = ?";

const APPEND: &str = "UPDATE blocks SET count = count + ?2, bytes = CAST(bytes || ?3 AS BLOB) WHERE seq = ?1";

const PUT_BLOCK: &str = "INSERT OR REPLACE INTO blocks (seq, count, expires_at, bytes) VALUES (?, ?, ?, ?)";

const DELETE_BLOCK: &str = "DELETE FROM blocks WHERE seq = ?";

const OLDEST: &str = "SELECT coalesce((SELECT min(seq) FROM blocks), ?)";

const BYTES: &str = "SELECT coalesce(sum(octet_length(bytes)), 0) FROM blocks WHERE seq BETWEEN ? AND ?";

/// Events expire roughly in the order in which they came, so only the oldest blocks are checked.
const OLDEST_BLOCKS: &str = "SELECT seq, count, expires_at FROM blocks ORDER BY seq";

/// Made once events of some types are kept longer than others, and kept for good. Open blocks, which have no time, cost it nothing.
const BY_EXPIRY: &str =
    "CREATE INDEX IF NOT EXISTS blocks_by_expiry ON blocks (expires_at) WHERE expires_at IS NOT NULL";

const FIRST_TO_EXPIRE: &str = "SELECT seq, count, expires_at FROM blocks INDEXED BY blocks_by_expiry
    WHERE expires_at IS NOT NULL ORDER BY expires_at";

const FORWARDS: &str = "SELECT number, bytes FROM runs WHERE number BETWEEN ? AND ? ORDER BY number LIMIT ?";

const BACKWARDS: &str = "SELECT number, bytes FROM runs WHERE number BETWEEN ? AND ? ORDER BY number DESC LIMIT ?";

const PUT_RUN: &str = "INSERT OR REPLACE INTO runs (number, bytes) VALUES (?, ?)";

const DELETE_RUN: &str = "DELETE FROM runs WHERE number = ?";

/// Events in rows with one of these ids.
const ROWS: &str =
    "SELECT json_group_array(json_object('id', id, 'digest', digest, 'expires_at', expires_at, 'is_folded',
        json(iif(seq <= ?2, 'true', 'false'))))
    FROM events WHERE id IN (SELECT value FROM json_each(?1))";

const FIND_ROW: &str = "SELECT record FROM events WHERE id = ? AND expires_at > ?";

const EXPIRE_ROWS: &str = "DELETE FROM events WHERE seq IN (
    SELECT seq FROM (SELECT seq, expires_at FROM events ORDER BY seq LIMIT ?) WHERE expires_at <= ?)
    AND seq <= ? RETURNING 1";

/// Reads what the shard has in memory.
pub(crate) fn load(sql: &SqlStorage) -> Result<Blocks> {
    let watermark = watermark(sql)?;
    let last_row = if number(sql, HAS_EVENTS, vec![])? > 0 { number(sql, LAST_EVENT, vec![])? } else { 0 };
    let index =
        rows(sql, &RowRead { from: Blocks::FIRST_ROW, until: Blocks::FIRST_ROW, is_backwards: false, limit: 1 })?;
    let open = open(sql, watermark, usize::MAX, usize::MAX)?;
    let index = index.into_iter().next().map(|row| row.bytes);
    Ok(Blocks::new(&StoredBlocks { watermark, last_row, index, open }))
}

/// The number of the last folded event. Fails if what is stored there is no integer: from any other number, events would
/// be folded twice or not at all.
pub(crate) fn watermark(sql: &SqlStorage) -> Result<u64> {
    match sql.exec(WATERMARK, None)?.raw().next().transpose()?.map(columns).transpose()? {
        None => Ok(0),
        Some([SqlStorageValue::Integer(number)]) => Ok(number.try_into().unwrap_or_default()),
        Some(_) => Err(Error::RustError("the watermark, the page of rollups with no key, is no integer".to_owned())),
    }
}

/// Keeps the new events of a part. Returns their load too.
pub(crate) fn keep(sql: &SqlStorage, blocks: &mut Blocks, keep: &Keep<'_>) -> Result<(Kept, Load)> {
    let search = blocks.repeated(keep);
    let (index, closed) = read(sql, &search)?;
    let mut found = search.known(&index, &closed);
    for damaged in &found.damaged {
        console_error!("isotherm: {damaged}: new events that it may tell of are refused for now");
    }
    if blocks.has_rows() && !search.ids().is_empty() {
        let ids = serde_json::to_string(search.ids())?;
        let [SqlStorageValue::String(rows)] = columns(first(sql, ROWS, vec![ids.into(), integer(watermark(sql)?)])?)?
        else {
            return Err(other_row());
        };
        found.known.extend(serde_json::from_str::<Vec<Known>>(&rows)?);
    }
    let (kept, write) = blocks.keep(keep, &found);
    let Some(BlockWrite { seq, is_new, count, bytes, load }) = write else { return Ok((kept, Load::default())) };
    if is_new {
        put(sql, BlockRow { seq, count, expires_at: None, bytes })?;
    } else {
        sql.exec(APPEND, vec![integer(seq), integer(count), bytes.into()])?;
    }
    Ok((kept, load))
}

/// The record of an event that has not expired by this time.
pub(crate) fn find(sql: &SqlStorage, blocks: &Blocks, id: EventId, expired_by: Seconds) -> Result<Option<String>> {
    let search = blocks.find(id);
    let (index, closed) = read(sql, &search)?;
    let record = search.record(&index, &closed, expired_by).map_err(|error| Error::RustError(error.to_string()));
    if matches!(record, Ok(Some(_))) || !blocks.has_rows() {
        return record;
    }
    let row = sql.exec(FIND_ROW, vec![id.to_string().into(), integer(expired_by.0)])?.raw().next().transpose()?;
    match row.map(columns).transpose()? {
        Some([SqlStorageValue::String(record)]) => Ok(Some(record)),
        Some(_) => Err(other_row()),
        None => record,
    }
}

/// The rows of the index that a search reads, and the blocks that they name.
fn read(sql: &SqlStorage, search: &Search) -> Result<(Vec<Row>, Vec<BlockRow>)> {
    let mut index = Vec::new();
    for read in search.reads() {
        index.extend(rows(sql, read)?);
        // Neighbouring ids are in one row.
        index.dedup_by_key(|row: &mut Row| row.number);
    }
    let mut found = Vec::new();
    for seq in search.blocks(&index) {
        let row = sql.exec(BLOCK, vec![integer(seq)])?.raw().next().transpose()?;
        found.extend(row.map(block).transpose()?);
    }
    Ok((index, found))
}

/// The blocks behind the watermark: no more once they have so many events or bytes.
pub(crate) fn open(sql: &SqlStorage, watermark: u64, events: usize, bytes: usize) -> Result<Vec<BlockRow>> {
    let (mut open, mut count, mut length) = (Vec::new(), 0, 0);
    for row in sql.exec(OPEN, vec![integer(watermark)])?.raw() {
        let row = block(row?)?;
        count += row.count as usize;
        length += row.bytes.len();
        open.push(row);
        if count >= events || length >= bytes {
            break;
        }
    }
    Ok(open)
}

/// How many bytes the blocks between these numbers have.
pub(crate) fn length(sql: &SqlStorage, from: u64, until: u64) -> Result<u64> {
    number(sql, BYTES, vec![integer(from), integer(until)])
}

/// Writes what a fold has closed, and the index.
pub(crate) fn write(
    sql: &SqlStorage,
    blocks: &mut Blocks,
    BlockWrites { gone, rows: closed, .. }: BlockWrites,
) -> Result<()> {
    for seq in gone {
        sql.exec(DELETE_BLOCK, vec![integer(seq)])?;
    }
    for row in closed {
        put(sql, row)?;
    }
    let oldest = oldest(sql, blocks)?;
    while let Some(mut spill) = blocks.spill() {
        while let Some(read) = spill.read() {
            spill.take(rows(sql, &read)?);
        }
        put_runs(sql, blocks.merge(spill, oldest))?;
    }
    put_runs(sql, RowWrites { gone: Vec::new(), rows: vec![blocks.index()] })
}

/// Deletes events that expire by `until`, among the first `among`, rounded up to a whole block. Clears the index
/// of them. Returns how many events are deleted.
pub(crate) fn expire(
    sql: &SqlStorage,
    blocks: &mut Blocks,
    until: Seconds,
    among: usize,
    order: ExpiryOrder,
) -> Result<usize> {
    let first = match order {
        ExpiryOrder::Arrival => OLDEST_BLOCKS,
        ExpiryOrder::Time => {
            sql.exec(BY_EXPIRY, None)?;
            FIRST_TO_EXPIRE
        }
    };
    let (mut seen, mut deleted, mut expired) = (0, 0, Vec::new());
    for row in sql.exec(first, None)?.raw() {
        let [seq, count, expires_at] = columns(row?)?;
        let count = whole(count) as usize;
        // A block that is not closed has no time.
        if matches!(expires_at, SqlStorageValue::Integer(at) if at.unsigned_abs() <= until.0) {
            expired.push(seq);
            deleted += count;
        }
        seen += count;
        if seen >= among {
            break;
        }
    }
    // One statement for all would count the rows that it finds as written, too.
    for seq in expired {
        sql.exec(DELETE_BLOCK, vec![seq])?;
    }
    if blocks.has_rows() {
        let bindings = vec![integer(among as u64), integer(until.0), integer(watermark(sql)?)];
        deleted += sql.exec(EXPIRE_ROWS, bindings)?.raw().count();
    }
    let mut swept = Vec::new();
    for read in blocks.sweep_reads(until) {
        swept.extend(rows(sql, &read)?);
    }
    let oldest = oldest(sql, blocks)?;
    put_runs(sql, blocks.sweep(&swept, oldest))?;
    Ok(deleted)
}

/// The number of the oldest block; if there is none, that of the next event.
fn oldest(sql: &SqlStorage, blocks: &Blocks) -> Result<u64> {
    number(sql, OLDEST, vec![integer(blocks.watermark() + 1)])
}

fn rows(sql: &SqlStorage, read: &RowRead) -> Result<Vec<Row>> {
    let statement = if read.is_backwards { BACKWARDS } else { FORWARDS };
    let mut rows = Vec::new();
    for row in sql.exec(statement, vec![integer(read.from), integer(read.until), integer(read.limit.into())])?.raw() {
        let [number, bytes] = columns(row?)?;
        rows.push(Row { number: whole(number), bytes: blob(bytes) });
    }
    Ok(rows)
}

fn put_runs(sql: &SqlStorage, RowWrites { gone, rows }: RowWrites) -> Result<()> {
    for number in gone {
        sql.exec(DELETE_RUN, vec![integer(number)])?;
    }
    for Row { number, bytes } in rows {
        sql.exec(PUT_RUN, vec![integer(number), bytes.into()])?;
    }
    Ok(())
}

fn put(sql: &SqlStorage, BlockRow { seq, count, expires_at, bytes }: BlockRow) -> Result<()> {
    let expires_at = expires_at.map_or(SqlStorageValue::Null, |Seconds(at)| integer(at));
    sql.exec(PUT_BLOCK, vec![integer(seq), integer(count), expires_at, bytes.into()]).map(drop)
}

pub(crate) fn block(row: Vec<SqlStorageValue>) -> Result<BlockRow> {
    let [seq, count, expires_at, bytes] = columns(row)?;
    let expires_at = match expires_at {
        SqlStorageValue::Integer(at) => Some(Seconds(at.unsigned_abs())),
        _ => None,
    };
    Ok(BlockRow { seq: whole(seq), count: whole(count), expires_at, bytes: blob(bytes) })
}

fn number(sql: &SqlStorage, statement: &str, bindings: Vec<SqlStorageValue>) -> Result<u64> {
    let [number] = columns(first(sql, statement, bindings)?)?;
    Ok(whole(number))
}
