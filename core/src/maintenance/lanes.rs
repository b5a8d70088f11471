//! Assigns the shards of a stream to lanes, and tells how far all of them are folded.
//!
//! ```text
//!            DescribeStream ──▶ Lanes::learn ──▶ shards that wait
//!                                                     │  a batch of one comes
//!  lane 0  ── shard A ────────── its child C ─────────┘      an ancestor's lane, or a free one, or a new one
//!  lane 1  ── shard B ─────────────────────────▶
//! ```
//!
//! A lane is a set of pages that one shard at a time is folded into. Its watermark names the shard by its whole id. A
//! shard takes records for some hours, then its children do. The mapping delivers the children's records only after it
//! is done with their parent's. So a batch of a child means that the child's ancestors are folded, and the child goes
//! on in the lane of one of them. There are as many lanes as there ever were shards at once, however many shards come
//! and go.
//!
//! Reports are complete up to the time that the shard furthest behind is folded to. A shard without folded records
//! waits: it counts as folded as far as its parent is. A store knows nothing of such shards, so a function asks the
//! stream. The end of a window shows that its shard is folded to that moment only if the shard was still open then.
//! Otherwise its children hold what was written later. The stream's answer may be old ([`STALE_MS`]). It may call a
//! shard open that has ended since, and lack shards that an earlier answer had.
//!
//! A shard without records does not show how far it is delivered. When events arrive in other shards, the function
//! therefore writes pulses: items that are not events but come through the stream. A pulse in the shard's batch shows
//! how far the shard is.
//!
//! Records that the stream lost before they were folded are noticed in two ways. The mapping says which records it has
//! given up ([`Lanes::lose`]). And while a shard is not folded for longer than the stream keeps records, because the
//! mapping stands still, older records may be gone. To a function, a shard without records looks like one whose
//! mapping stands still. So a timer writes pulses to shards that have had no records for a while ([`Lanes::heartbeat`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::maintenance::lost::LostTimes;
use crate::maintenance::pulse::{Pulse, pulses};
use crate::maintenance::stream::StreamBatch;
use crate::maintenance::waiting::{self, Waiting};
use crate::maintenance::watermark::{LaneShard, Watermark, lane_of_version_1};
use crate::reports::reading::Reading;
use crate::rollups::stored::{StoredPage, UnreadablePage};
use crate::vocabulary::time::Millis;

/// How long a stream keeps its records, in milliseconds. Older records are either folded or lost.
const RETENTION_MS: u64 = 24 * 60 * 60 * 1000;
/// The name of the list of waiting shards, among the names of lanes.
const SHARDS: &str = "shards";
/// The name of the list of lost times. A version that doesn't know the list reads only names before `~`.
const LOST: &str = "~lost";
/// If a record is this many milliseconds older than the retention and still there, the stream never drops records.
/// Local emulators behave so.
const NEARLY_MS: u64 = 60 * 60 * 1000;
/// A shard that is folded to a time longer ago than this many milliseconds gets a heartbeat.
const IDLE_MS: u64 = 30 * 60 * 1000;
/// The same limit while somebody waits for events to be folded ([`Lanes::nudge`]).
const NUDGE_MS: u64 = 2 * 1000;
/// How old an answer of `DescribeStream` may be, in milliseconds. AWS promises nothing, so this is far more than anybody
/// has seen.
const STALE_MS: u64 = 60 * 1000;
/// The most changes of watermarks and lists that are written at once.
const WRITES: usize = 90;

/// A shard as the stream describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamShard {
    /// Its id.
    pub id: String,
    /// The shard whose records come before this shard's, if there was one. The stream may have forgotten it.
    pub parent: Option<String>,
    /// True once the shard has ended: it gets no more records.
    pub is_closed: bool,
}

/// The next step for a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneStep {
    /// Ask the stream for all its shards, then call [`Lanes::learn`].
    Describe,
    /// Write all of these in one transaction, then call [`Lanes::next`] again. If a stored value has changed, read the
    /// lanes anew.
    Write(Vec<LaneWrite>),
    /// Fold the batch into this lane, behind this watermark.
    Fold {
        /// The lane's name.
        lane: String,
        /// The lane's watermark as stored.
        watermark: Watermark,
    },
    /// Everything in the batch is folded.
    Done,
    /// The stream does not know this shard, or not yet: have the batch delivered again.
    UnknownShard,
}

