//! Parts: events that came together, as bytes that are sent and appended to a block that is still open.
//!
//! ```text
//! part          version · length of the rest · events
//! event         head · length of names · names · length of the rest · properties, or a whole record
//! open block    part · part · …
//! ```

use std::cmp::Ordering;

use crate::blocks::event::{BlockEvent, Heads, Text};
use crate::codec::{Reader, Writer};
use crate::formats;

/// Appends a part with these events.
pub(crate) fn write<'e, 'a: 'e>(events: impl Iterator<Item = &'e BlockEvent<'a>>, to: &mut Vec<u8>) {
    let mut writer = Writer::default();
    let mut heads = Heads::default();
    for BlockEvent { head, text } in events {
        heads.write(head, &mut writer);
        text.stored().into_iter().for_each(|text| writer.text(text));
    }
    let mut part = Writer(vec![formats::PART]);
    part.bytes(&writer.0);
    to.append(&mut part.0);
}

/// The events of these parts. If something can't be read, the events before it come with what is left of the bytes.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<BlockEvent<'_>>, (Vec<BlockEvent<'_>>, &[u8])> {
    let mut events = Vec::new();
    let mut rest = Reader(bytes);
    while !rest.is_empty() {
        let part = rest.0;
        if read_part(&mut rest, &mut events).is_none() {
            return Err((events, part));
        }
    }
    Ok(events)
}

/// Reads an open block that should have `count` events. The second value is `None` if the block is sound. Otherwise it is
/// the bytes that can't be read. They are empty if events are only missing.
pub(crate) fn read_block(bytes: &[u8], count: u64) -> (Vec<BlockEvent<'_>>, Option<&[u8]>) {
    let (events, rest) = match read(bytes) {
        Ok(events) => (events, &[][..]),
        Err(read) => read,
    };
    match (events.len() as u64).cmp(&count) {
        Ordering::Equal if rest.is_empty() => (events, None),
        Ordering::Less | Ordering::Equal => (events, Some(rest)),
        // The events beyond the count would have the numbers of the next block's.
        Ordering::Greater => (Vec::new(), Some(bytes)),
    }
}

/// Reads one part as a whole or not at all.
fn read_part<'a>(rest: &mut Reader<'a>, events: &mut Vec<BlockEvent<'a>>) -> Option<()> {
    let before = events.len();
    let mut read = || {
        rest.byte().filter(|version| *version == formats::PART)?;
        let mut part = Reader(rest.bytes()?);
        let mut heads = Heads::default();
        while !part.is_empty() {
            let head = heads.read(&mut part)?;
            events.push(BlockEvent { head, text: Text::of_stored([part.text()?, part.text()?]) });
        }
        Some(())
    };
    let read = read();
    if read.is_none() {
        events.truncate(before);
    }
    read
}
