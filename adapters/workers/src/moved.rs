//! Data of a shard on the way to another service, or from one.

use isotherm_core::{
    Asked, Export, Millis, Moving, NewEvent, OpenBlocks, Place, ReportData, Seconds, StoredPage, folded_events,
};
use worker::{Result, SqlStorage, SqlStorageValue, console_error};

use crate::blocks;
use crate::database::{blob, columns, integer, other_row, whole};
use crate::rollups;

const PAGES: &str = "SELECT key, page FROM rollups WHERE key > ? ORDER BY key";

/// Blocks of folded events.
const BLOCKS: &str = "SELECT seq, count, expires_at, bytes FROM blocks WHERE seq > ? AND seq <= ? ORDER BY seq";

/// Folded events of older versions. They are numbered before all blocks.
const ROWS: &str = "SELECT seq, id, digest, occurred_at, received_at, expires_at, record FROM events
    WHERE seq > ? AND seq <= ? ORDER BY seq";

/// Reads the next lines of an export of one of `shards` shards, as of one moment. They are empty if the cursor is
/// unknown.
pub(crate) fn export(sql: &SqlStorage, shards: u32, has_rows: bool, asked: &[u8]) -> Result<String> {
    let asked = Asked::from_bytes(asked).ok_or_else(other_row)?;
    let watermark = blocks::watermark(sql)?;
    let mut export = asked.begin();
    match asked.what {
        Moving::Events => {
            let Some(after) = asked.number() else { return Ok(String::new()) };
            if has_rows {
                rows(sql, &mut export, after, watermark)?;
            }
            for row in sql.exec(BLOCKS, vec![integer(after), integer(watermark)])?.raw() {
                if export.is_full() {
                    break;
                }
                let block = blocks::block(row?)?;
                match folded_events(&block) {
                    Ok(events) => events.iter().for_each(|event| export.event(event, block.seq)),
                    Err(unreadable) => {
                        console_error!("isotherm: an export leaves events out: {unreadable}");
                        export.leave_out(block.count);
                    }
                }
            }
        }
        Moving::Rollups => {
            // The watermark is under the empty key.
            for row in sql.exec(PAGES, vec![asked.after.as_str().into()])?.raw() {
                if export.is_full() {
                    break;
                }
                let [SqlStorageValue::String(key), page] = columns(row?)? else {
                    console_error!("isotherm: an export leaves out a page: its key is no text");
                    continue;
                };
                let page = StoredPage { key, bytes: blob(page) };
                export.page(&page, &page.key);
            }
        }
    }
    let oldest = blocks::open(sql, watermark, 1, 1)?;
    let folded_to = OpenBlocks::new(oldest).received_at().unwrap_or(asked.received_at);
    Ok(export.end(Place { parts: shards, folded_to, is_ordered: true, more: None }))
}

fn rows(sql: &SqlStorage, export: &mut Export, after: u64, watermark: u64) -> Result<()> {
    for row in sql.exec(ROWS, vec![integer(after), integer(watermark)])?.raw() {
        if export.is_full() {
            break;
        }
        let [seq, rest @ ..] = columns::<7>(row?)?;
        let seq = whole(seq);
        match event_of(rest) {
            Some(event) => export.event(&event, seq),
            None => {
                console_error!("isotherm: an export leaves out event {seq}: its row is damaged");
                export.leave_out(1);
            }
        }
    }
    Ok(())
}

/// The event of a row; `None` if a column is damaged.
fn event_of([id, digest, occurred_at, received_at, expires_at, record]: [SqlStorageValue; 6]) -> Option<NewEvent> {
    let text = |value| match value {
        SqlStorageValue::String(text) => Some(text),
        _ => None,
    };
    let time = |value| match value {
        SqlStorageValue::Integer(time) => Some(time.unsigned_abs()),
        _ => None,
    };
    Some(NewEvent {
        id: text(id)?.parse().ok()?,
        digest: text(digest)?.parse().ok()?,
        occurred_at: Millis(time(occurred_at)?),
        received_at: Millis(time(received_at)?),
        expires_at: Seconds(time(expires_at)?),
        record: text(record)?,
    })
}

/// Keeps another service's pages.
pub(crate) fn import(sql: &SqlStorage, data: &[u8]) -> Result<()> {
    rollups::write(sql, ReportData::from_bytes(data).ok_or_else(other_row)?.pages)
}
