//! The periods in which a stream received records that were lost before they were folded.
//!
//! A lost event can still be looked up, but no report counts it, and nobody knows its hour any more. Most events are
//! sent in the hour in which they occur. So reports of the hours in which lost records were written say that they are
//! incomplete.

use std::ops::Range;

use crate::codec::{Reader, Writer};
use crate::formats;
use crate::vocabulary::time::Millis;

/// The most periods that are kept. Every report reads them all, so beyond this number the closest two are joined.
const TIMES: usize = 200;

/// Lost periods, in order, which do not touch each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LostTimes(Vec<Range<Millis>>);

impl LostTimes {
    /// Stands in for a list that can't be read: any event may be lost.
    pub(crate) fn any() -> Self {
        Self(vec![Millis(0)..Millis(u64::MAX)])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn extend(&mut self, periods: impl IntoIterator<Item = Range<Millis>>) {
        periods.into_iter().for_each(|period| self.add(period));
    }

    /// Adds a period, joined with any known periods that it touches.
    pub(crate) fn add(&mut self, Range { mut start, mut end }: Range<Millis>) {
        self.0.retain(|known| {
            let is_apart = known.end < start || end < known.start;
            if !is_apart {
                (start, end) = (start.min(known.start), end.max(known.end));
            }
            is_apart
        });
        let place = self.0.partition_point(|known| known.start < start);
        self.0.insert(place, start..end);
        while self.0.len() > TIMES {
            let gap = |at: &usize| match (self.0.get(*at), self.0.get(at + 1)) {
                (Some(one), Some(next)) => next.start.0.saturating_sub(one.end.0),
                _ => u64::MAX,
            };
            let Some(at) = (0..self.0.len()).min_by_key(gap) else { return };
            let next = self.0.remove(at + 1);
            self.0.iter_mut().skip(at).take(1).for_each(|one| one.end = next.end);
        }
    }

    /// Whether any lost period overlaps this time.
    pub(crate) fn overlap(&self, time: &Range<Millis>) -> bool {
        self.0.iter().any(|lost| lost.start < time.end && time.start <= lost.end)
    }

    /// Layout of version 1: the version; the number of periods; then the start and the length of each, in milliseconds.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer(vec![formats::LOST]);
        writer.length(self.0.len());
        for Range { start, end } in &self.0 {
            writer.unsigned(start.0);
            writer.unsigned(end.0.saturating_sub(start.0));
        }
        writer.0
    }

    /// Reads a list; `None` if the bytes are not a valid one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.byte().filter(|version| *version == formats::LOST)?;
        let mut times = Vec::new();
        for _ in 0..reader.small::<usize>()? {
            let (start, length): (u64, u64) = (reader.small()?, reader.small()?);
            times.push(Millis(start)..Millis(start.saturating_add(length)));
        }
        reader.is_empty().then_some(Self(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(all: &[(u64, u64)]) -> LostTimes {
        let mut times = LostTimes::default();
        all.iter().for_each(|(start, end)| times.add(Millis(*start)..Millis(*end)));
        times
    }

    #[track_caller]
    fn check(added: &[(u64, u64)], expected: &[(u64, u64)]) {
        let expected = expected.iter().map(|(start, end)| Millis(*start)..Millis(*end)).collect();
        let times = times(added);
        assert_eq!(times, LostTimes(expected));
        assert_eq!(LostTimes::parse(&times.to_bytes()), Some(times));
    }

    #[test]
    fn times_that_touch_are_one() {
        check(&[], &[]);
        check(&[(10, 20), (30, 40)], &[(10, 20), (30, 40)]);
        check(&[(30, 40), (10, 20), (32, 35)], &[(10, 20), (30, 40)]);
        check(&[(10, 20), (30, 40), (20, 25)], &[(10, 25), (30, 40)]);
        check(&[(10, 20), (30, 40), (50, 60), (15, 50)], &[(10, 60)]);
    }

    #[test]
    fn a_time_overlaps_what_it_has_a_moment_of() {
        let lost = times(&[(10, 20), (30, 30)]);
        for (start, end, overlaps) in [(0, 10, false), (0, 11, true), (20, 25, true), (21, 30, false), (30, 31, true)] {
            assert_eq!(lost.overlap(&(Millis(start)..Millis(end))), overlaps, "{start}..{end}");
        }
        assert!(LostTimes::any().overlap(&(Millis(5)..Millis(6))));
    }

    #[test]
    fn the_closest_of_too_many_are_joined() {
        let many: Vec<(u64, u64)> = (0..TIMES as u64).map(|at| (at * 1000, at * 1000 + 10)).collect();
        let mut lost = times(&many);
        lost.add(Millis(5_100)..Millis(5_110));
        assert_eq!(lost.0.len(), TIMES);
        assert!(lost.overlap(&(Millis(5_050)..Millis(5_060))) && !lost.overlap(&(Millis(5_200)..Millis(5_300))));
        assert!(lost.to_bytes().len() < 2_000);
    }

    #[test]
    fn what_is_no_list_is_not_read() {
        let bytes = times(&[(10, 20), (300, 400)]).to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(LostTimes::parse(&bytes[..length]), None, "{length}");
        }
        assert_eq!(LostTimes::parse(&[&[2], &bytes[1..]].concat()), None);
        assert_eq!(LostTimes::parse(&[&*bytes, &[0]].concat()), None);
    }
}