/// A write on the condition that the stored value is still `was`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneWrite {
    /// The name of the value, as in the pages that [`Lanes::read`] gets.
    pub name: String,
    /// The value that must be stored; `None`: there must be none.
    pub was: Option<Vec<u8>>,
    /// The value to store.
    pub bytes: Vec<u8>,
}

/// The lanes of a store and the shards of its stream.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    /// The stored bytes, by name.
    stored: BTreeMap<String, Vec<u8>>,
    /// The watermarks by lane; `None` if one can't be read.
    watermarks: BTreeMap<String, Option<Watermark>>,
    /// The shards whose first batch has not come yet. `None`: the stream has not been described yet.
    waiting: Option<BTreeMap<String, Waiting>>,
    /// The stream's answer, if it was asked now.
    described: Option<BTreeMap<String, StreamShard>>,
    /// When the stream was asked.
    asked_at: Millis,
    /// True if the answer lacks a known shard, so it is old. A shard that only an old answer names may be done with, so
    /// it is not taken in.
    is_outdated: bool,
    /// When the records were written that the stream has lost.
    lost: LostTimes,
}

impl Lanes {
    /// Reads the lanes from all that a store has of them. Each page's key is the name.
    pub fn read(stored: impl IntoIterator<Item = StoredPage>) -> Self {
        let mut lanes = Self::default();
        for StoredPage { key, bytes } in stored {
            if key == SHARDS {
                // If the list can't be read, it starts anew.
                lanes.waiting = waiting::read(&bytes);
            } else if key == LOST {
                lanes.lost = LostTimes::parse(&bytes).unwrap_or_else(LostTimes::any);
            } else {
                lanes.watermarks.insert(key.clone(), Watermark::parse(&bytes));
            }
            lanes.stored.insert(key, bytes);
        }
        lanes.pass_over_begun();
        lanes
    }

    /// True if no batch has ever come, and no shard is listed. A list that can't be read is of a store that had batches.
    fn is_new(&self) -> bool {
        let lists_none = self.waiting.as_ref().map_or(!self.stored.contains_key(SHARDS), BTreeMap::is_empty);
        self.watermarks.is_empty() && lists_none
    }

    /// Takes shards that have a lane off the list, and their ancestors too. A function may list such a shard if it
    /// described the stream before the shard began.
    fn pass_over_begun(&mut self) {
        let Some(mut waiting) = self.waiting.take() else { return };
        let begun: Vec<String> = waiting.keys().filter(|id| self.lane_of(id).is_some()).cloned().collect();
        for id in begun {
            let mut next = Some(id);
            while let Some(id) = next {
                next = waiting.remove(&id).and_then(|shard| shard.parent);
            }
        }
        self.waiting = Some(waiting);
    }

    /// The readable watermarks, with the names of their lanes.
    pub fn watermarks(&self) -> impl Iterator<Item = (&str, &Watermark)> {
        self.watermarks.iter().filter_map(|(lane, watermark)| Some((lane.as_str(), watermark.as_ref()?)))
    }

    /// The stored values that can't be read. The shard of an unreadable watermark goes on in another lane.
    pub fn damaged(&self) -> Vec<UnreadablePage> {
        let damaged = self.watermarks.iter().filter(|(_, watermark)| watermark.is_none());
        let list = self.stored.contains_key(SHARDS) && self.waiting.is_none();
        let lost = self.stored.get(LOST).is_some_and(|bytes| LostTimes::parse(bytes).is_none());
        let lists = list.then_some(SHARDS).into_iter().chain(lost.then_some(LOST)).map(str::to_owned);
        let names = damaged.map(|(lane, _)| lane.clone()).chain(lists);
        names.map(|key| UnreadablePage { key }).collect()
    }

