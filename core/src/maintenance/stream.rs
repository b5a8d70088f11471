//! Folding for stores that deliver their changes as a stream: in batches, at least once, and in order within each
//! shard.
//!
//! A shard of the stream is folded into a lane. A lane has pages of its own, so it has only one writer; reports add the
//! lanes up. Its watermark names the last record in its pages. It moves in the transaction that writes the pages, so a
//! record that is delivered again is not counted again. A record that is not an event becomes a dead letter, and
//! folding goes on behind it. `lanes.rs` assigns shards to lanes.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::maintenance::backup::Backup;
use crate::maintenance::folded::Folded;
use crate::maintenance::pulse::PULSE;
use crate::maintenance::step::{RejectedRecord, Step, StepWrite, TooMuch, Unfolded};
use crate::maintenance::watermark::{LaneShard, Watermark};
use crate::packed::{SHAPE_KEY, UnreadableEvent};
use crate::rollups::key::KeyRange;
use crate::rollups::observation::Dimensions;
use crate::rollups::stored::{StoredPage, UnreadablePage, WriteLimits};
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Millis;

/// The most bytes of a record in its dead letter. A longer record is cut, so that it fits into a message with all its
/// escapes.
const LETTER_BYTES: usize = 100_000;
const FOREIGN: &str = "the item is none of an event: something else writes to the store";

/// Records of one shard, in their order.
#[derive(Clone, Debug)]
pub struct StreamBatch<'a> {
    /// The shard's name.
    pub shard_id: &'a str,
    /// The records; there may be none.
    pub records: Vec<StreamRecord<'a>>,
    /// The start of the batch's window.
    pub window_start: Millis,
    /// If known: this batch and earlier ones hold everything that was written to the shard before this moment.
    pub complete_to: Option<Millis>,
}

/// A change in the store of events.
#[derive(Clone, Copy, Debug)]
pub struct StreamRecord<'a> {
    /// The record's place in the shard: a decimal number of any length that only grows.
    pub sequence_number: &'a str,
    /// Records before this one were written at this moment or earlier, and records after it not before.
    pub written_at: Millis,
    /// The item in the store after the change; `None` if it was deleted.
    pub item: Option<StreamItem<'a>>,
    /// Whether the store had no such item before. A changed event is not a new event.
    pub is_new: bool,
}

/// An item of the store of events, which may or may not be an event.
#[derive(Clone, Copy, Debug)]
pub struct StreamItem<'a> {
    /// The item's key in the store, for a dead letter.
    pub key: Option<&'a str>,
    /// The tenant of the event, as the key says.
    pub tenant: Option<&'a str>,
    /// The item's [`crate::NewEvent::record`], or why it can't be read; `None` if the item has none.
    pub record: Option<Result<&'a str, UnreadableEvent>>,
}

impl<'a> StreamBatch<'a> {
    /// Sorts the records by sequence number. All other methods rely on this order.
    pub fn sort(&mut self) {
        self.records.sort_by_key(|record| (record.sequence_number.len(), record.sequence_number));
    }

    /// How many of the records are in the lane's pages.
    pub fn folded(&self, watermark: &Watermark) -> usize {
        let is_another = watermark.shard_id().is_some_and(|id| id != self.shard_id);
        self.records.partition_point(|record| !is_another && watermark.covers(record.sequence_number))
    }

    /// Whether the batch says that the shard is complete up to a later moment than the watermark.
    pub(crate) fn completes(&self, watermark: &Watermark) -> bool {
        self.complete_to.is_some_and(|to| to > watermark.folded_to)
    }

    /// Whether anything is left to write.
    pub(crate) fn has_more(&self, watermark: &Watermark) -> bool {
        self.folded(watermark) < self.records.len() || self.completes(watermark)
    }

    /// When the newest event of the batch was written; `None` without events.
    pub(crate) fn newest_event(&self) -> Option<Millis> {
        self.records.iter().filter(|record| record.unfolded().is_some()).map(|record| record.written_at).max()
    }

    /// For how long the oldest event of the batch has waited; `None` without events.
    pub fn waited(&self, now: Millis) -> Option<Duration> {
        let events = self.records.iter().filter(|record| record.unfolded().is_some());
        let oldest = events.map(|record| record.written_at).min()?;
        Some(Duration::from_millis(now.0.saturating_sub(oldest.0)))
    }

