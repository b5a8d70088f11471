//! Folding for stores that hand their changes over as a stream: in batches, at least once, and each shard in order.
//!
//! A lane is what one shard of the stream is folded into. It has pages of its own, so that it has one writer, and reports add
//! the lanes up. Its watermark says which record is the last one in its pages, and moves in the transaction that writes them:
//! what is delivered again is not counted again. A record that is no event becomes a dead letter, and the ones after it go on.
//!
//! How far reports are complete is what all lanes that had a record lately are folded to. This relies on what DynamoDB and
//! Lambda say of streams: that a shard takes records for some hours only, so that one silent for a day is at its end; that
//! the records of a new shard are handed over after those of the shard it follows; and that no record is given up.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backup::Backup;
use crate::config::Tenant;
use crate::rollup::codec::{Reader, Writer};
use crate::rollup::fold::{Fold, StoredPage, UnreadablePage, UnreadableRecord};
use crate::rollup::key::KeyRange;
use crate::rollup::observation::Dimensions;
use crate::time::Millis;

/// How long a stream keeps its records.
const RETENTION_MS: u64 = 24 * 60 * 60 * 1000;
/// A lane that had no record for so long gets none any more.
const SILENCE_MS: u64 = 2 * RETENTION_MS;
/// Of a longer record, its letter has the beginning: with all its escapes it has to fit into a message.
const LETTER_BYTES: usize = 100_000;
const FOREIGN: &str = "the item is none of an event: something else writes to the store";

/// Records of one shard, in their order.
#[derive(Clone, Debug)]
pub struct StreamBatch<'a> {
    /// The shard's name.
    pub shard_id: &'a str,
    /// May be none.
    pub records: Vec<StreamRecord<'a>>,
    /// When this is known: all that was written to the shard before this moment is in this batch or in an earlier one.
    pub complete_to: Option<Millis>,
}

/// A change of the store of events.
#[derive(Clone, Copy, Debug)]
pub struct StreamRecord<'a> {
    /// Its place in the shard, a decimal number that only grows; it may have any number of digits.
    pub sequence_number: &'a str,
    /// Records before it were written at this moment or earlier, and those after it not before.
    pub written_at: Millis,
    /// What is new in the store; `None` where something is deleted or changed.
    pub item: Option<StreamItem<'a>>,
}

/// An item of the store of events, if it is one.
#[derive(Clone, Copy, Debug)]
pub struct StreamItem<'a> {
    /// What the store calls it, for a dead letter.
    pub key: Option<&'a str>,
    /// Whose event it is, as the key says.
    pub tenant: Option<&'a str>,
    /// What the item has as [`crate::NewEvent::record`].
    pub record: Option<&'a str>,
}

/// What a store takes in one transaction, beside a watermark.
#[derive(Clone, Copy, Debug)]
pub struct WriteLimits {
    /// Pages.
    pub pages: usize,
    /// Bytes of their keys and contents.
    pub bytes: usize,
}

impl WriteLimits {
    /// Whether it takes these.
    pub fn fit<'p>(&self, pages: impl Iterator<Item = &'p StoredPage>) -> bool {
        let (count, bytes) =
            pages.fold((0, 0), |(count, bytes), page| (count + 1, bytes + page.key.len() + page.bytes.len()));
        count <= self.pages && bytes <= self.bytes
    }
}

/// How far a lane is folded. Stored beside the lane's pages, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Of the last record in the pages; empty: of none.
    sequence_number: String,
    folded_to: Millis,
}

impl Watermark {
    const VERSION: u8 = 1;

    /// Of a lane that nothing is folded of.
    pub fn start() -> Self {
        Self { sequence_number: String::new(), folded_to: Millis(0) }
    }

    /// The one that is stored.
    ///
    /// # Errors
    /// [`UnreadablePage`] where the page is no watermark.
    pub fn read(stored: &StoredPage) -> Result<Self, UnreadablePage> {
        Self::parse(&stored.bytes).ok_or_else(|| UnreadablePage { key: stored.key.clone() })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.byte().filter(|version| *version == Self::VERSION)?;
        let folded_to = Millis(reader.small()?);
        Some(Self { sequence_number: reader.text()?.to_owned(), folded_to })
    }

