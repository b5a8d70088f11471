//! The events of a fold, as they are kept until rollups count them.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

use std::borrow::Cow;

use crate::rollups::hyperloglog::UserHash;
use crate::rollups::interner::{Interner, Symbol};
use crate::rollups::number::Number;
use crate::rollups::numbers_cap::{NAMES_OF_PAGE, NUMBERS};
use crate::rollups::observation::Observation;
use crate::rollups::place::{Place, Run};
use crate::rollups::sample::Sample;
use crate::rollups::text::is_same_text;

/// A list of names is searched name by name up to this length.
const SHORT: usize = 2 * NUMBERS;

/// Events in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct FoldEvents {
    list: Vec<FoldEvent>,
    /// The names of events' numbers. The names of one event follow each other, sorted.
    shapes: Vec<Symbol>,
    samples: Vec<Sample>,
    /// The samples' numbers that are not small integers.
    large: Vec<Number>,
    /// The rank of each name in the order of names.
    ranks: Vec<u32>,
    /// Whether all events of the current group have the same shape, as events of one type mostly do.
    is_uniform: bool,
}

/// What is counted of one event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoldEvent {
    pub(crate) user: UserHash,
    /// The code of the user's register within the group, once it is assigned.
    pub(crate) user_code: u16,
    pub(crate) shape: Shape,
    /// The index of its first sample.
    pub(crate) samples: u32,
    dimensions_dropped: bool,
}

/// The place of the names of an event's numbers. Consecutive events with the same names, as most have, share a shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    from: u32,
    until: u32,
}

impl FoldEvents {
    /// An empty list with room for `events` events, if all are like the first.
    pub(crate) fn with_room_for(events: usize, first: Option<&Observation<'_>>) -> Self {
        let samples = events * first.map_or(0, |first| first.numbers.len());
        Self { list: Vec::with_capacity(events), samples: Vec::with_capacity(samples), ..Self::default() }
    }

    pub(crate) fn push(&mut self, observation: &Observation<'_>, names: &mut Interner) {
        let shape = self.shape_of(observation, names);
        let samples = self.samples.len() as u32;
        let Observation { user, dimensions_dropped, ref numbers, ref large, .. } = *observation;
        let before = self.large.len();
        self.samples.extend(numbers.iter().map(|(_, sample)| sample.after(before)));
        self.large.extend_from_slice(large);
        self.list.push(FoldEvent { user, user_code: 0, shape, samples, dimensions_dropped });
    }