    /// The key of the last pulse in the batch.
    pub(crate) fn last_pulse(&self) -> Option<&'a str> {
        self.records.iter().rev().find_map(StreamRecord::pulse)
    }

    /// Objects for the raw backup. They are named after the batch, so a replay overwrites its own objects. If the batch
    /// is cut differently the next time, its objects repeat some events.
    pub fn backups(&self) -> Vec<Backup> {
        // The name comes from the events alone: other records, such as pulses, may be in the batch or not the next
        // time.
        let events = || self.records.iter().filter(|record| record.unfolded().is_some());
        let (Some(first), Some(last)) = (events().next(), events().next_back()) else { return Vec::new() };
        let name = format!("{}-{}-{}", self.shard_id, first.sequence_number, last.sequence_number);
        Backup::of_tenants(&name, self.records.iter().filter_map(StreamRecord::unfolded))
    }

    /// The next records behind the watermark, at most `at_most`; `None` when nothing is left to write.
    pub(crate) fn step<'b>(
        &'b self,
        watermark: &Watermark,
        at_most: usize,
        limits: WriteLimits,
        dimensions: &Dimensions,
    ) -> Option<StreamStep<'b, 'a>> {
        let rest = self.records.get(self.folded(watermark)..).unwrap_or_default();
        if rest.is_empty() {
            return self.completion(watermark, limits, dimensions);
        }
        let step = Step::of(rest.iter().map(StreamRecord::unfolded), at_most.max(1), limits, dimensions);
        let taken = rest.get(..step.records())?;
        let StreamRecord { sequence_number, written_at, .. } = taken.last()?;
        let folded_to = watermark.folded_to.max(*written_at);
        let sequence_number = (*sequence_number).to_owned();
        let pulse = taken.iter().rev().find_map(StreamRecord::pulse);
        let pulse = pulse.map_or_else(|| watermark.pulse.clone(), str::to_owned);
        let watermark = Watermark { shard: LaneShard::of(self.shard_id), sequence_number, folded_to, pulse };
        Some(StreamStep { batch: self, taken, step, watermark })
    }

    /// Moves a lane's watermark on when all its records are folded and no older record can come.
    fn completion(
        &self,
        watermark: &Watermark,
        limits: WriteLimits,
        dimensions: &Dimensions,
    ) -> Option<StreamStep<'_, 'a>> {
        let folded_to = self.complete_to.filter(|_| self.completes(watermark))?;
        let shard = LaneShard::of(self.shard_id);
        let watermark = Watermark { shard, folded_to, ..watermark.clone() };
        let step = Step::of([], 0, limits, dimensions);
        Some(StreamStep { batch: self, taken: &[], step, watermark })
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
        let text = record.item.and_then(|item| item.record?.ok());
        let text = text.map(|text| &text[..text.floor_char_boundary(LETTER_BYTES)]);
        let key = record.item.and_then(|item| item.key);
        let letter = Letter { reason, shard_id, sequence_number, key, record: text };
        // Only maps with keys other than strings fail.
        serde_json::to_string(&letter).unwrap_or_else(|_no_json| reason.to_owned())
    }
}

/// The part of a dead letter that a log may show: the reason, and the record's place in its stream. Operators see
/// neither the record nor its key.
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

/// The name of a dead letter where no queue is: the record's place in its stream. A letter that is made again has the same
/// name. `None` if this is no dead letter of a record.
pub fn letter_name(letter: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Place {
        shard_id: String,
        sequence_number: String,
    }
    let Place { shard_id, sequence_number } = serde_json::from_str(letter).ok()?;
    Some(format!("{shard_id}/{sequence_number}"))
}

