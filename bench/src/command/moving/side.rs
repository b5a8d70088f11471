//! One side of a comparison of events: an id and a hash for each event, in files.
//!
//! ```text
//! events ─▶ Side: 64 files by the event's id ─▶ Ids of one file at a time, sorted, each once
//! ```
//!
//! One file at a time is in memory, so a comparison takes the memory of a 64th of the events.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};

use anyhow::{Context, Result};
use isotherm_core::{Digest, EventId, Millis, NewEvent, Seconds, digests_of_record};

use super::lines::EventLine;
use super::manifest::bits_of;

/// How many files there are.
pub(super) const FILES: usize = 64;
/// Bytes of an event: id, bits, time of receipt, expiry.
const BYTES: usize = ID + 16 + 8 + 8;
/// Characters of an id.
const ID: usize = 30;

/// The part of an event that is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) id: [u8; ID],
    /// A hash of its record.
    pub(super) bits: u128,
    pub(super) received_at: Millis,
    pub(super) expires_at: Seconds,
}

/// The events of one side.
pub(super) struct Side {
    files: Vec<BufWriter<File>>,
    /// Events whose digest does not follow from their record.
    pub(super) unchecked: u64,
    /// When the newest event was received.
    pub(super) newest: Millis,
}

impl Side {
    /// An empty side, in temporary files without a name.
    pub(super) fn new() -> Result<Self> {
        let file = || Ok(BufWriter::new(tempfile::tempfile().context("cannot make a temporary file")?));
        let files = (0..FILES).map(|_| file()).collect::<Result<_>>()?;
        Ok(Self { files, unchecked: 0, newest: Millis(0) })
    }

    /// Adds an event of an export.
    pub(super) fn exported(&mut self, line: &EventLine<'_>) -> Result<()> {
        let record = line.record.get();
        let digest: Digest = line.digest.parse().ok().context("a line of an export has no digest")?;
        let event = NewEvent::of_record(record.to_owned(), digest, Seconds(line.expires_at));
        let event = event.context("a record of an export is no event")?;
        let is_checked = digests_of_record(record).is_some_and(|digests| digests.contains(&digest));
        self.unchecked += u64::from(!is_checked);
        self.add(&event)
    }

    /// Adds an event.
    pub(super) fn add(&mut self, NewEvent { id, received_at, expires_at, record, .. }: &NewEvent) -> Result<()> {
        self.newest = self.newest.max(*received_at);
        let id = bytes_of(*id)?;
        let mut bytes = [0; BYTES];
        let bits = bits_of(&[record.as_bytes()]);
        let parts: [&[u8]; 4] = [&id, &bits.to_be_bytes(), &received_at.0.to_be_bytes(), &expires_at.0.to_be_bytes()];
        for (to, from) in bytes.iter_mut().zip(parts.concat()) {
            *to = from;
        }
        let at = id.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.files[at % FILES].write_all(&bytes).context("cannot write a temporary file")
    }

    /// The events of one file, in the order of their ids, each once.
    pub(super) fn events(&mut self, at: usize) -> Result<Vec<Seen>> {
        let cannot = "cannot read a temporary file";
        let file = &mut self.files[at];
        file.flush().context("cannot write a temporary file")?;
        let mut file = BufReader::new(file.get_mut());
        file.rewind().context(cannot)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).context(cannot)?;
        let mut events: Vec<_> = bytes.chunks_exact(BYTES).filter_map(Seen::of).collect();
        events.sort_unstable();
        events.dedup_by(|next, kept| (next.id, next.bits) == (kept.id, kept.bits));
        Ok(events)
    }
}

impl Seen {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (bits, rest) = rest.split_first_chunk()?;
        let (received_at, rest) = rest.split_first_chunk()?;
        let expires_at = rest.first_chunk()?;
        Some(Self {
            id: *id,
            bits: u128::from_be_bytes(*bits),
            received_at: Millis(u64::from_be_bytes(*received_at)),
            expires_at: Seconds(u64::from_be_bytes(*expires_at)),
        })
    }

    /// The event's id.
    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.id).into_owned()
    }
}

fn bytes_of(id: EventId) -> Result<[u8; ID]> {
    id.to_string().into_bytes().try_into().ok().context("an id is as long as no other")
}