    /// The time up to which reports over all lanes are complete, as of `received_at`.
    pub fn as_of(&self, received_at: Millis) -> Millis {
        let day_ago = Millis(received_at.0.saturating_sub(RETENTION_MS));
        let folded_to = |watermark: &Option<Watermark>| match watermark {
            None => Some(day_ago),
            Some(Watermark { shard: LaneShard::Free, .. }) => None,
            // The shard of this lane may have ended long ago.
            Some(Watermark { shard: LaneShard::Unsaid, folded_to, .. }) => {
                Some(*folded_to).filter(|folded_to| *folded_to > day_ago)
            }
            Some(Watermark { folded_to, .. }) => Some(*folded_to),
        };
        let lanes = self.watermarks.values().filter_map(folded_to);
        let waiting = self.waiting.iter().flatten().map(|(_, shard)| self.bound(shard));
        lanes.chain(waiting).min().unwrap_or(day_ago).max(day_ago)
    }

    /// The time to which a waiting shard is folded.
    fn bound(&self, shard: &Waiting) -> Millis {
        let mut shard = shard;
        // The chain of parents is no longer than the list.
        for _ in 0..=self.waiting.as_ref().map_or(0, BTreeMap::len) {
            let Some(parent) = &shard.parent else { break };
            if let Some((_, watermark)) = self.lane_of(parent) {
                return watermark.folded_to;
            }
            match self.waiting.as_ref().and_then(|waiting| waiting.get(parent)) {
                Some(parent) => shard = parent,
                None => break,
            }
        }
        shard.folded_to
    }

    fn lane_of(&self, shard_id: &str) -> Option<(&str, &Watermark)> {
        self.watermarks().find(|(_, watermark)| watermark.shard_id() == Some(shard_id))
    }

    /// The next step for a batch. Lowers or clears `complete_to` if the shard may have closed within the window, because
    /// its children then hold the later records.
    pub fn next(&mut self, batch: &mut StreamBatch<'_>, now: Millis) -> LaneStep {
        // A window that ends before its time is of a shard that has closed, even if the stream does not say so yet.
        if batch.complete_to.is_some_and(|to| to > now) {
            batch.complete_to = None;
        }
        let lane = self.lane_of(batch.shard_id).map(|(lane, watermark)| (lane.to_owned(), watermark.clone()));
        let completes = lane.as_ref().is_some_and(|(_, watermark)| batch.completes(watermark));
        let is_asked = self.waiting.is_none() || lane.is_none() || completes;
        let knows = |waiting: &BTreeMap<String, Waiting>| waiting.contains_key(batch.shard_id);
        let waits = self.waiting.as_ref().is_some_and(knows);
        if is_asked && !waits && self.described.is_none() {
            self.asked_at = now;
            return LaneStep::Describe;
        }
        if let (true, Some(shards)) = (completes, &self.described) {
            let (is_open, open_at) = (!is_closed(shards, batch.shard_id), self.asked_at.0.saturating_sub(STALE_MS));
            batch.complete_to = batch.complete_to.filter(|_| is_open).map(|to| to.min(Millis(open_at)));
        }
        self.look_back(batch, now);
        if waits {
            self.begin(batch.shard_id);
        }
        let writes = self.changes();
        if !writes.is_empty() {
            self.stored.extend(writes.iter().map(|write| (write.name.clone(), write.bytes.clone())));
            return LaneStep::Write(writes);
        }
        match lane {
            Some((_, watermark)) if !batch.has_more(&watermark) => LaneStep::Done,
            Some((lane, watermark)) => LaneStep::Fold { lane, watermark },
            None if !self.is_outdated && self.describes(batch.shard_id) => LaneStep::Done,
            None => LaneStep::UnknownShard,
        }
    }

    fn describes(&self, shard_id: &str) -> bool {
        self.described.as_ref().is_some_and(|shards| shards.contains_key(shard_id))
    }

    /// Call this if the stream could not be asked. A batch whose lane is known is folded all the same, but completes
    /// nothing.
    ///
    /// Returns `false` if the lane is unknown: have the batch delivered again.
    pub fn go_on(&self, batch: &mut StreamBatch<'_>) -> bool {
        batch.complete_to = None;
        self.waiting.is_some() && self.lane_of(batch.shard_id).is_some()
    }

