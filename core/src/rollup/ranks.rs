//! Sorting without comparing texts again and again: keys get numbers as they come, and places are sorted by counting.

use std::collections::BTreeMap;

use twox_hash::XxHash3_64;

use crate::rollup::events::Place;

/// An hour and event type, or a dimension and value.
pub(crate) type Key<'a> = (u32, &'a str, &'a str);

/// Keys that are looked for before the map is searched.
const RECENT: usize = 512;

/// The numbers of keys, and how many places each has.
pub(crate) struct Ranks<'a> {
    keys: Vec<Key<'a>>,
    places: Vec<u32>,
    numbers: BTreeMap<Key<'a>, u32>,
    /// The number of the last key with that hash: events mostly have the values that those before had. Hashes that
    /// meet cost a search, and no more.
    recent: [u32; RECENT],
}

impl<'a> Ranks<'a> {
    pub(crate) fn new() -> Self {
        Self { keys: Vec::new(), places: Vec::new(), numbers: BTreeMap::new(), recent: [0; RECENT] }
    }

    /// The number of a key that has some more places.
    pub(crate) fn number(&mut self, key: Key<'a>, places: u32) -> u32 {
        let hash = XxHash3_64::oneshot(key.2.as_bytes()).wrapping_add(u64::from(key.0)) as usize;
        let recent = &mut self.recent[hash % RECENT];
        if self.keys.get(*recent as usize) != Some(&key) {
            let next = self.keys.len() as u32;
            *recent = *self.numbers.entry(key).or_insert(next);
            if *recent == next {
                self.keys.push(key);
                self.places.push(0);
            }
        }
        self.places[*recent as usize] += places;
        *recent
    }

    /// The keys by their numbers.
    pub(crate) fn keys(&self) -> &[Key<'a>] {
        &self.keys
    }

    /// The keys, sorted, each with its count of places.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = (Key<'a>, u32)> {
        self.numbers.iter().map(|(key, number)| (*key, self.places[*number as usize]))
    }

    /// Sorts places by their keys. Those with the same key stay in their order.
    pub(crate) fn sort(&self, places: &[Place], number: impl Fn(&Place) -> u32) -> Vec<Place> {
        let mut starts = vec![0; self.keys.len()];
        let mut start = 0;
        for number in self.numbers.values() {
            starts[*number as usize] = start;
            start += self.places[*number as usize];
        }
        let mut sorted = vec![Place::default(); places.len()];
        for place in places {
            let at = &mut starts[number(place) as usize];
            sorted[*at as usize] = *place;
            *at += 1;
        }
        sorted
    }
}
