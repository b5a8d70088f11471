//! Builds histograms without sorting each one. The buckets of a group of events are sorted once for each name of a
//! number. Every rollup of the group counts some of these events, by code: the place of a bucket among the sorted ones.
//! The registers of users are counted in the same way.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

use crate::rollups::fold_events::FoldEvents;
use crate::rollups::interner::Symbol;
use crate::rollups::place::Place;

/// The buckets of a group. The code of a sample is the place of its bucket among the buckets of its name.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    /// Indexed by name.
    by_name: Vec<Coded>,
    /// The names in the group.
    names: Vec<Symbol>,
    users: Coded,
}

/// The buckets of one name, or the registers of users.
#[derive(Clone, Debug, Default)]
struct Coded {
    /// A key for each sample, made of its bucket and its index; or for each event, made of its user's register and its
    /// index.
    keys: Vec<u64>,
    /// The distinct buckets, sorted.
    buckets: Vec<i32>,
}

/// Counters, indexed by code.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// One bit for each code: whether it was met.
    met: Vec<u64>,
    /// The counts by code; 0 for codes that were not met.
    counts: Vec<u32>,
}

impl Codes {
    /// Assigns codes to the numbers of these events, which must be all events of a group. The codes of earlier groups
    /// are dropped.
    pub(crate) fn refill(&mut self, places: &[Place], events: &mut FoldEvents) {
        for name in self.names.drain(..) {
            self.by_name[name.0 as usize].keys.clear();
        }
        events.enter(places);
        for (shape, part) in events.by_shape(places) {
            for (at, name) in events.names(shape).iter().enumerate() {
                let number = name.0 as usize;
                if self.by_name.len() <= number {
                    self.by_name.resize(number + 1, Coded::default());
                }
                let keys = &mut self.by_name[number].keys;
                if keys.is_empty() {
                    self.names.push(*name);
                }
                keys.extend(part.iter().map(|place| {
                    let sample = events.event(place).samples as usize + at;
                    key(events.samples()[sample].bucket(), sample)
                }));
            }
        }
        for name in &self.names {
            self.by_name[name.0 as usize].number(|sample, code| events.set_code(sample, code));
        }
        self.users.keys.clear();
        let register = |place: &Place| key(events.event(place).user.register().into(), place.event as usize);
        self.users.keys.extend(places.iter().map(register));
        self.users.number(|event, code| events.set_user_code(event, code));
    }

    /// The register of each user code.
    pub(crate) fn registers(&self) -> &[i32] {
        &self.users.buckets
    }

    /// The bucket of each code of a name.
    pub(crate) fn buckets(&self, name: Symbol) -> &[i32] {
        self.by_name.get(name.0 as usize).map_or(&[], |coded| &coded.buckets)
    }
}

/// A key that sorts by bucket.
fn key(bucket: i32, at: usize) -> u64 {
    u64::from(bucket as u32 ^ 1 << 31) << 32 | at as u64
}

impl Coded {
    /// Assigns a code to each key.
    fn number(&mut self, mut set: impl FnMut(usize, usize)) {
        let Self { keys, buckets } = self;
        keys.sort_unstable();
        buckets.clear();
        buckets.resize(keys.len(), 0);
        // Whether the next bucket is the same can't be predicted, so the loop has no branch on it.
        let (mut code, mut before) = (0, keys.first().map_or(0, |key| key >> 32));
        for key in keys.iter() {
            let bucket = *key >> 32;
            code += usize::from(bucket != before);
            before = bucket;
            buckets[code] = (bucket as u32 ^ 1 << 31) as i32;
            set((*key & 0xffff_ffff) as usize, code);
        }
        buckets.truncate(code + 1);
    }
}

impl Counts {
    /// Starts to count codes below `codes`.
    #[inline]
    pub(crate) fn start(&mut self, codes: usize) -> Counter<'_> {
        if self.counts.len() < codes {
            self.grow(codes);
        }
        Counter { met: &mut self.met[..codes.div_ceil(64)], counts: &mut self.counts[..codes] }
    }

    #[cold]
    fn grow(&mut self, codes: usize) {
        self.counts.resize(codes, 0);
        self.met.resize(codes.div_ceil(64), 0);
    }
}

/// Counts codes until it is drained.
pub(crate) struct Counter<'c> {
    met: &'c mut [u64],
    counts: &'c mut [u32],
}

impl<'c> Counter<'c> {
    #[inline]
    pub(crate) fn add(&mut self, code: usize) {
        self.set(code, |count| count + 1);
    }

    /// Replaces the count of a code, which is 0 at first. The new count must not be 0.
    #[inline]
    pub(crate) fn set(&mut self, code: usize, count: impl FnOnce(u32) -> u32) {
        self.counts[code] = count(self.counts[code]);
        self.met[code / 64] |= 1 << (code % 64);
    }

    /// Returns the codes that were met, in order, with their counts. Take them all; otherwise the next user of the
    /// counters sees what is left.
    pub(crate) fn drain(self) -> Drain<'c> {
        Drain { words: self.met.iter_mut(), word: 0, next: 0, counts: self.counts }
    }
}

/// See [`Counter::drain`].
pub(crate) struct Drain<'c> {
    words: std::slice::IterMut<'c, u64>,
    /// The remaining bits of the current word.
    word: u64,
    /// The first code after the current word.
    next: usize,
    counts: &'c mut [u32],
}

impl Iterator for Drain<'_> {
    type Item = (usize, u32);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.word == 0 {
            self.word = std::mem::take(self.words.next()?);
            self.next += 64;
        }
        let code = self.next - 64 + self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some((code, std::mem::take(&mut self.counts[code])))
    }
}