    /// Takes in the stream's answer: all its shards. Frees the lanes of forgotten shards. The stream forgets a shard a
    /// day after it ended, so only an old answer lacks a shard that was folded within the last day.
    ///
    /// `created_at` is when the stream was created; 0 if that is unknown. It is what the shards of a new store are
    /// folded to, since nothing was written before.
    pub fn learn(&mut self, created_at: Millis, shards: impl IntoIterator<Item = StreamShard>) {
        let folded_to = if self.is_new() { created_at } else { Millis(0) };
        let shards: BTreeMap<String, StreamShard> = shards.into_iter().map(|shard| (shard.id.clone(), shard)).collect();
        let mut hashes: BTreeMap<String, &str> =
            shards.keys().rev().map(|id| (lane_of_version_1(id), id.as_str())).collect();
        let asked_at = self.asked_at;
        let is_recent = |folded_to: Millis| folded_to.0.saturating_add(RETENTION_MS) > asked_at.0;
        let missing = self
            .waiting
            .iter()
            .flatten()
            .filter(|(id, shard)| !shards.contains_key(*id) && is_recent(self.bound(shard)));
        let missing: BTreeSet<String> = missing.map(|(id, _)| id.clone()).collect();
        self.is_outdated = !missing.is_empty();
        for (lane, stored) in &mut self.watermarks {
            let Some(watermark) = stored else {
                // The lane's shard waits for a lane like a shard without folded records, and so holds reports back by
                // itself.
                *stored = Some(Watermark::of(LaneShard::Free, Millis(0)));
                continue;
            };
            match &watermark.shard {
                LaneShard::Unsaid => {
                    watermark.shard = hashes.remove(lane).map_or(LaneShard::Free, LaneShard::of);
                }
                LaneShard::Id(id) if !shards.contains_key(id) => {
                    if is_recent(watermark.folded_to) {
                        self.is_outdated = true;
                    } else {
                        // The stream has forgotten the shard, and no record of its children has come.
                        self.lost.extend(gap(watermark.folded_to, asked_at, asked_at));
                        self.waiting.iter_mut().for_each(|waiting| waiting::leave(waiting, id, watermark.folded_to));
                        watermark.free();
                    }
                }
                LaneShard::Id(_) | LaneShard::Free => {}
            }
        }
        let begun: BTreeSet<String> =
            self.watermarks().filter_map(|(_, watermark)| watermark.shard_id()).map(str::to_owned).collect();
        let done: BTreeSet<&str> = begun.iter().flat_map(|id| ancestors(&shards, id)).collect();
        let mut waiting = self.waiting.take().unwrap_or_default();
        let gone = waiting.iter().filter(|(id, _)| !shards.contains_key(*id) && !missing.contains(*id));
        let gone = gone.filter(|(id, _)| !begun.contains(*id) && !done.contains(id.as_str()));
        self.lost.extend(gone.flat_map(|(_, shard)| gap(shard.folded_to, asked_at, asked_at)));
        let is_there = |id: &String| shards.contains_key(id) || missing.contains(id);
        waiting.retain(|id, _| is_there(id) && !begun.contains(id) && !done.contains(id.as_str()));
        for (id, shard) in shards.iter().filter(|_| !self.is_outdated) {
            if !begun.contains(id) && !done.contains(id.as_str()) && !waiting.contains_key(id) {
                let parent = shard.parent.clone().filter(|parent| shards.contains_key(parent));
                waiting.insert(id.clone(), Waiting { parent, folded_to });
            }
        }
        // A shard is done with before its children begin, so it has a lane only if version 1 gave it one.
        for watermark in self.watermarks.values_mut().flatten() {
            let Some(id) = watermark.shard_id().filter(|id| done.contains(id)) else { continue };
            waiting::leave(&mut waiting, id, watermark.folded_to);
            watermark.free();
        }
        (self.waiting, self.described) = (Some(waiting), Some(shards));
    }

