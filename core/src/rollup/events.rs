//! What a fold keeps of its events until they are counted in rollups.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

use std::borrow::Cow;

use crate::rollup::number::Number;
use crate::rollup::observation::Observation;
use crate::rollup::quantiles::bucket_of;
use crate::rollup::ranks::is_same_text;
use crate::rollup::users::UserHash;
use crate::rollup::{NUMBERS, NameId, Names};

/// A list of names up to this length is searched name by name.
const SHORT: usize = 2 * NUMBERS;

/// Events, by the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    list: Vec<Event>,
    /// Names of events' numbers, sorted by name: those of one event, one after another.
    shapes: Vec<NameId>,
    samples: Vec<Sample>,
    /// The numbers of samples that are no small integers.
    large: Vec<Number>,
    /// Where each name stands in the order of names.
    ranks: Vec<u32>,
    /// Whether all events of the group that was given codes last have the same shape, as those of one type mostly have.
    is_uniform: bool,
}

/// What is counted of one event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) user: UserHash,
    /// The place of the user's register among those of the group, once there is one.
    pub(crate) user_code: u16,
    pub(crate) shape: Shape,
    /// Where its numbers start.
    pub(crate) samples: u32,
    dimensions_dropped: bool,
}

/// Where the names of an event's numbers are; the same for events with the same names in a row, as most are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    from: u32,
    until: u32,
}

/// A number of an event, in a quarter of its room. It counts in as many rollups as the event has dimensions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Itself, if it is small; else where it stands among those that are not.
    value: i32,
    /// Its bucket of quantiles, or its code, once there is one; and in the lowest bit whether it is small.
    bucket: i32,
}

impl Sample {
    /// Of a number, which goes to those that are large if it is no small integer.
    pub(crate) fn of(number: Number, large: &mut Vec<Number>) -> Self {
        let bucket = bucket_of(number) << 1;
        if let Number::Integer(value) = number
            && let Ok(value) = i32::try_from(value)
        {
            return Self { value, bucket: bucket | 1 };
        }
        large.push(number);
        Self { value: large.len() as i32 - 1, bucket }
    }

    /// The same where so many large numbers come before those of its event.
    #[inline]
    fn after(self, large: usize) -> Self {
        let is_small = self.small().is_some();
        Self { value: if is_small { self.value } else { self.value + large as i32 }, ..self }
    }

    /// The number, which may be among those that are large.
    pub(crate) fn number(self, large: &[Number]) -> Number {
        match self.small() {
            Some(value) => Number::Integer(value.into()),
            None => large[self.value as u32 as usize],
        }
    }

    /// The number, if it is a small integer, as most are.
    #[inline]
    pub(crate) fn small(self) -> Option<i32> {
        (self.bucket & 1 == 1).then_some(self.value)
    }

    pub(crate) fn bucket(self) -> i32 {
        self.bucket >> 1
    }

    /// The place of its bucket among those of its group and name; see [`Codes`](crate::rollup::codes::Codes).
    #[inline]
    pub(crate) fn code(self) -> usize {
        (self.bucket >> 1) as usize
    }
}

/// That an event goes into the rollup of a dimension and value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) column: u32,
    pub(crate) event: u32,
}

/// Events with one value of a dimension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) dimension: &'a str,
    pub(crate) value: &'a str,
    pub(crate) places: &'a [Place],
}

impl Run<'_> {
    pub(crate) fn is_of_dimension(&self, other: &Self) -> bool {
        is_same_text(self.dimension, other.dimension)
    }
}

impl Events {
    /// With room for so many events, if they are like the first of them, as most are.
    pub(crate) fn with_room_for(events: usize, first: Option<&Observation<'_>>) -> Self {
        let samples = events * first.map_or(0, |first| first.numbers.len());
        Self { list: Vec::with_capacity(events), samples: Vec::with_capacity(samples), ..Self::default() }
    }

    pub(crate) fn push(&mut self, observation: &Observation<'_>, names: &mut Names) {
        let shape = self.shape_of(observation, names);
        let samples = self.samples.len() as u32;
        let Observation { user, dimensions_dropped, ref numbers, ref large, .. } = *observation;
        let before = self.large.len();
        self.samples.extend(numbers.iter().map(|(_, sample)| sample.after(before)));
        self.large.extend_from_slice(large);
        self.list.push(Event { user, user_code: 0, shape, samples, dimensions_dropped });
    }

