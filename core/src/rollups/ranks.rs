//! Sorts without comparing texts again and again: keys get numbers as they come, and places are sorted by counting.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

use std::collections::BTreeMap;

use crate::rollups::place::Place;
use crate::rollups::text::{is_same_text, word};

/// An hour and event type, or a dimension and value.
pub(crate) type Key<'a> = (u32, &'a str, &'a str);

/// How many recent keys are looked up before the map is searched.
const RECENT: usize = 1024;

/// Numbers for keys, and the count of places for each key.
pub(crate) struct Ranks<'a> {
    keys: Vec<Key<'a>>,
    places: Vec<u32>,
    numbers: BTreeMap<Key<'a>, u32>,
    /// The number of the last key in each slot. Events mostly repeat the values of earlier events. If two keys share a
    /// slot, that costs a search and nothing more.
    recent: [u32; RECENT],
}

impl<'a> Ranks<'a> {
    pub(crate) fn new() -> Self {
        Self { keys: Vec::new(), places: Vec::new(), numbers: BTreeMap::new(), recent: [0; RECENT] }
    }

    /// The number of a key, whose count grows by `places`.
    pub(crate) fn number(&mut self, key: Key<'a>, places: u32) -> u32 {
        let recent = &mut self.recent[slot(key)];
        if !self.keys.get(*recent as usize).is_some_and(|known| is_same(*known, key)) {
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

    /// The keys, indexed by their numbers.
    pub(crate) fn keys(&self) -> &[Key<'a>] {
        &self.keys
    }

    /// The keys, sorted, each with its count of places.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = (Key<'a>, u32)> {
        self.numbers.iter().map(|(key, number)| (*key, self.places[*number as usize]))
    }

    /// Sorts places by their keys. Places with the same key keep their order.
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

/// The slot where a key is looked up first. It mixes the ends of its texts, where similar texts mostly differ.
fn slot((number, name, value): Key<'_>) -> usize {
    let last = value.as_bytes().last_chunk().map_or_else(|| word(value.as_bytes()), |last| u64::from_le_bytes(*last));
    let lengths = (name.len() << 8 | value.len()) as u64;
    let mixed = (last ^ u64::from(number) << 32 ^ lengths << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - RECENT.ilog2())) as usize
}

#[inline]
fn is_same(one: Key<'_>, other: Key<'_>) -> bool {
    one.0 == other.0 && is_same_text(one.1, other.1) && is_same_text(one.2, other.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_sorted_by_key_and_stay_in_their_order() {
        let mut ranks = Ranks::new();
        let keys: Vec<_> = (0..3000).map(|event| format!("{}", event * 7919 % 2003)).collect();
        let mut places = Vec::new();
        for (event, key) in (0..).zip(&keys) {
            places.push(Place { column: ranks.number((0, "dest", key), 1), event });
        }
        let sorted = ranks.sort(&places, |place| place.column);
        let of = |place: &Place| (keys[place.event as usize].as_str(), place.event);
        assert!(sorted.is_sorted_by_key(of) && sorted.len() == keys.len());
        assert!(ranks.sorted().all(|(_, places)| places <= 2) && ranks.keys().len() == 2003);
    }
}
