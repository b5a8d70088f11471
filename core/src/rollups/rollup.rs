//! A rollup: what reports need of the events of one hour, event type, dimension and value.

use crate::codec::{Reader, Writer};
use crate::rollups::exact_sum::ExactSum;
use crate::rollups::hyperloglog::HyperLogLog;
use crate::rollups::interner::{Interner, Symbol};
use crate::rollups::log_histogram::{LogHistogram, bucket_of};
use crate::rollups::number::Number;

/// The most names of one kind (dimensions, event types) that a day has rollups of. This bounds what is stored once a
/// day to some 100 kB.
pub(crate) const NAMES_A_DAY: usize = 500;

/// Which parts of rollups to read; the others are skipped and stay empty.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parts<'a> {
    All,
    Some { users: bool, numbers: &'a [Symbol] },
}

/// A summary of some events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rollup {
    pub(crate) count: u64,
    pub(crate) users: HyperLogLog,
    /// In stored rollups these are sorted by name, and at most [`NUMBERS`](crate::rollups::numbers_cap::NUMBERS).
    pub(crate) numbers: Vec<(Symbol, NumericStats)>,
    /// Whether there were more numeric properties, which were dropped.
    pub(crate) numbers_dropped: bool,
}

/// Statistics of the values of one numeric property.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumericStats {
    pub(crate) count: u64,
    pub(crate) sum: ExactSum,
    pub(crate) min: Number,
    pub(crate) max: Number,
    /// Empty while there is only one value.
    pub(crate) quantiles: LogHistogram,
}

impl Rollup {
    /// Merges a rollup that was read. All numeric properties stay: `other` is an hour of a day, or what a query asks
    /// for.
    pub(crate) fn merge(&mut self, other: Self, names: &Interner) {
        if self.count == 0 {
            *self = other;
            return;
        }
        self.count = self.count.saturating_add(other.count);
        self.users.merge(other.users);
        self.numbers_dropped |= other.numbers_dropped;
        for (name, stats) in other.numbers {
            match self.numbers.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => known.merge(&stats),
                None => {
                    let is_before = |(known, _): &(Symbol, NumericStats)| names.name(*known) < names.name(name);
                    self.numbers.insert(self.numbers.partition_point(is_before), (name, stats));
                }
            }
        }
    }

    /// Keeps the numbers with the first `most` names, and drops the others.
    pub(crate) fn keep_numbers(&mut self, most: usize) {
        self.numbers_dropped |= self.numbers.len() > most;
        self.numbers.truncate(most);
    }

    /// True if this rollup has dropped numbers that the other one has. A sum of both would lack events in them.
    pub(crate) fn lacks_numbers_of(&self, other: &Self) -> bool {
        let has = |name: &Symbol| self.numbers.iter().any(|(known, _)| known == name);
        self.numbers_dropped && !other.numbers.iter().all(|(name, _)| has(name))
    }

    /// Whether all numbers were dropped. Such a rollup never gets numbers again.
    pub(crate) fn has_no_numbers_left(&self) -> bool {
        self.numbers_dropped && self.numbers.is_empty()
    }

    /// How many numbers a written rollup has, and the bytes that they take.
    pub(crate) fn numbers_of(entry: &[u8]) -> (usize, usize) {
        let mut reader = Reader(entry);
        let _count = reader.small::<u64>();
        let _users = HyperLogLog::read(&mut reader);
        let bytes = reader.0.len();
        (reader.small::<usize>().unwrap_or_default() >> 1, bytes)
    }

    /// Bytes of memory that the rollup takes, estimated the same on every target.
    pub(crate) fn memory(&self) -> usize {
        // Twice what is used, because lists grow by doubling and tree nodes are half full.
        const ROLLUP: usize = 160;
        const STATS: usize = 320;
        let numbers = self.numbers.iter();
        let numbers = numbers.map(|(_, stats)| STATS + stats.sum.memory() + stats.quantiles.memory());
        ROLLUP + self.users.memory() + numbers.sum::<usize>()
    }

    /// The relative error of quantiles at best.
    pub(crate) fn relative_error() -> f64 {
        LogHistogram::default().relative_error()
    }

    /// Writes the rollup. `table` has the names of the page's rollups, sorted.
    pub(crate) fn write(&self, writer: &mut Writer, table: &[Symbol], names: &Interner) {
        writer.unsigned(self.count);
        self.users.write(writer);
        writer.length(self.numbers.len() << 1 | usize::from(self.numbers_dropped));
        let mut next = 0;
        for (name, stats) in &self.numbers {
            let place = names.place_in(table, *name, next);
            writer.length(place);
            writer.nested(|writer| stats.write(writer));
            next = place + 1;
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, table: &[Symbol], parts: Parts<'_>) -> Option<Self> {
        let count = reader.small()?;
        let users = match parts {
            Parts::Some { users: false, numbers: [] } => return Some(Self { count, ..Self::default() }),
            _ => HyperLogLog::read(reader)?,
        };
        let length: usize = reader.small()?;
        let mut rollup = Self { count, users, numbers: Vec::new(), numbers_dropped: length & 1 == 1 };
        for _ in 0..length >> 1 {
            let name = *table.get(reader.small::<usize>()?)?;
            let bytes = reader.bytes()?;
            let wanted = match parts {
                Parts::All => true,
                Parts::Some { numbers, .. } => numbers.contains(&name),
            };
            if wanted {
                rollup.numbers.push((name, NumericStats::read(&mut Reader(bytes))?));
            }
        }
        Some(rollup)
    }
}

