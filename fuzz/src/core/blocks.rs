//! A Workers shard's blocks under any sequence of requests, folds, expiries, restarts and damaged rows. An event that
//! is kept is found until it expires, a repetition is told, and no row outgrows its store.

mod shard;
mod wire;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arbitrary::Unstructured;
use isotherm_core::{BlockWrite, Blocks, Held, Keep, Load, Seconds, StoreOutcome};

use shard::Shard;
use wire::{Event, NOW};

/// An event that was kept.
#[derive(Clone, Debug)]
struct Kept {
    event: Event,
    seq: u64,
}

/// What a shard has to have: the newest event under each id.
#[derive(Clone, Debug, Default)]
struct Model {
    newest: BTreeMap<u128, Kept>,
    /// The unfolded events, in their order.
    unfolded: Vec<Kept>,
}

/// A shard whose index has three levels and whose first row is full: the next fold moves rows down.
static FILLED: LazyLock<(Shard, Model)> = LazyLock::new(|| {
    let (mut shard, mut model) = (Shard::default(), Model::default());
    for round in 0..FILLED_EVENTS / 256 {
        // Events with equal keys are in different requests.
        let numbers = (round * 256..(round + 1) * 256).map(|n| 5 * n as u16);
        let events: Vec<Event> = numbers.map(Event::numbered).collect();
        keep(&mut shard, &mut model, &events, false, NOW);
        fold(&mut shard, &mut model, usize::MAX, usize::MAX);
    }
    assert!(shard.runs.len() > 9, "{} rows", shard.runs.len());
    (shard, model)
});

/// Level 1 has room for 8 rows of 1,024 ids.
const FILLED_EVENTS: usize = 11 * 1024;
const DAY: u64 = 24 * 60 * 60;
/// What an event's record has at most.
const RECORD_BYTES: usize = 34 * 1024;

pub(crate) fn run(input: &[u8]) {
    let _enough = check(&mut Unstructured::new(input));
}

fn check(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    // The filled shard is slow, so few inputs have it.
    let is_filled = input.int_in_range(0..=15)? == 15;
    let nothing = Model::default();
    let (mut shard, before) = if is_filled { (FILLED.0.clone(), &FILLED.1) } else { (Shard::default(), &nothing) };
    let (mut model, mut now) = (Model::default(), NOW);
    let mut counter = 0;
    for _ in 0..input.int_in_range(1..=12)? {
        match input.int_in_range(0..=9)? {
            0..=3 => {
                let may_be_repeated = input.arbitrary()?;
                let mut events: Vec<Event> = Vec::new();
                for _ in 0..input.int_in_range(1..=4)? {
                    counter += 1;
                    let event = Event::any(input, may_be_repeated, is_filled, counter, now)?;
                    // Core takes no id twice in one request.
                    if events.iter().all(|other| other.id != event.id) {
                        events.push(event);
                    }
                }
                model.fall_back_to(before, &events);
                keep(&mut shard, &mut model, &events, may_be_repeated, now);
            }
            4 | 5 => fold(&mut shard, &mut model, input.int_in_range(1..=4)?, input.int_in_range(1..=12)?),
            6 => shard.memory = None,
            7 => {
                now += [0, 1, DAY, 80 * DAY][input.int_in_range(0..=3)?] + u64::from(input.arbitrary::<u8>()?);
                shard.expire(now);
            }
            8 => look_at(&mut shard, input.arbitrary()?, now),
            _ => return damaged(input, shard, now),
        }
    }
    let id = wire::id(input.arbitrary()?);
    let unfolded = shard.memory().held(Held::default()).unfolded;
    let records = model.unfolded.iter().map(|kept| Load::of(&kept.event.record()));
    assert_eq!(unfolded, records.sum::<Load>(), "the shard holds something else unfolded");
    for kept in model.newest.values().chain(before.newest.get(&id).filter(|_| !model.newest.contains_key(&id))) {
        let Event { id, expires_at, .. } = kept.event;
        let expected = (expires_at > now).then(|| kept.event.record());
        assert_eq!(shard.find(id, now), Ok(expected), "{kept:?} at {now}");
    }
    Ok(())
}