    /// Version 1: the version; to when it is folded, milliseconds; the last record's number.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(Self::VERSION);
        writer.unsigned(self.folded_to.0);
        writer.text(&self.sequence_number);
        writer.0
    }

    /// How far reports over all lanes are complete, by their watermarks, at a moment.
    pub fn as_of(all: &[Self], received_at: Millis) -> Millis {
        let day_ago = Millis(received_at.0.saturating_sub(RETENTION_MS));
        all.iter().map(|lane| lane.folded_to).filter(|folded_to| *folded_to > day_ago).min().unwrap_or(day_ago)
    }

    /// Whether the lane gets no records any more, so that its watermark can be forgotten once its days are compacted.
    pub fn has_ended(&self, received_at: Millis) -> bool {
        self.folded_to.0.saturating_add(SILENCE_MS) <= received_at.0
    }

    /// Whether a record is in the pages already. Numbers of more digits are greater.
    fn covers(&self, record: &StreamRecord<'_>) -> bool {
        let (number, last) = (record.sequence_number, self.sequence_number.as_str());
        (number.len(), number) <= (last.len(), last)
    }
}

impl<'a> StreamBatch<'a> {
    /// The name of the shard's lane: FNV-1a of the shard's, 8 hexadecimal digits.
    pub fn lane(&self) -> String {
        let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        format!("{:08x}", self.shard_id.bytes().fold(0x811c_9dc5, hash))
    }

    /// How many of the records are in the lane's pages.
    pub fn folded(&self, watermark: &Watermark) -> usize {
        self.records.partition_point(|record| watermark.covers(record))
    }

    /// Objects for the raw backup. They are named after the batch, so that a replay overwrites itself; a batch that is cut
    /// another way the next time gives objects that repeat some events.
    pub fn backups(&self) -> Vec<Backup> {
        let ([first, ..], [.., last]) = (&self.records[..], &self.records[..]) else { return Vec::new() };
        let name = format!("{}-{}-{}", self.lane(), first.sequence_number, last.sequence_number);
        let (tenants, _foreign) = by_tenant(&self.records);
        let backup = |(tenant, records): (Tenant, Vec<(&StreamRecord<'_>, &str)>)| {
            Backup::of(tenant.as_str(), &name, records.into_iter().map(|(_, record)| record))
        };
        tenants.into_iter().map(backup).collect()
    }

    /// The next records behind the watermark, at most so many; `None` when there is nothing to write any more.
    pub(crate) fn step(
        &self,
        watermark: &Watermark,
        at_most: usize,
        limits: WriteLimits,
        dimensions: &Dimensions,
    ) -> Option<StreamStep> {
        let rest = &self.records[self.folded(watermark)..];
        if rest.is_empty() {
            return self.completion(watermark, limits);
        }
        let mut count = at_most.clamp(1, rest.len());
        loop {
            let step = self.step_of(&rest[..count], watermark, limits, dimensions)?;
            // Each range gets a page or more: of too many, nothing is worth reading.
            let ranges: usize = step.ranges().map(|(_, ranges)| ranges.len()).sum();
            if ranges <= limits.pages || count == 1 {
                return Some(step);
            }
            count /= 2;
        }
    }

    fn step_of(
        &self,
        records: &[StreamRecord<'_>],
        watermark: &Watermark,
        limits: WriteLimits,
        dimensions: &Dimensions,
    ) -> Option<StreamStep> {
        let StreamRecord { sequence_number, written_at, .. } = records.last()?;
        let folded_to = watermark.folded_to.max(*written_at);
        let watermark = Watermark { sequence_number: (*sequence_number).to_owned(), folded_to };
        let (tenants, foreign) = by_tenant(records);
        let mut letters: Vec<String> = foreign.into_iter().map(|record| self.letter(record, FOREIGN)).collect();
        let mut folds = Vec::new();
        for (tenant, events) in tenants {
            let fold = Fold::of_records(events.iter().map(|(_, record)| *record), dimensions);
            let letter = |(index, why): &(usize, UnreadableRecord)| self.letter(events[*index].0, &why.to_string());
            letters.extend(fold.unreadable().iter().map(letter));
            folds.push((tenant, fold));
        }
        Some(StreamStep { records: records.len(), folds, letters, watermark, limits })
    }

    /// Moves the watermark of a lane on when all its records are folded and no more can come for a time.
    fn completion(&self, watermark: &Watermark, limits: WriteLimits) -> Option<StreamStep> {
        let has_records = !watermark.sequence_number.is_empty();
        let folded_to = self.complete_to.filter(|to| has_records && *to > watermark.folded_to)?;
        let watermark = Watermark { folded_to, ..watermark.clone() };
        Some(StreamStep { records: 0, folds: Vec::new(), letters: Vec::new(), watermark, limits })
    }

    /// The dead letter of a record.
    fn letter(&self, record: &StreamRecord<'_>, reason: &str) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Letter<'a> {
            reason: &'a str,
            shard_id: &'a str,
            sequence_number: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            key: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            record: Option<&'a str>,
        }
        let (shard_id, sequence_number) = (self.shard_id, record.sequence_number);
        let text = record.item.and_then(|item| item.record);
        let text = text.map(|text| &text[..text.floor_char_boundary(LETTER_BYTES)]);
        let key = record.item.and_then(|item| item.key);
        let letter = Letter { reason, shard_id, sequence_number, key, record: text };
        // Only maps with other keys than strings fail.
        serde_json::to_string(&letter).unwrap_or_else(|_no_json| reason.to_owned())
    }
}

/// What a log may say of a dead letter: why, and where the record stands in its stream. An operator reads neither the record nor
/// its key.
pub fn letter_notice(letter: &str) -> String {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Notice {
        reason: String,
        shard_id: String,
        sequence_number: String,
    }
    let Notice { reason, shard_id, sequence_number } = serde_json::from_str(letter).unwrap_or_default();
    format!("in no report: record {sequence_number} of {shard_id}: {reason}")
}

type ByTenant<'r, 'a> = BTreeMap<Tenant, Vec<(&'r StreamRecord<'a>, &'a str)>>;

/// New events with their records, and what is new and no event.
fn by_tenant<'r, 'a>(records: &'r [StreamRecord<'a>]) -> (ByTenant<'r, 'a>, Vec<&'r StreamRecord<'a>>) {
    let (mut tenants, mut foreign) = (ByTenant::new(), Vec::new());
    for record in records {
        let Some(StreamItem { tenant, record: text, .. }) = record.item else { continue };
        match (tenant.and_then(|name| Tenant::parse(name.to_owned()).ok()), text) {
            (Some(tenant), Some(text)) => tenants.entry(tenant).or_default().push((record, text)),
            _ => foreign.push(record),
        }
    }
    (tenants, foreign)
}

/// Some records of a batch, folded: what one transaction writes.
#[derive(Clone, Debug)]
pub struct StreamStep {
    records: usize,
    folds: Vec<(Tenant, Fold)>,
    letters: Vec<String>,
    watermark: Watermark,
    limits: WriteLimits,
}

/// What a step writes, once its letters are in the dead-letter queue.
#[derive(Clone, Debug)]
pub struct StreamWrite {
    /// Each with its tenant.
    pub pages: Vec<(Tenant, StoredPage)>,
    /// Where the lane's watermark stands with them.
    pub watermark: Watermark,
    /// As JSON. What is counted nowhere: it has to be kept before the watermark moves.
    pub letters: Vec<String>,
}

/// Why a step can't be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepProblem {
    /// It is more than the store takes: to be done again with so many records at most.
    TooMuch {
        /// 1 or more.
        at_most: usize,
    },
    /// One record is.
    RecordTooLarge,
    /// A stored page can't be read.
    Unreadable(UnreadablePage),
}

impl fmt::Display for StepProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMuch { at_most } => write!(f, "more than a transaction takes: {at_most} records may fit"),
            Self::RecordTooLarge => f.write_str("one record needs more than a transaction takes"),
            Self::Unreadable(page) => page.fmt(f),
        }
    }
}

