//! The interner: names of properties as numbers, so that rollups need not compare texts.

use std::collections::BTreeMap;
use std::sync::Arc;

/// An interner for the names of properties in one fold or report. Each name gets a number, so that rollups need not
/// compare texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    list: Vec<Arc<str>>,
    /// A tree rather than a hash map, because clients choose the names and a tree has no bad worst case.
    numbers: BTreeMap<Arc<str>, Symbol>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Symbol(pub(crate) u32);

impl Symbol {
    /// A name that the interner does not have.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX);
}

impl Interner {
    pub(crate) fn find(&self, name: &str) -> Option<Symbol> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn intern(&mut self, name: &str) -> Symbol {
        if let Some(known) = self.find(name) {
            return known;
        }
        let (id, name) = (Symbol(self.list.len() as u32), Arc::<str>::from(name));
        self.list.push(Arc::clone(&name));
        self.numbers.insert(name, id);
        id
    }

    /// Like [`Interner::intern`], but looks at `place` first, because events of one type mostly have the same
    /// properties.
    pub(crate) fn intern_near(&mut self, place: usize, name: &str) -> Symbol {
        match self.list.get(place) {
            Some(known) if **known == *name => Symbol(place as u32),
            _ => self.intern(name),
        }
    }

    pub(crate) fn name(&self, id: Symbol) -> &str {
        self.list.get(id.0 as usize).map_or("", |name| name)
    }

    /// The rank of each name in the order of all names, indexed by the name's number.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0; self.list.len()];
        for (rank, id) in (0..).zip(self.numbers.values()) {
            if let Some(place) = ranks.get_mut(id.0 as usize) {
                *place = rank;
            }
        }
        ranks
    }

    /// Sorts a list by name and removes repeated names.
    pub(crate) fn sort(&self, list: &mut Vec<Symbol>) {
        // Sorting by number first is quick, and mostly leaves few names to compare.
        list.sort_unstable();
        list.dedup();
        list.sort_unstable_by(|one, two| self.name(*one).cmp(self.name(*two)));
    }

    /// The index of a name in a page's sorted table. It is mostly `next`, because rollups mostly have all names.
    pub(crate) fn place_in(&self, table: &[Symbol], name: Symbol, next: usize) -> usize {
        match table.get(next) {
            Some(known) if *known == name => next,
            _ => table.partition_point(|known| self.name(*known) < self.name(name)),
        }
    }
}
