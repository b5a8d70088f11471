//! Damaged rows of blocks and of the index.

use super::*;

#[test]
fn an_index_without_its_first_row_still_finds_what_its_other_rows_have() {
    let (mut store, mut ids) = (Store::default(), Vec::new());
    let fold = |store: &mut Store, round: usize| {
        let texts: Vec<String> = (round * 250..round * 250 + 250).map(named).collect();
        let plan = plan(&texts, Millis(NOW.0 + round as u64), round as u128);
        store.keep(&plan);
        store.fold(usize::MAX, usize::MAX);
        store.memory = None;
        plan.events().iter().map(|event| event.id).collect::<Vec<_>>()
    };
    for round in 0..60 {
        ids.extend(fold(&mut store, round));
    }
    store.runs.insert(Blocks::FIRST_ROW, vec![0xff]);
    // Most blocks expire, so merging leaves far fewer rows than there were.
    store.blocks.retain(|seq, _| *seq > 55 * 250);
    ids.retain(|id| store.find(*id, Seconds(0)).is_some());
    assert!(ids.len() > 250, "{} of 1,250", ids.len());
    for round in 60..80 {
        fold(&mut store, round);
        let lost = ids.iter().step_by(7).filter(|id| store.find(**id, Seconds(0)).is_none()).count();
        assert_eq!(lost, 0, "after {round} folds");
    }
}

#[test]
fn what_can_t_be_read_of_a_block_is_rejected_and_the_rest_is_folded() {
    let mut store = Store::default();
    for round in 0..3 {
        store.keep(&plan(&[named(2 * round), named(2 * round + 1)], NOW, 1));
    }
    let id = plan(&[named(0)], NOW, 1).events()[0].id;
    let row = store.blocks.get_mut(&1).unwrap();
    let part = row.bytes.len() / 3;
    row.bytes[part] = 9;
    store.memory = None;
    // Nothing is appended to it.
    store.keep(&plan(&[named(100)], NOW, 1));
    assert_eq!(store.blocks.keys().collect::<Vec<_>>(), [&1, &7]);
    let folded = store.fold(2, usize::MAX);
    assert_eq!((folded.len(), store.watermark), (4, 7));
    assert!(folded[2].starts_with("09") && folded[3].contains("m100"), "{folded:?}");
    store.memory = None;
    assert!(store.find(id, Seconds(0)).is_some());
}

#[test]
fn a_block_with_other_events_than_it_says_is_rejected_and_the_next_one_is_folded() {
    // The block says that it has two events. Each case gives the events that its bytes hold, the bytes behind them, and
    // how many records come out, of which how many are events.
    for (held, behind, records, events) in [(0, None, 1, 0), (1, None, 2, 1), (2, Some(9), 2, 2), (3, None, 1, 0)] {
        for at_once in [usize::MAX, 1] {
            let mut store = Store::default();
            (0..2).for_each(|at| drop(store.keep(&plan(&[named(at)], NOW, 1))));
            let row = store.blocks.get_mut(&1).unwrap();
            row.bytes = row.bytes[..row.bytes.len() / 2].repeat(held);
            row.bytes.extend(behind);
            store.memory = None;
            store.keep(&plan(&[named(100)], NOW, 1));
            assert_eq!(store.blocks.keys().collect::<Vec<_>>(), [&1, &3]);
            let mut folded = Vec::new();
            while store.watermark < 3 {
                folded.extend(store.fold(2, at_once));
                store.memory = None;
            }
            let is_event = |record: &&String| record.starts_with('{');
            assert_eq!(folded.len(), records + 1, "{held}: {folded:?}");
            assert_eq!(folded[..records].iter().filter(is_event).count(), events, "{held}: {folded:?}");
            assert!(folded[records].contains("m100"), "{held}: {folded:?}");
        }
    }
}

#[test]
fn damage_refuses_only_events_that_it_may_tell_of() {
    let kept = |damage: &dyn Fn(&mut Store)| {
        let mut store = Store::default();
        for first in (0..3200).step_by(80) {
            store.keep(&plan(&(first..first + 80).map(named).collect::<Vec<_>>(), NOW, 1));
            store.fold(1, 80);
        }
        damage(&mut store);
        store.memory = None;
        let first = plan(&[named(80)], NOW, 1).events()[0].id;
        let memory = store.memory();
        let (rows, blocks) = store.read(&memory.find(first));
        let found = memory.find(first).record(&rows, &blocks, Seconds(0)).map(|record| record.is_some());
        // One by one, because a block tells of all its events.
        let mut keep = |number| store.keep(&plan(&[named(number)], NOW, 1)).remove(0);
        let repeated = (0..3200).map(&mut keep).collect::<Vec<_>>();
        // Together, so that a part reads several rows.
        let new = (3200..4000)
            .step_by(100)
            .flat_map(|first| store.keep(&plan(&(first..first + 100).map(named).collect::<Vec<_>>(), NOW, 1)));
        (found, repeated, new.collect::<Vec<_>>())
    };
    let refused = |outcomes: &[StoreOutcome]| -> Vec<usize> {
        let is_refused = |(_, outcome): &(usize, &StoreOutcome)| **outcome == StoreOutcome::Unavailable;
        outcomes.iter().enumerate().filter(is_refused).map(|(at, _)| at).collect()
    };
    let damages: [fn(&mut Vec<u8>); 3] = [|bytes| bytes.truncate(10), |bytes| bytes[0] = 0xff, Vec::clear];
    for damage in damages {
        let (found, repeated, new) = kept(&|store| damage(&mut store.blocks.get_mut(&81).unwrap().bytes));
        assert_eq!((found, refused(&repeated), refused(&new)), (Err(UnreadableBlock(81)), (80..160).collect(), vec![]));
    }
    let (_, repeated, new) = kept(&|store| {
        let row = store.runs.iter_mut().find(|(number, _)| **number != Blocks::FIRST_ROW).unwrap().1;
        row.truncate(row.len() - 1);
    });
    assert!(!repeated.contains(&StoreOutcome::Stored) && new.contains(&StoreOutcome::Stored));
    for (outcomes, all) in [(&repeated, 3200), (&new, 800)] {
        assert!((1..all / 2).contains(&refused(outcomes).len()), "{} of {all}", refused(outcomes).len());
    }
}
