//! Writes the rollup of some events as bytes, without making a [`Rollup`](crate::rollups::rollup::Rollup). Most rollups
//! are written once and never merged. If one is stored already, both are read and merged.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

use crate::codec::Writer;
use crate::rollups::counting::{Codes, Counts};
use crate::rollups::exact_sum::ExactSum;
use crate::rollups::fold_events::{FoldEvent, FoldEvents, Shape};
use crate::rollups::hyperloglog::HyperLogLog;
use crate::rollups::interner::{Interner, Symbol};
use crate::rollups::log_histogram::LogHistogram;
use crate::rollups::number::Number;
use crate::rollups::place::Place;
use crate::rollups::rollup::NumericStats;

/// Memory that is reused from one rollup to the next.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    names: Vec<Symbol>,
    /// For each event, the index of its first sample.
    samples: Vec<u32>,
    /// Parts of the events, each with the same names, each with its share of `samples`.
    shapes: Vec<(Shape, usize)>,
    codes: Codes,
    counts: Counts,
    stats: NumericStats,
}

impl Tally {
    /// Writes the rollup of these events. `table` is the name table of their page. It keeps the numbers with
    /// the first `most` names.
    pub(crate) fn write(
        &mut self,
        places: &[Place],
        most: usize,
        events: &FoldEvents,
        names: &Interner,
        table: &[Symbol],
        writer: &mut Writer,
    ) {
        if let [place] = places {
            return Self::write_event(*events.event(place), most, events, names, table, writer);
        }
        writer.length(places.len());
        self.write_users(places, events, writer);
        let are_dropped = self.gather(places, most, events);
        writer.length(self.names.len() << 1 | usize::from(are_dropped));
        let mut next = 0;
        for at in 0..self.names.len() {
            let place = names.place_in(table, self.names[at], next);
            writer.length(place);
            writer.nested(|writer| self.write_stats(at, events, writer));
            next = place + 1;
        }
    }

    /// Call this with all events of a group before writing the rollups of some of them.
    pub(crate) fn group(&mut self, places: &[Place], events: &mut FoldEvents) {
        self.codes.refill(places, events);
    }

    /// Collects the names that are kept, and returns whether any are dropped.
    fn gather(&mut self, places: &[Place], most: usize, events: &FoldEvents) -> bool {
        self.names.clear();
        self.shapes.clear();
        let mut are_dropped = false;
        for (shape, part) in events.by_shape(places) {
            self.shapes.push((shape, part.len()));
            are_dropped |= events.join(shape, most, &mut self.names);
        }
        are_dropped
    }

    /// Writes the users, and collects where the numbers are.
    fn write_users(&mut self, places: &[Place], events: &FoldEvents, writer: &mut Writer) {
        let registers = self.codes.registers();
        let mut values = self.counts.start(registers.len());
        self.samples.clear();
        self.samples.extend(places.iter().map(|place| {
            let FoldEvent { user, user_code, samples, .. } = events.event(place);
            values.set(usize::from(*user_code), |known| known.max(user.value().into()));
            *samples
        }));
        let set = |(code, value)| (registers[code] as u16, value as u8);
        HyperLogLog::write_new(registers.len(), values.drain().map(set), writer);
    }

    /// Writes the statistics of the numbers whose name is at `at`.
    fn write_stats(&mut self, at: usize, events: &FoldEvents, writer: &mut Writer) {
        let Self { stats, codes, counts, .. } = self;
        // These types suffice for small integers: the sum of 2^32 of them fits, and there can't be more places.
        let (mut count, mut sum, mut least, mut most) = (0, 0_i64, i32::MAX, i32::MIN);
        let mut rest = self.samples.as_slice();
        let buckets = codes.buckets(self.names[at]);
        let mut counter = counts.start(buckets.len());
        (stats.count, stats.sum) = (0, ExactSum::default());
        for (shape, length) in &self.shapes {
            let (part, others) = rest.split_at(*length);
            rest = others;
            let Some(at) = events.find(*shape, self.names[at], at) else { continue };
            count += part.len() as u64;
            for from in part {
                let sample = events.samples()[*from as usize + at];
                counter.add(sample.code());
                if let Some(value) = sample.small() {
                    sum += i64::from(value);
                    (least, most) = (least.min(value), most.max(value));
                } else {
                    stats.add(events.number(sample));
                }
            }
        }
        let found = counter.drain().map(|(code, count)| (buckets[code], count.into()));
        if stats.count > 0 || buckets.len() > LogHistogram::MOST {
            if least <= most {
                stats.sum.add(Number::Integer(sum.into()));
                stats.meet(Number::Integer(least.into()));
                stats.meet(Number::Integer(most.into()));
            }
            stats.count = count;
            stats.quantiles = LogHistogram::of(found);
            return stats.write(writer);
        }
        writer.unsigned(count);
        Number::write_small(least.into(), writer);
        if count > 1 {
            Number::write_small(most.into(), writer);
            ExactSum::write_small(sum, writer);
            LogHistogram::write_new(buckets.len().min(self.samples.len()), found, writer);
        } else {
            found.for_each(drop);
        }
    }

    /// Writes the rollup of a single event, which is common for rare values.
    fn write_event(
        event: FoldEvent,
        most: usize,
        events: &FoldEvents,
        names: &Interner,
        table: &[Symbol],
        writer: &mut Writer,
    ) {
        let all = events.names(event.shape);
        let kept = &all[..all.len().min(most)];
        writer.length(1);
        let user = (event.user.register(), event.user.value());
        HyperLogLog::write_new(1, std::iter::once(user), writer);
        writer.length(kept.len() << 1 | usize::from(kept.len() < all.len()));
        let mut next = 0;
        for (name, sample) in kept.iter().zip(&events.samples()[event.samples as usize..]) {
            let place = names.place_in(table, *name, next);
            writer.length(place);
            writer.nested(|writer| {
                writer.byte(1);
                match sample.small() {
                    Some(value) => Number::write_small(value.into(), writer),
                    None => events.number(*sample).write(writer),
                }
            });
            next = place + 1;
        }
    }
}