    /// Assigns a lane to a waiting shard. Its first batch means that all its ancestors are folded.
    fn begin(&mut self, shard_id: &str) {
        let Some(mut waiting) = self.waiting.clone() else { return };
        let Some(shard) = waiting.remove(shard_id) else { return };
        let folded_to = self.bound(&shard);
        let mut freed = None;
        let mut parent = shard.parent;
        while let Some(id) = parent {
            let lane = self.lane_of(&id).map(|(lane, watermark)| (lane.to_owned(), watermark.folded_to));
            let of_ancestor = waiting.get(&id).map(|ancestor| self.bound(ancestor));
            let to = lane.as_ref().map(|(_, folded_to)| *folded_to).or(of_ancestor).unwrap_or(Millis(0));
            waiting::leave(&mut waiting, &id, to);
            if let Some((lane, _)) = lane {
                self.watermarks.get_mut(&lane).into_iter().flatten().for_each(Watermark::free);
                freed.get_or_insert(lane);
            }
            parent = waiting.remove(&id).and_then(|ancestor| ancestor.parent);
        }
        let is_free =
            |(lane, watermark): (&str, &Watermark)| (watermark.shard == LaneShard::Free).then(|| lane.to_owned());
        let lane = freed.or_else(|| self.watermarks().find_map(is_free)).unwrap_or_else(|| self.new_lane());
        self.watermarks.insert(lane, Some(Watermark::of(LaneShard::of(shard_id), folded_to)));
        self.waiting = Some(waiting);
    }

    /// A new lane's name: 8 hexadecimal digits.
    fn new_lane(&self) -> String {
        let mut names = (0..u32::MAX).map(|number| format!("{number:08x}"));
        names.find(|name| !self.watermarks.contains_key(name)).unwrap_or_default()
    }

    /// The values that differ from what is stored, at most [`WRITES`] of them.
    fn changes(&self) -> Vec<LaneWrite> {
        let list = self.waiting.as_ref().map(|waiting| (SHARDS.to_owned(), waiting::write(waiting)));
        let watermarks = self.watermarks().map(|(lane, watermark)| (lane.to_owned(), watermark.to_bytes()));
        let lost = (!self.lost.is_empty()).then(|| (LOST.to_owned(), self.lost.to_bytes()));
        let all = list.into_iter().chain(watermarks).chain(lost);
        let changed = all.filter(|(name, bytes)| self.stored.get(name) != Some(bytes));
        let write = |(name, bytes): (String, Vec<u8>)| LaneWrite { was: self.stored.get(&name).cloned(), name, bytes };
        changed.take(WRITES).map(write).collect()
    }

    /// Notes that the stream has lost the records written in this period, because a batch was given up. Returns what to
    /// write, as for [`LaneStep::Write`].
    pub fn lose(&mut self, written: Range<Millis>) -> Vec<LaneWrite> {
        self.lost.add(written);
        self.changes()
    }

    /// Notes which records of a batch's shard, or of its ancestors, the stream may have lost: those before the batch's
    /// first unfolded record.
    fn look_back(&mut self, batch: &StreamBatch<'_>, now: Millis) {
        let of_lane = self.lane_of(batch.shard_id).map(|(_, watermark)| (watermark.folded_to, batch.folded(watermark)));
        let of_waiting = || self.waiting.as_ref()?.get(batch.shard_id).map(|shard| (self.bound(shard), 0));
        let Some((folded_to, folded)) = of_lane.or_else(of_waiting) else { return };
        let Some(first) = batch.records.get(folded).map(|first| first.written_at) else { return };
        let age = now.0.saturating_sub(first.0);
        if age <= RETENTION_MS + NEARLY_MS {
            self.lost.extend(gap(folded_to, now, first));
        }
    }

    /// True if a report at `now` may miss events that were received in its hours. A shard that was not folded for
    /// longer than the stream keeps records counts as a loss, because only its next batch shows what is lost.
    pub fn is_incomplete(&self, reading: &Reading, now: Millis) -> bool {
        let (begun, waiting) = self.folded_to();
        let mut lost = self.lost.clone();
        lost.extend(begun.into_iter().chain(waiting).flat_map(|folded_to| gap(folded_to, now, now)));
        lost.overlap(&reading.time())
    }

    /// The times to which all shards are folded: those that have lanes, and those that wait.
    fn folded_to(&self) -> (Vec<Millis>, Vec<Millis>) {
        let begun = self.watermarks().filter(|(_, watermark)| watermark.shard_id().is_some());
        let waiting = self.waiting.iter().flatten().map(|(_, shard)| self.bound(shard));
        (begun.map(|(_, watermark)| watermark.folded_to).collect(), waiting.collect())
    }