    fn shape_of(&mut self, Observation { numbers, .. }: &Observation<'_>, names: &mut Names) -> Shape {
        let before = self.list.last().map_or(Shape::default(), |event| event.shape);
        let known = self.names(before);
        let is_same = |(id, (name, _)): (&NameId, &(Cow<'_, str>, Sample))| is_same_text(names.name(*id), name);
        if known.len() == numbers.len() && known.iter().zip(numbers).all(is_same) {
            return before;
        }
        let from = self.shapes.len() as u32;
        self.shapes.extend(numbers.iter().enumerate().map(|(at, (name, _))| names.id_near(at, name)));
        Shape { from, until: self.shapes.len() as u32 }
    }

    /// The names of the numbers of events of this shape.
    pub(crate) fn names(&self, Shape { from, until }: Shape) -> &[NameId] {
        &self.shapes[from as usize..until as usize]
    }

    pub(crate) fn event(&self, place: &Place) -> &Event {
        &self.list[place.event as usize]
    }

    pub(crate) fn dimensions_dropped(&self, places: &[Place]) -> bool {
        places.iter().any(|place| self.event(place).dimensions_dropped)
    }

    /// Adds the names of an event's numbers to those that a rollup keeps, sorted by name, and says whether there are more.
    /// The first [`NUMBERS`] names of all stay, whatever the order in which they come: a name that had to go never returns,
    /// because the last of those that stay only ever moves forward.
    pub(crate) fn join(&self, shape: Shape, kept: &mut Vec<NameId>) -> bool {
        let mut are_dropped = false;
        if kept.is_empty() {
            kept.extend_from_slice(self.names(shape));
        } else {
            for name in self.names(shape) {
                if kept.contains(name) {
                    continue;
                }
                let place = kept.partition_point(|known| self.rank(*known) < self.rank(*name));
                if place >= NUMBERS {
                    // The names after it stand further back still.
                    are_dropped = true;
                    break;
                }
                kept.insert(place, *name);
            }
        }
        are_dropped |= kept.len() > NUMBERS;
        kept.truncate(NUMBERS);
        are_dropped
    }

    fn rank(&self, name: NameId) -> u32 {
        self.ranks.get(name.0 as usize).copied().unwrap_or_default()
    }

    /// Call this once all events are in, and before anything else is asked for.
    pub(crate) fn close(&mut self, names: &Names) {
        self.ranks = names.ranks();
    }

    /// Adds the names of all numbers that rollups keep of these runs to a table, which is sorted by name.
    pub(crate) fn join_names(&self, runs: &[Run<'_>], names: &Names, table: &mut Vec<NameId>) {
        let before = table.len();
        let mut kept = Vec::new();
        let mut joined = None;
        // Where all events have the same names, the first run has them all.
        let runs = if self.is_uniform { &runs[..runs.len().min(1)] } else { runs };
        for run in runs {
            if self.stretches(run.places).all(|(shape, _)| Some(shape) == joined) {
                continue;
            }
            kept.clear();
            let (mut last, mut are_dropped) = (None, false);
            for (shape, _) in self.stretches(run.places) {
                are_dropped |= self.join(shape, &mut kept);
                last = Some(shape);
            }
            // A short list is searched, a long one is sorted in the end.
            for name in &kept {
                if table.len() > SHORT || !table.contains(name) {
                    table.push(*name);
                }
            }
            joined = last.filter(|_| !are_dropped);
        }
        if table.len() > before {
            names.sort(table);
        }
    }

    /// Events of a group, in stretches of those with the same shape.
    pub(crate) fn stretches<'p>(&self, places: &'p [Place]) -> impl Iterator<Item = (Shape, &'p [Place])> {
        let mut rest = places;
        std::iter::from_fn(move || {
            let shape = self.event(rest.first()?).shape;
            let is_other = |place: &Place| self.event(place).shape != shape;
            let length = if self.is_uniform { None } else { rest.iter().position(is_other) };
            let (stretch, others) = rest.split_at(length.unwrap_or(rest.len()));
            rest = others;
            Some((shape, stretch))
        })
    }

    /// Is to be told of all events of a group before they are asked for in [`stretches`](Events::stretches).
    pub(crate) fn enter(&mut self, group: &[Place]) {
        self.is_uniform = false;
        self.is_uniform = self.stretches(group).count() == 1;
    }

    /// Where the numbers with this name are in events of this shape: mostly where `at` says.
    pub(crate) fn find(&self, shape: Shape, name: NameId, at: usize) -> Option<usize> {
        let names = self.names(shape);
        if names.get(at) == Some(&name) { Some(at) } else { names.iter().position(|known| *known == name) }
    }

    /// All numbers: those of an event start at its `samples`.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Sets the code of an event's user.
    pub(crate) fn set_user_code(&mut self, event: usize, code: usize) {
        self.list[event].user_code = code as u16;
    }

    /// Replaces the bucket of a sample.
    pub(crate) fn set_code(&mut self, sample: usize, code: usize) {
        let Sample { bucket, .. } = &mut self.samples[sample];
        *bucket = (code as i32) << 1 | *bucket & 1;
    }

    /// The number of a sample.
    pub(crate) fn number(&self, sample: Sample) -> Number {
        sample.number(&self.large)
    }
}
