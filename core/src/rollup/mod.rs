//! Rollups: what reports read instead of events. Merging them is commutative and associative, to the byte.
//!
//! ```text
//! record ─▶ Observation ─▶ Fold ──(reads pages)──▶ pages to write
//! ```
//!
//! A [`Rollup`] is what is known of the events of one hour, event type, dimension and value of that dimension. A page holds
//! the rollups of consecutive values; stores keep pages under keys and know nothing of what is in them.

pub(crate) mod codec;
pub(crate) mod compaction;
pub(crate) mod fold;
pub(crate) mod key;
pub(crate) mod number;
pub(crate) mod observation;
pub(crate) mod page;
pub(crate) mod quantiles;
pub(crate) mod users;

use crate::rollup::codec::{Reader, Writer};
use crate::rollup::number::{Number, Sum};
use crate::rollup::quantiles::Quantiles;
use crate::rollup::users::{UserHash, Users};

/// Numeric properties of a rollup; of more, those with the first names are kept. With [`quantiles`] and [`users`] it bounds a
/// rollup to some 160 kB.
pub(crate) const NUMBERS: usize = 24;

/// Names of properties that one fold or report has met: each has a number, so that rollups need not compare texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Vec<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameId(u32);

impl Names {
    pub(crate) fn id(&mut self, name: &str) -> NameId {
        let at = self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        NameId(at as u32)
    }

    /// The same, looked for first at `place`: events of one type mostly have the same properties.
    pub(crate) fn id_near(&mut self, place: usize, name: &str) -> NameId {
        match self.0.get(place) {
            Some(known) if known == name => NameId(place as u32),
            _ => self.id(name),
        }
    }

    pub(crate) fn name(&self, id: NameId) -> &str {
        self.0.get(id.0 as usize).map_or("", String::as_str)
    }
}

/// Which parts of rollups are read; the others are skipped and stay empty.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Columns<'a> {
    All,
    Some { users: bool, numbers: &'a [NameId] },
}

/// What is known of some events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rollup {
    pub(crate) count: u64,
    pub(crate) users: Users,
    /// At most [`NUMBERS`].
    pub(crate) numbers: Vec<(NameId, Measure)>,
    /// Whether there were more numeric properties.
    pub(crate) numbers_dropped: bool,
}

/// What is known of the values of one numeric property.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(crate) count: u64,
    pub(crate) sum: Sum,
    pub(crate) min: Number,
    pub(crate) max: Number,
    /// Empty while there is one value only.
    quantiles: Quantiles,
}

impl Rollup {
    pub(crate) fn add(&mut self, user: UserHash, numbers: &[(NameId, Number)], names: &Names) {
        self.count += 1;
        self.users.add(user);
        if self.numbers.is_empty() {
            self.numbers.reserve_exact(numbers.len());
        }
        for (at, (name, number)) in numbers.iter().enumerate() {
            // Events of one type mostly have the same properties in the same order.
            let place = match self.numbers.get(at) {
                Some((known, _)) if known == name => Some(at),
                _ => self.numbers.iter().position(|(known, _)| known == name),
            };
            match place {
                Some(at) => self.numbers[at].1.add(*number),
                None => self.insert(*name, Measure::of(*number), names),
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self, names: &Names) {
        if self.count == 0 {
            *self = other;
            return;
        }
        self.count += other.count;
        self.users.merge(other.users);
        self.numbers_dropped |= other.numbers_dropped;
        for (name, measure) in other.numbers {
            match self.numbers.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => known.merge(&measure),
                None => self.insert(name, measure, names),
            }
        }
    }

    /// The first [`NUMBERS`] names of all stay, whatever the order in which they come: a name that had to go never returns,
    /// because the last of those that stay only ever moves forward.
    fn insert(&mut self, name: NameId, measure: Measure, names: &Names) {
        self.numbers.push((name, measure));
        if self.numbers.len() > NUMBERS {
            self.numbers_dropped = true;
            let last = (0..self.numbers.len()).max_by_key(|at| names.name(self.numbers[*at].0));
            last.map(|last| self.numbers.swap_remove(last));
        }
    }

    /// The relative error of quantiles, at best.
    pub(crate) fn relative_error() -> f64 {
        Quantiles::default().relative_error()
    }

    /// `table` has the names of the page's rollups, sorted.
    pub(crate) fn write(&self, writer: &mut Writer, table: &[NameId]) {
        writer.unsigned(u128::from(self.count));
        self.users.write(writer);
        writer.length(self.numbers.len() << 1 | usize::from(self.numbers_dropped));
        for (index, name) in table.iter().enumerate() {
            if let Some((_, measure)) = self.numbers.iter().find(|(known, _)| known == name) {
                writer.length(index);
                writer.nested(|writer| measure.write(writer));
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, table: &[NameId], columns: Columns<'_>) -> Option<Self> {
        let count = reader.small()?;
        let users = match columns {
            Columns::Some { users: false, numbers: [] } => return Some(Self { count, ..Self::default() }),
            _ => Users::read(reader)?,
        };
        let length: usize = reader.small()?;
        let mut rollup = Self { count, users, numbers: Vec::new(), numbers_dropped: length & 1 == 1 };
        for _ in 0..length >> 1 {
            let name = *table.get(reader.small::<usize>()?)?;
            let bytes = reader.bytes()?;
            let wanted = match columns {
                Columns::All => true,
                Columns::Some { numbers, .. } => numbers.contains(&name),
            };
            if wanted {
                rollup.numbers.push((name, Measure::read(&mut Reader(bytes))?));
            }
        }
        Some(rollup)
    }
}

impl Measure {
    pub(crate) fn of(number: Number) -> Self {
        let mut sum = Sum::default();
        sum.add(number);
        Self { count: 1, sum, min: number, max: number, quantiles: Quantiles::default() }
    }

    fn add(&mut self, number: Number) {
        self.fill();
        self.count += 1;
        self.sum.add(number);
        self.min = self.min.smaller(number);
        self.max = self.max.larger(number);
        self.quantiles.add(number);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.fill();
        self.count += other.count;
        self.sum.merge(&other.sum);
        self.min = self.min.smaller(other.min);
        self.max = self.max.larger(other.max);
        if other.count == 1 {
            self.quantiles.add(other.min);
        } else {
            self.quantiles.merge(&other.quantiles);
        }
    }

    /// Puts the first value into the histogram, when a second one comes.
    fn fill(&mut self) {
        if self.count == 1 {
            self.quantiles.add(self.min);
        }
    }

    /// The value with that rank, from 1, within [`Measure::relative_error`].
    pub(crate) fn at_rank(&self, rank: u64) -> Option<Number> {
        let found = if self.count == 1 { self.min } else { Number::from_f64(self.quantiles.at_rank(rank)?)? };
        Some(found.larger(self.min).smaller(self.max))
    }

    pub(crate) fn relative_error(&self) -> f64 {
        self.quantiles.relative_error()
    }

    /// Of one value, that value alone: most rollups of rare values are such.
    fn write(&self, writer: &mut Writer) {
        writer.unsigned(u128::from(self.count));
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
            return Some(Self::of(min));
        }
        let (max, sum) = (Number::read(reader)?, Sum::read(reader)?);
        Some(Self { count, sum, min, max, quantiles: Quantiles::read(reader)? })
    }
}