    /// The pulses that a timer writes, at least once every few hours, to shards that have had no records for a while.
    /// They show that the mapping works. Without them, a shard without records would look like a mapping that stands
    /// still until the stream has lost records. A new store gets them, too: their batch tells it of its shards.
    pub fn heartbeat(&self, now: Millis) -> Vec<Pulse> {
        if self.is_new() { pulses(Vec::new(), 1, now, now) } else { self.pulses_after(IDLE_MS, now) }
    }

    /// The pulses to write while somebody waits until all shards are folded to this moment.
    pub fn nudge(&self, now: Millis) -> Vec<Pulse> {
        self.pulses_after(NUDGE_MS, now)
    }

    fn pulses_after(&self, idle_ms: u64, now: Millis) -> Vec<Pulse> {
        let is_idle = |folded_to: Millis| folded_to.0.saturating_add(idle_ms) <= now.0;
        let begun = self.watermarks().filter(|(_, watermark)| watermark.shard_id().is_some());
        let idle = begun.filter(|(_, watermark)| is_idle(watermark.folded_to));
        let keys: Vec<&str> = idle.map(|(_, watermark)| watermark.pulse.as_str()).collect();
        let (begun, waiting) = self.folded_to();
        let is_one_unknown = waiting.iter().any(|folded_to| is_idle(*folded_to)) || keys.contains(&"");
        let shards = if is_one_unknown { begun.len() + waiting.len() } else { 0 };
        pulses(keys, shards, now, now)
    }

    /// The pulses to write after a batch with events, for each shard that is behind the newest of them. Usually the
    /// batch's own shard is behind too. So reports cover every event after two windows: one until its batch comes, one
    /// until the pulses come. A batch of pulses alone writes none; otherwise pulses would cause pulses forever.
    pub fn pulses(&self, batch: &StreamBatch<'_>, now: Millis) -> Vec<Pulse> {
        let Some(newest) = batch.newest_event() else { return Vec::new() };
        let (mut keys, mut is_one_unknown, mut shards) = (Vec::new(), false, 0);
        for (_, watermark) in self.watermarks() {
            let Some(shard_id) = watermark.shard_id() else { continue };
            shards += 1;
            let is_own = shard_id == batch.shard_id;
            let to = if is_own { batch.complete_to.unwrap_or_default() } else { watermark.folded_to };
            let is_behind = to <= newest;
            if is_behind {
                let key = batch.last_pulse().filter(|_| is_own).unwrap_or(&watermark.pulse);
                is_one_unknown |= key.is_empty();
                keys.push(key);
            }
        }
        for (id, shard) in self.waiting.iter().flatten() {
            shards += 1;
            is_one_unknown |= id != batch.shard_id && self.bound(shard) <= newest;
        }
        pulses(keys, if is_one_unknown { shards } else { 0 }, batch.window_start, now)
    }
}

/// The period whose records the stream may have dropped by `now`: from `folded_to` to the `first` record that is left,
/// or to the age at which records are dropped. `None` if it is empty, or if `folded_to` is unknown (0).
fn gap(folded_to: Millis, now: Millis, first: Millis) -> Option<Range<Millis>> {
    let until = first.min(Millis(now.0.saturating_sub(RETENTION_MS)));
    (folded_to.0 > 0 && folded_to < until).then_some(folded_to..until)
}

/// True if a shard has ended: the stream says so, or no longer knows the shard.
fn is_closed(shards: &BTreeMap<String, StreamShard>, id: &str) -> bool {
    shards.get(id).is_none_or(|shard| shard.is_closed)
}

fn ancestors<'s>(shards: &'s BTreeMap<String, StreamShard>, id: &str) -> BTreeSet<&'s str> {
    let mut ancestors = BTreeSet::new();
    let mut next = shards.get(id);
    while let Some(parent) = next.and_then(|shard| shard.parent.as_deref()) {
        if !ancestors.insert(parent) {
            break;
        }
        next = shards.get(parent);
    }
    ancestors
}
