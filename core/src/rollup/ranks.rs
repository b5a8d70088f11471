//! Sorting without comparing texts again and again: keys get numbers as they come, and in the end the numbers become ranks.

use std::collections::BTreeMap;

use twox_hash::XxHash3_64;

use crate::rollup::events::Place;

/// An hour and event type, or a dimension and value.
pub(crate) type Key<'a> = (u32, &'a str, &'a str);

/// Keys that are looked for before the map is searched.
const RECENT: usize = 512;

/// The numbers of keys.
pub(crate) struct Ranks<'a> {
    keys: Vec<Key<'a>>,
    numbers: BTreeMap<Key<'a>, u32>,
    /// The number of the last key with that hash: events mostly have the values that those before had. Hashes that
    /// meet cost a search, and no more.
    recent: [u32; RECENT],
}

impl<'a> Ranks<'a> {
    pub(crate) fn new() -> Self {
        Self { keys: Vec::new(), numbers: BTreeMap::new(), recent: [0; RECENT] }
    }

    pub(crate) fn number(&mut self, key: Key<'a>) -> u32 {
        let hash = XxHash3_64::oneshot(key.2.as_bytes()).wrapping_add(u64::from(key.0)) as usize;
        let recent = &mut self.recent[hash % RECENT];
        if self.keys.get(*recent as usize) != Some(&key) {
            let next = self.keys.len() as u32;
            *recent = *self.numbers.entry(key).or_insert(next);
            if *recent == next {
                self.keys.push(key);
            }
        }
        *recent
    }

    /// The keys, sorted, and for each number the place of its key there.
    pub(crate) fn sorted(self) -> (Vec<Key<'a>>, Vec<u32>) {
        let mut ranks = vec![0; self.keys.len()];
        for (rank, number) in (0..).zip(self.numbers.values()) {
            ranks[*number as usize] = rank;
        }
        (self.numbers.into_keys().collect(), ranks)
    }
}

/// Sorts places by ranks, by counting. Those with the same rank stay in their order.
pub(crate) fn sort(places: &[Place], ranks: usize, rank: impl Fn(&Place) -> u32) -> Vec<Place> {
    let mut starts = vec![0_u32; ranks];
    for place in places {
        starts[rank(place) as usize] += 1;
    }
    let mut start = 0;
    for count in &mut starts {
        start += std::mem::replace(count, start);
    }
    let mut sorted = vec![Place::default(); places.len()];
    for place in places {
        let at = &mut starts[rank(place) as usize];
        sorted[*at as usize] = *place;
        *at += 1;
    }
    sorted
}