impl std::error::Error for StepProblem {}

impl StreamStep {
    /// How many records it takes: the next step may well take as many, and looks no further when it is told so.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Of each tenant the pages that [`StreamStep::settle`] needs: all that the lane has in these ranges.
    pub fn ranges(&self) -> impl Iterator<Item = (&Tenant, Vec<KeyRange>)> {
        self.folds.iter().map(|(tenant, fold)| (tenant, fold.ranges()))
    }

    /// What to write, from the stored pages of each tenant in the order of [`StreamStep::ranges`].
    ///
    /// # Errors
    /// [`StepProblem`]; nothing is to be written then.
    pub fn settle(self, stored: Vec<Vec<StoredPage>>) -> Result<StreamWrite, StepProblem> {
        let mut pages = Vec::new();
        for ((tenant, fold), stored) in self.folds.into_iter().zip(stored) {
            let written = fold.settle(stored).map_err(StepProblem::Unreadable)?;
            pages.extend(written.into_iter().map(|page| (tenant.clone(), page)));
        }
        if self.limits.fit(pages.iter().map(|(_, page)| page)) {
            return Ok(StreamWrite { pages, watermark: self.watermark, letters: self.letters });
        }
        match self.records / 2 {
            0 => Err(StepProblem::RecordTooLarge),
            at_most => Err(StepProblem::TooMuch { at_most }),
        }
    }
}