impl Model {
    /// Takes over what the other model knows of these events' ids.
    fn fall_back_to(&mut self, other: &Self, events: &[Event]) {
        for Event { id, .. } in events {
            if let Some(kept) = other.newest.get(id) {
                self.newest.entry(*id).or_insert_with(|| kept.clone());
            }
        }
    }
}

/// Sends events to a shard as one part.
fn keep(shard: &mut Shard, model: &mut Model, events: &[Event], may_be_repeated: bool, now: u64) {
    let part = wire::keep(events, may_be_repeated, now);
    let keep = Keep::read(&part).expect("a part can be read");
    let (kept, write) = shard.keep(&keep);
    let expected = events.iter().map(|event| match model.newest.get(&event.id) {
        Some(Kept { event, .. }) if event.expires_at > now => StoreOutcome::Existing(event.digest()),
        Some(kept) if kept.seq > shard.watermark => StoreOutcome::Unavailable,
        _ => StoreOutcome::Stored,
    });
    let expected: Vec<StoreOutcome> = expected.collect();
    assert_eq!(kept.outcomes(), expected, "{events:?} at {now}");
    let new = events.iter().zip(&expected).filter(|(_, outcome)| **outcome == StoreOutcome::Stored);
    let new: Vec<&Event> = new.map(|(event, _)| event).collect();
    let load: Load = new.iter().map(|event| Load::of(&event.record())).sum();
    let Some((BlockWrite { count, load: written, .. }, first)) = write else {
        return assert!(new.is_empty(), "{new:?} are not written");
    };
    assert_eq!((count, written), (new.len() as u64, load));
    for (event, seq) in new.into_iter().zip(first..) {
        let kept = Kept { event: event.clone(), seq };
        model.unfolded.push(kept.clone());
        model.newest.insert(event.id, kept);
    }
}

/// Folds at most `blocks` blocks, and of the last one only some events if `taken` says so.
fn fold(shard: &mut Shard, model: &mut Model, blocks: usize, taken: usize) {
    let folded = shard.fold(blocks, taken);
    let of_model: Vec<Kept> = model.unfolded.drain(..folded.len()).collect();
    assert!(folded.iter().eq(of_model.iter().map(|kept| kept.event.record()).collect::<Vec<_>>().iter()), "{folded:?}");
    assert!(of_model.last().is_none_or(|last| last.seq <= shard.watermark), "behind the watermark, and folded");
    assert!(model.unfolded.first().is_none_or(|first| first.seq > shard.watermark), "lost, since it is not folded");
}

/// Hands any bytes to whatever reads bytes.
fn look_at(shard: &mut Shard, bytes: &[u8], now: u64) {
    if let Some(keep) = Keep::read(bytes) {
        let mut memory = shard.memory();
        let before = memory.clone();
        let _kept = memory.keep(&keep, &shard.search(&memory.repeated(&keep)));
        shard.memory = Some(before);
    }
    let (plan, part) = (&*wire::PLAN, wire::PLAN.parts(1));
    let mut outcomes = vec![StoreOutcome::Unavailable; plan.events().len()];
    let _is_readable = part.first().is_some_and(|part| part.apply(bytes, &mut outcomes));
    let _found = shard.find(wire::id(now as u16), now);
}

/// Damages a row. After that, folding, expiry and new events go on without a panic and without an end.
fn damaged(input: &mut Unstructured<'_>, mut shard: Shard, mut now: u64) -> arbitrary::Result<()> {
    shard.damage(input)?;
    for round in 0..input.int_in_range(1..=6)? {
        let event = Event::any(input, true, false, 1000 + round, now)?;
        let id = event.id;
        let part = wire::keep(&[event], true, now);
        let _kept = Keep::read(&part).map(|keep| shard.keep(&keep));
        let _found = shard.find(id, now);
        if input.arbitrary()? {
            shard.fold(4, usize::MAX);
        }
        if input.arbitrary()? {
            now += 40 * DAY;
            shard.expire(now);
        }
        shard.memory = None;
    }
    while !shard.fold(4, usize::MAX).is_empty() {}
    let behind = shard.blocks.keys().next_back().is_none_or(|last| *last <= shard.watermark);
    assert!(behind, "an open block is never folded");
    assert_eq!(Blocks::held(&shard.memory(), Held::default()).unfolded.events, 0);
    let _found = shard.memory().sweep_reads(Seconds(now));
    Ok(())
}