/// When the records of a batch were written that a mapping has given up, read from the mapping's message about the
/// batch. `None` if the message is about something else.
pub fn given_up(message: &str) -> Option<Range<Millis>> {
    #[derive(Deserialize)]
    struct Message<'m> {
        #[serde(rename = "DDBStreamBatchInfo", borrow)]
        batch: BatchInfo<'m>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct BatchInfo<'m> {
        approximate_arrival_of_first_record: &'m str,
        approximate_arrival_of_last_record: &'m str,
    }
    let BatchInfo { approximate_arrival_of_first_record: first, approximate_arrival_of_last_record: last } =
        serde_json::from_str::<Message<'_>>(message).ok()?.batch;
    let (first, last) = (Millis::from_rfc3339(first).ok()?, Millis::from_rfc3339(last).ok()?);
    // The times are whole seconds.
    (first <= last).then_some(first..Millis(last.0 + 1000))
}

impl<'a> StreamRecord<'a> {
    /// The record as something to fold, if it is a new event.
    fn unfolded(&self) -> Option<Unfolded<'a>> {
        let StreamItem { tenant, record, .. } = self.item.filter(|_| self.is_new)?;
        Some(Unfolded { tenant: tenant?, record: record?.ok()? })
    }

    /// Why the record is in no report, if it is a new item that should be.
    fn flaw(&self) -> Option<String> {
        let item = self.item.filter(|_| self.is_new && self.unfolded().is_none())?;
        let is_ours = item.key.is_some_and(|key| key.starts_with(PULSE) || key.starts_with(SHAPE_KEY));
        let flaw = || item.record.and_then(Result::err).map_or_else(|| FOREIGN.to_owned(), |why| why.to_string());
        (!is_ours).then(flaw)
    }

    /// The record's key, if the record is a pulse.
    fn pulse(&self) -> Option<&'a str> {
        self.item?.key.filter(|key| key.starts_with(PULSE))
    }
}

/// Some records of a batch, folded: what one transaction writes.
#[derive(Clone, Debug)]
pub struct StreamStep<'b, 'a> {
    batch: &'b StreamBatch<'a>,
    taken: &'b [StreamRecord<'a>],
    step: Step,
    watermark: Watermark,
}

/// What a step writes, once its letters are in the dead-letter queue.
#[must_use = "what is merged and not written is in no report"]
#[derive(Clone, Debug)]
pub struct StreamWrite {
    /// The pages to write, each with its tenant.
    pub pages: Vec<(Tenant, StoredPage)>,
    /// Stored pages that can't be read, as in [`crate::Merged`].
    pub damaged: Vec<(Tenant, UnreadablePage)>,
    /// The lane's watermark after these pages.
    pub watermark: Watermark,
    /// Tenants that may be new, as in [`StepWrite`].
    pub newcomers: Vec<Tenant>,
    /// Dead letters, as JSON, for the records that no report counts. They must be kept before the watermark moves.
    pub letters: Vec<String>,
    /// What the step did. The host knows for how long the events have waited: [`StreamBatch::waited`].
    pub folded: Folded,
}

impl StreamStep<'_, '_> {
    /// How many records the step takes. The next step need not try more than twice as many.
    pub fn records(&self) -> usize {
        self.step.records()
    }

    /// The ranges of keys, by tenant, in which [`StreamStep::merge`] needs every page of the lane.
    pub fn ranges(&self) -> impl Iterator<Item = (&Tenant, &[KeyRange])> {
        self.step.ranges()
    }

    /// What to write, given the stored pages of each tenant in the order of [`StreamStep::ranges`].
    ///
    /// # Errors
    /// [`TooMuch`] if the pages don't fit into one transaction; then write nothing.
    pub fn merge(self, stored: Vec<Vec<StoredPage>>) -> Result<StreamWrite, TooMuch> {
        let Self { batch, taken, step, watermark } = self;
        let StepWrite { pages, damaged, rejected, newcomers } = step.merge(stored)?;
        let flawed = taken.iter().filter_map(|record| Some(batch.letter(record, &record.flaw()?)));
        let rejected = rejected
            .iter()
            .filter_map(|RejectedRecord { index, reason }| Some(batch.letter(taken.get(*index)?, reason)));
        let letters: Vec<String> = flawed.chain(rejected).collect();
        let folded = Folded {
            events: taken.iter().filter(|record| record.unfolded().is_some()).count() as u64,
            pages: pages.len() as u64,
            rejected: letters.len() as u64,
            damaged: damaged.len() as u64,
            ..Folded::default()
        };
        Ok(StreamWrite { pages, damaged, newcomers, watermark, letters, folded })
    }
}