impl NumericStats {
    /// Adds a number that is not a small integer. Few are, so this stays outside the loop over small integers.
    #[inline(never)]
    pub(crate) fn add(&mut self, number: Number) {
        self.sum.add(number);
        self.meet(number);
    }

    /// Widens minimum and maximum to this number.
    pub(crate) fn meet(&mut self, number: Number) {
        if self.count == 0 {
            (self.count, self.min, self.max) = (1, number, number);
        } else if number.compare(self.min).is_lt() {
            self.min = number;
        } else if number.compare(self.max).is_gt() {
            self.max = number;
        }
    }

    fn merge(&mut self, other: &Self) {
        for single in [&*self, other].map(|one| (one.count == 1).then(|| bucket_of(one.min))).into_iter().flatten() {
            self.quantiles.add(single);
        }
        self.quantiles.merge(&other.quantiles);
        self.count = self.count.saturating_add(other.count);
        self.sum.merge(&other.sum);
        self.meet(other.min);
        self.meet(other.max);
    }

    /// The value with this rank, counted from 1, within [`NumericStats::relative_error`].
    pub(crate) fn at_rank(&self, rank: u64) -> Option<Number> {
        let found = if self.count == 1 { self.min } else { Number::from_f64(self.quantiles.at_rank(rank)?)? };
        Some(found.larger(self.min).smaller(self.max))
    }

    pub(crate) fn relative_error(&self) -> f64 {
        self.quantiles.relative_error()
    }

    /// Writes the statistics. Most rollups of rare values have one value, and then only the value is written.
    /// [`Tally`](crate::rollups::tally::Tally) writes the same bytes without making these statistics where it can.
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.unsigned(self.count);
        self.min.write(writer);
        if self.count > 1 {
            self.max.write(writer);
            self.sum.write(writer);
            self.quantiles.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let count = reader.small()?;
        let min = Number::read(reader)?;
        if count == 1 {
            let mut sum = ExactSum::default();
            sum.add(min);
            return Some(Self { count, sum, min, max: min, quantiles: LogHistogram::default() });
        }
        let (max, sum) = (Number::read(reader)?, ExactSum::read(reader)?);
        Some(Self { count, sum, min, max, quantiles: LogHistogram::read(reader)? })
    }
}