    fn shape_of(&mut self, Observation { numbers, .. }: &Observation<'_>, names: &mut Interner) -> Shape {
        let before = self.list.last().map_or(Shape::default(), |event| event.shape);
        let known = self.names(before);
        let is_same = |(id, (name, _)): (&Symbol, &(Cow<'_, str>, Sample))| is_same_text(names.name(*id), name);
        if known.len() == numbers.len() && known.iter().zip(numbers).all(is_same) {
            return before;
        }
        let from = self.shapes.len() as u32;
        self.shapes.extend(numbers.iter().enumerate().map(|(at, (name, _))| names.intern_near(at, name)));
        Shape { from, until: self.shapes.len() as u32 }
    }

    /// The names of the numbers of events of this shape.
    pub(crate) fn names(&self, Shape { from, until }: Shape) -> &[Symbol] {
        &self.shapes[from as usize..until as usize]
    }

    pub(crate) fn event(&self, place: &Place) -> &FoldEvent {
        &self.list[place.event as usize]
    }

    pub(crate) fn dimensions_dropped(&self, places: &[Place]) -> bool {
        places.iter().any(|place| self.event(place).dimensions_dropped)
    }

    /// Adds the names of an event's numbers to the sorted names that a rollup keeps, and returns whether any are
    /// dropped. The first `most` of all names stay.
    pub(crate) fn join(&self, shape: Shape, most: usize, kept: &mut Vec<Symbol>) -> bool {
        let mut are_dropped = false;
        if kept.is_empty() {
            kept.extend_from_slice(self.names(shape));
        } else {
            for name in self.names(shape) {
                let is_beyond = |last: &Symbol| kept.len() >= most && self.rank(*last) < self.rank(*name);
                if kept.last().is_some_and(is_beyond) {
                    // So are the names after this one.
                    are_dropped = true;
                    break;
                }
                if kept.contains(name) {
                    continue;
                }
                let place = kept.partition_point(|known| self.rank(*known) < self.rank(*name));
                kept.insert(place, *name);
            }
        }
        are_dropped |= kept.len() > most;
        kept.truncate(most);
        are_dropped
    }

    fn rank(&self, name: Symbol) -> u32 {
        self.ranks.get(name.0 as usize).copied().unwrap_or_default()
    }

    /// Call this after the last [`push`](FoldEvents::push) and before any method that reads the events.
    pub(crate) fn close(&mut self, names: &Interner) {
        self.ranks = names.ranks();
    }

    /// Adds the names of all numbers that the rollups of these runs keep to a table that is sorted by name; not all of
    /// them if they are more than a page takes.
    pub(crate) fn join_names(&self, runs: &[Run<'_>], most: usize, names: &Interner, table: &mut Vec<Symbol>) {
        let before = table.len();
        let mut kept = Vec::new();
        let mut joined = None;
        // If all events have the same names, the first run has them all.
        let runs = if self.is_uniform { &runs[..runs.len().min(1)] } else { runs };
        for run in runs {
            if self.by_shape(run.places).all(|(shape, _)| Some(shape) == joined) {
                continue;
            }
            kept.clear();
            let (mut last, mut are_dropped) = (None, false);
            for (shape, _) in self.by_shape(run.places) {
                are_dropped |= self.join(shape, most, &mut kept);
                last = Some(shape);
            }
            // A short table is searched for repeats; a long one is sorted in the end, which removes them.
            for name in &kept {
                if table.len() > SHORT || !table.contains(name) {
                    table.push(*name);
                }
            }
            joined = last.filter(|_| !are_dropped);
            if table.len() > 4 * NAMES_OF_PAGE {
                names.sort(table);
                if table.len() > NAMES_OF_PAGE {
                    return;
                }
            }
        }
        if table.len() > before {
            names.sort(table);
        }
    }

    /// True if the table lacks the name of a number that a rollup of these events would keep: one of an event's first `most`.
    pub(crate) fn has_other_names(&self, places: &[Place], most: usize, table: &[Symbol]) -> bool {
        let mut shapes = self.by_shape(places).map(|(shape, _)| self.names(shape));
        shapes.any(|names| names.iter().take(most).any(|name| !table.contains(name)))
    }

    /// Splits the events of a group into parts with the same shape.
    pub(crate) fn by_shape<'p>(&self, places: &'p [Place]) -> impl Iterator<Item = (Shape, &'p [Place])> {
        let mut rest = places;
        std::iter::from_fn(move || {
            let shape = self.event(rest.first()?).shape;
            let is_other = |place: &Place| self.event(place).shape != shape;
            let length = if self.is_uniform { None } else { rest.iter().position(is_other) };
            let (part, others) = rest.split_at(length.unwrap_or(rest.len()));
            rest = others;
            Some((shape, part))
        })
    }

    /// Call this with all events of a group before calling [`by_shape`](FoldEvents::by_shape) for any of them.
    pub(crate) fn enter(&mut self, group: &[Place]) {
        self.is_uniform = false;
        self.is_uniform = self.by_shape(group).count() == 1;
    }

    /// The index of the number with this name in events of this shape. It is mostly `at`.
    pub(crate) fn find(&self, shape: Shape, name: Symbol, at: usize) -> Option<usize> {
        let names = self.names(shape);
        if names.get(at) == Some(&name) { Some(at) } else { names.iter().position(|known| *known == name) }
    }

    /// The samples of all events. Those of an event start at its `samples`.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Sets the code of an event's user.
    pub(crate) fn set_user_code(&mut self, event: usize, code: usize) {
        self.list[event].user_code = code as u16;
    }

    /// Replaces the bucket of a sample by its code.
    pub(crate) fn set_code(&mut self, sample: usize, code: usize) {
        self.samples[sample].set_code(code);
    }

    /// The number of a sample.
    pub(crate) fn number(&self, sample: Sample) -> Number {
        sample.number(&self.large)
    }
}
