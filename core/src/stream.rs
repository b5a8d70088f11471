//! Folding for stores that hand their changes over as a stream: in batches, at least once, and each shard in order.
//!
//! A lane is what one shard of the stream is folded into. It has pages of its own, so that it has one writer, and reports add
//! the lanes up. Its watermark says which record is the last one in its pages, and moves in the transaction that writes them:
//! what is delivered again is not counted again. A record that is no event becomes a dead letter, and the ones after it go on.
//! Which shard has which lane: `lanes.rs`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::backup::Backup;
use crate::config::Tenant;
use crate::lanes::PULSE;
use crate::rollup::fold::{StoredPage, UnreadablePage};
use crate::rollup::key::KeyRange;
use crate::rollup::observation::Dimensions;
use crate::step::{Rejection, Step, StepWrite, TooMuch, Unfolded, WriteLimits};
use crate::time::Millis;
use crate::watermark::{LaneShard, Watermark};

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
    /// When the window began that the batch is of.
    pub window_start: Millis,
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
    /// The item that the store has then; `None` where it was deleted.
    pub item: Option<StreamItem<'a>>,
    /// Whether the store had no such item before. An event that is changed is no new event.
    pub is_new: bool,
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

impl<'a> StreamBatch<'a> {
    /// Puts the records into the order of their numbers, which all that follows relies on.
    pub fn sort(&mut self) {
        self.records.sort_by_key(|record| (record.sequence_number.len(), record.sequence_number));
    }

    /// How many of the records are in the lane's pages.
    pub fn folded(&self, watermark: &Watermark) -> usize {
        let is_another = watermark.shard_id().is_some_and(|id| id != self.shard_id);
        self.records.partition_point(|record| !is_another && watermark.covers(record.sequence_number))
    }

    /// Whether the batch says that the shard is complete to a later moment.
    pub(crate) fn completes(&self, watermark: &Watermark) -> bool {
        self.complete_to.is_some_and(|to| to > watermark.folded_to)
    }

    /// Whether there is anything to write.
    pub(crate) fn has_more(&self, watermark: &Watermark) -> bool {
        self.folded(watermark) < self.records.len() || self.completes(watermark)
    }

    /// Whether there is a new event among its records.
    pub(crate) fn has_events(&self) -> bool {
        self.records.iter().any(|record| record.unfolded().is_some())
    }

    /// Objects for the raw backup. They are named after the batch, so that a replay overwrites itself; a batch that is cut
    /// another way the next time gives objects that repeat some events.
    pub fn backups(&self) -> Vec<Backup> {
        // Named by its events: another record, such as a pulse, may be with them the next time or not.
        let events = || self.records.iter().filter(|record| record.unfolded().is_some());
        let (Some(first), Some(last)) = (events().next(), events().next_back()) else { return Vec::new() };
        let name = format!("{}-{}-{}", self.shard_id, first.sequence_number, last.sequence_number);
        let mut tenants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Unfolded { tenant, record } in self.records.iter().filter_map(StreamRecord::unfolded) {
            if Tenant::parse(tenant.to_owned()).is_ok() {
                tenants.entry(tenant).or_default().push(record);
            }
        }
        tenants.into_iter().map(|(tenant, records)| Backup::of(tenant, &name, records)).collect()
    }

    /// The next records behind the watermark, at most so many; `None` when there is nothing to write any more.
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

    /// Moves the watermark of a lane on when all its records are folded and no more can come for a time.
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

/// When the records were written that a mapping has given up, from what it says then of their batch. `None`: the message says something
/// else.
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
    // They are times of whole seconds.
    (first <= last).then_some(first..Millis(last.0 + 1000))
}

impl<'a> StreamRecord<'a> {
    /// What of it is to be folded: a new event.
    fn unfolded(&self) -> Option<Unfolded<'a>> {
        let StreamItem { tenant, record, .. } = self.item.filter(|_| self.is_new)?;
        Some(Unfolded { tenant: tenant?, record: record? })
    }

    /// Whether something is new in the store that is no event.
    fn is_foreign(&self) -> bool {
        self.is_new && self.item.is_some() && self.unfolded().is_none() && self.pulse().is_none()
    }

    /// The key of a pulse.
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
    /// Each with its tenant.
    pub pages: Vec<(Tenant, StoredPage)>,
    /// What can't be read of what is stored, as in [`crate::Merged`].
    pub damaged: Vec<(Tenant, UnreadablePage)>,
    /// Where the lane's watermark stands with them.
    pub watermark: Watermark,
    /// Tenants that may be new, as in [`StepWrite`].
    pub newcomers: Vec<Tenant>,
    /// As JSON. What is counted nowhere: it has to be kept before the watermark moves.
    pub letters: Vec<String>,
}

impl StreamStep<'_, '_> {
    /// How many records it takes. Twice as many at most are worth a look the next time.
    pub fn records(&self) -> usize {
        self.step.records()
    }

    /// Of each tenant the pages that [`StreamStep::settle`] needs: all that the lane has in these ranges.
    pub fn ranges(&self) -> impl Iterator<Item = (&Tenant, &[KeyRange])> {
        self.step.ranges()
    }

    /// What to write, from the stored pages of each tenant in the order of [`StreamStep::ranges`].
    ///
    /// # Errors
    /// [`TooMuch`]; nothing is to be written then.
    pub fn settle(self, stored: Vec<Vec<StoredPage>>) -> Result<StreamWrite, TooMuch> {
        let Self { batch, taken, step, watermark } = self;
        let StepWrite { pages, damaged, rejections, newcomers } = step.settle(stored)?;
        let foreign = taken.iter().filter(|record| record.is_foreign()).map(|record| batch.letter(record, FOREIGN));
        let rejected =
            rejections.iter().filter_map(|Rejection { index, reason }| Some(batch.letter(taken.get(*index)?, reason)));
        Ok(StreamWrite { pages, damaged, newcomers, watermark, letters: foreign.chain(rejected).collect() })
    }
}
