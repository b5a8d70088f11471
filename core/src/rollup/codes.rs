//! Histograms without sorting each: the buckets of a group of events are sorted once for each name of a number, and the
//! rollups of the group, in each of which some of these events are, count by the bucket's place among those.

use crate::rollup::NameId;
use crate::rollup::events::{Events, Place};

/// The buckets of a group. The code of a sample is the place of its bucket among those of its name.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    /// By name.
    columns: Vec<Column>,
    /// The names that the group has.
    names: Vec<NameId>,
}

/// The buckets of one name.
#[derive(Clone, Debug, Default)]
struct Column {
    /// Each sample's bucket, and the sample.
    keys: Vec<u64>,
    /// Sorted, each once.
    buckets: Vec<i32>,
}

/// Counts of codes.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// One bit a code: whether it was met.
    met: Vec<u64>,
    /// By code; 0 of those that were not met.
    counts: Vec<u32>,
}

impl Codes {
    /// Gives codes to the numbers of these events, which are all of a group, and forgets those before.
    pub(crate) fn refill(&mut self, places: &[Place], events: &mut Events) {
        for name in self.names.drain(..) {
            self.columns[name.0 as usize].keys.clear();
        }
        for stretch in places.chunk_by(|one, two| events.event(one).shape == events.event(two).shape) {
            for (at, name) in events.names(events.event(&stretch[0]).shape).iter().enumerate() {
                let column = name.0 as usize;
                if self.columns.len() <= column {
                    self.columns.resize(column + 1, Column::default());
                }
                let keys = &mut self.columns[column].keys;
                if keys.is_empty() {
                    self.names.push(*name);
                }
                keys.extend(stretch.iter().map(|place| {
                    let sample = events.event(place).samples as usize + at;
                    u64::from(events.samples()[sample].bucket() as u32 ^ 1 << 31) << 32 | sample as u64
                }));
            }
        }
        for name in &self.names {
            let Column { keys, buckets } = &mut self.columns[name.0 as usize];
            keys.sort_unstable();
            buckets.clear();
            buckets.resize(keys.len(), 0);
            // Whether the next is the same can't be predicted, so nothing branches on it.
            let (mut code, mut before) = (0, keys[0] >> 32);
            for key in keys {
                let bucket = *key >> 32;
                code += usize::from(bucket != before);
                before = bucket;
                buckets[code] = (bucket as u32 ^ 1 << 31) as i32;
                events.set_code((*key & 0xffff_ffff) as usize, code);
            }
            buckets.truncate(code + 1);
        }
    }

    /// The buckets of a name's codes.
    pub(crate) fn buckets(&self, name: NameId) -> &[i32] {
        self.columns.get(name.0 as usize).map_or(&[], |column| &column.buckets)
    }
}

impl Counts {
    /// Makes room for so many codes.
    pub(crate) fn reserve(&mut self, codes: usize) {
        if self.counts.len() < codes {
            self.counts.resize(codes, 0);
            self.met.resize(codes.div_ceil(64), 0);
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, code: usize) {
        self.counts[code] += 1;
        self.met[code / 64] |= 1 << (code % 64);
    }

    /// How many codes below a limit were met.
    pub(crate) fn distinct(&self, codes: usize) -> usize {
        self.met[..codes.div_ceil(64)].iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Hands out the codes below a limit that were met, in their order, with their counts, and forgets them.
    pub(crate) fn drain(&mut self, codes: usize) -> impl Iterator<Item = (usize, u32)> {
        let Self { met, counts } = self;
        let words = met[..codes.div_ceil(64)].iter_mut().zip((0..).step_by(64));
        words
            .flat_map(|(word, first)| {
                std::iter::from_fn(move || {
                    let code = (*word != 0).then_some(first + word.trailing_zeros() as usize)?;
                    *word &= *word - 1;
                    Some(code)
                })
            })
            .map(|code| (code, std::mem::take(&mut counts[code])))
    }
}
