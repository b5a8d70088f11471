//! The event source mapping between the stream and the function that folds. It hands over batches of each shard in
//! order, several shards side by side, and a parent before its children.
//!
//! A batch gathers records for as long as a window is. It comes again from the record that the function names, and in
//! halves after an error of the function. Records that the stream forgets before they are taken become dead letters.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use isotherm_core::{Millis, StreamBatch, StreamItem, StreamRecord, UnreadableEvent};

use crate::fibers::Process;
use crate::stream::{RETENTION, Record, Shard, Stream};
use crate::world::{MINUTE, SECOND, World};

/// The most records and bytes of one batch.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 6 << 20;
/// The longest wait after a failure.
const LONGEST_RETRY: u64 = MINUTE;
/// Batches become ready at multiples of this time, so that those of several shards come at once.
pub(crate) const TICK: u64 = 2 * SECOND;

pub(crate) struct Mapping {
    world: Rc<World>,
    /// How long a window is, and how long records gather.
    pub(crate) window: u64,
    /// Pollers by the numbers of their shards.
    pollers: BTreeMap<usize, Poller>,
}

/// How far one shard is handed over.
#[derive(Default)]
struct Poller {
    /// The place of the next record.
    next: usize,
    window: Option<Range<u64>>,
    /// Parts still to be handed over. The next one is last.
    parts: Vec<Part>,
    busy: Option<(Process, usize)>,
    failures: u32,
    retry_at: Millis,
    is_done: bool,
}

/// Records up to a place.
struct Part {
    end: usize,
    /// True if the window ends with this part.
    is_final: bool,
}

/// The record of a packed event; `None` for an item of another kind.
pub(crate) type Unpacked = Option<Result<String, UnreadableEvent>>;

/// The function's input.
pub(crate) struct Handed {
    pub(crate) shard_id: String,
    pub(crate) records: Vec<Rc<Record>>,
    window: Range<u64>,
    is_final: bool,
}

impl Handed {
    /// The batch as the adapter reads it. `unpacked` has the record of each packed event.
    pub(crate) fn batch<'a>(&'a self, unpacked: &'a [Unpacked]) -> StreamBatch<'a> {
        fn read<'a>((record, unpacked): (&'a Rc<Record>, &'a Unpacked)) -> StreamRecord<'a> {
            let tenant = record.key.split_once('#').map(|(tenant, _)| tenant);
            let unpacked = unpacked.as_ref().map(|record| record.as_deref().map_err(|why| *why));
            let item = record.image.as_ref().map(|_| StreamItem { key: Some(&record.key), tenant, record: unpacked });
            StreamRecord { sequence_number: &record.number, written_at: record.said_at(), item, is_new: record.is_new }
        }
        let mut batch = StreamBatch {
            shard_id: &self.shard_id,
            records: self.records.iter().zip(unpacked).map(read).collect(),
            window_start: Millis(self.window.start),
            complete_to: self.is_final.then_some(Millis(self.window.end)),
        };
        batch.sort();
        batch
    }
}

impl Poller {
    /// When the next part is due.
    fn due(&self, shard: &Shard, length: u64, now: Millis) -> Option<Millis> {
        if self.is_done || self.busy.is_some() {
            return None;
        }
        if !self.parts.is_empty() {
            return Some(self.retry_at);
        }
        let is_full = shard.end() - self.next.max(shard.forgotten) >= BATCH || shard.has_ended(now);
        match (shard.record(self.next), &self.window) {
            (Some(first), Some(window)) if first.said_at().0 >= window.end => Some(now),
            (Some(_), _) if is_full => Some(now),
            (Some(first), _) => Some(Millis((first.written_at.0 + length).next_multiple_of(TICK))),
            (None, _) if shard.has_ended(now) => Some(now),
            (None, window) => {
                let window_ends = window.as_ref().map(|window| Millis(window.end));
                shard.ends_at().into_iter().chain(window_ends).min()
            }
        }
    }

    /// Plans the next parts if none are planned. A closed shard without more records is done.
    fn cut(&mut self, shard: &Shard, length: u64, world: &World) {
        let Some(first) = shard.record(self.next) else {
            match &self.window {
                // The window of a closed shard ends early.
                Some(_) => self.parts.push(Part { end: self.next, is_final: true }),
                None => self.is_done = shard.has_ended(world.now()),
            }
            return;
        };
        let start = first.said_at().0 / length * length;
        let Range { end, .. } = self.window.get_or_insert(start..start + length).clone();
        let mut bytes = 0;
        let fits = |record: &&Rc<Record>| {
            bytes += record.bytes();
            record.said_at().0 < end && bytes <= BATCH_BYTES
        };
        let records = shard.records.iter().skip(self.next - shard.forgotten);
        let last = self.next + records.take(BATCH).take_while(fits).count();
        let is_rest = shard.record(last).is_none_or(|record| record.said_at().0 >= end);
        let is_over = end <= world.now().0 && is_rest;
        // The window's end comes by itself, or with the last records.
        self.parts.push(Part { end: last, is_final: last == self.next || is_over && world.one_in(2) });
    }
}

impl Mapping {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        let window = [10 * SECOND, MINUTE, 5 * MINUTE][world.below(3) as usize];
        Self { world: Rc::clone(world), window, pollers: BTreeMap::new() }
    }

    /// True once the shard's parent is fully delivered.
    fn is_begun(&self, shard: &Shard) -> bool {
        let parent = shard.parent.as_ref().and_then(|(number, _)| self.pollers.get(number));
        parent.is_none_or(|poller| poller.is_done)
    }

    /// Takes in which shards there are.
    pub(crate) fn watch(&mut self, stream: &Stream) {
        self.pollers.retain(|number, _| stream.shards.iter().any(|shard| shard.number == *number));
        for shard in &stream.shards {
            self.pollers.entry(shard.number).or_default();
        }
    }

    /// When the next batch is due.
    pub(crate) fn due(&self, stream: &Stream) -> Option<Millis> {
        let now = self.world.now();
        let shards = stream.shards.iter().filter(|shard| self.is_begun(shard));
        let due = shards.filter_map(|shard| self.pollers.get(&shard.number)?.due(shard, self.window, now));
        due.min()
    }

    /// The batches that are due, each for a process of its own.
    pub(crate) fn hand_over(
        &mut self,
        stream: &Stream,
        mut process: impl FnMut() -> Process,
    ) -> Vec<(Process, Handed)> {
        let (now, mut handed) = (self.world.now(), Vec::new());
        for shard in &stream.shards {
            if !self.is_begun(shard) {
                continue;
            }
            let Some(poller) = self.pollers.get_mut(&shard.number) else { continue };
            if poller.due(shard, self.window, now).is_none_or(|due| due > now) {
                continue;
            }
            if poller.parts.is_empty() {
                poller.cut(shard, self.window, &self.world);
            }
            let (Some(Part { end, is_final }), Some(window)) = (poller.parts.last(), &poller.window) else { continue };
            let records = (poller.next..*end).filter_map(|place| shard.record(place)).map(Rc::clone).collect();
            let process = process();
            handed.push((
                process,
                Handed { shard_id: shard.id.clone(), records, window: window.clone(), is_final: *is_final },
            ));
            poller.busy = Some((process, poller.next));
        }
        handed
    }

    /// Notes a process's answer: how many records it has taken, or `None` if it failed.
    pub(crate) fn answered(&mut self, process: Process, taken: Option<usize>) {
        let is_busy = |poller: &&mut Poller| poller.busy.is_some_and(|(busy, _)| busy == process);
        let Some(poller) = self.pollers.values_mut().find(is_busy) else { return };
        let Some((_, from)) = poller.busy.take() else { return };
        let Some(Part { end, is_final }) = poller.parts.pop() else { return };
        poller.next = poller.next.max(from + taken.unwrap_or(0)).min(end.max(poller.next));
        let rest = end.saturating_sub(poller.next);
        match taken {
            Some(_) if rest == 0 => {
                poller.failures = 0;
                if is_final {
                    poller.window = None;
                }
                return;
            }
            None if rest > 1 => {
                poller.parts.push(Part { end, is_final });
                poller.parts.push(Part { end: poller.next + rest / 2, is_final: false });
            }
            _ => {
                poller.failures += 1;
                poller.parts.push(Part { end, is_final });
            }
        }
        let wait = (SECOND << poller.failures.min(6)).min(LONGEST_RETRY);
        poller.retry_at = Millis(self.world.now().0 + wait);
    }

    /// When the stream next forgets a record that is not taken.
    pub(crate) fn forgets_at(&self, stream: &Stream) -> Option<Millis> {
        let of_shard = |shard: &Shard| {
            let next = self.pollers.get(&shard.number)?.next;
            Some(Millis(shard.record(next)?.written_at.0 + RETENTION))
        };
        stream.shards.iter().filter_map(of_shard).min()
    }

    /// Lets the stream forget records. Returns those that nobody has taken.
    pub(crate) fn forget(&mut self, stream: &mut Stream) -> Vec<Rc<Record>> {
        let (now, mut lost) = (self.world.now(), Vec::new());
        for shard in &mut stream.shards {
            let Some(poller) = self.pollers.get_mut(&shard.number) else { continue };
            while let Some(first) = shard.records.front().filter(|first| first.written_at.0 + RETENTION <= now.0) {
                if shard.forgotten >= poller.next {
                    lost.push(Rc::clone(first));
                }
                shard.records.pop_front();
                shard.forgotten += 1;
            }
            if poller.next < shard.forgotten {
                poller.next = shard.forgotten;
                let Poller { parts, next, .. } = poller;
                parts.retain(|part| part.end > *next || part.is_final);
            }
        }
        stream.forget();
        self.watch(stream);
        lost
    }

    /// Shards with records that are not taken although they were written three windows ago.
    pub(crate) fn unread<'s>(&self, stream: &'s Stream) -> Vec<&'s str> {
        let then = Millis(self.world.now().0 - 3 * self.window);
        let first = |shard: &&'s Shard| shard.record(self.pollers.get(&shard.number)?.next);
        let is_unread = |shard: &&'s Shard| first(shard).is_some_and(|first| first.written_at < then);
        stream.shards.iter().filter(is_unread).map(|shard| shard.id.as_str()).collect()
    }
}
