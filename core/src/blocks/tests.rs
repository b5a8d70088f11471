mod damage;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::block::Closed;
use super::event::BlockEvent;
use super::*;
use crate::admission::request::Request;
use crate::maintenance::machine::Held;
use crate::service::Service;
use crate::store::new_event::NewEvent;
use crate::store::plan::{Admission, Plan, StoreOutcome, StorePlan};
use crate::vocabulary::digest::Digest;
use crate::vocabulary::id::EventId;
use crate::vocabulary::time::{Millis, Seconds, Stamp};

const NOW: Millis = Millis(1_763_690_000_000);

/// The plan of a batch with these events, which are JSON.
fn plan(events: &[String], received_at: Millis, entropy: u128) -> StorePlan {
    let service = Service::from_text(Some(r#"{"version":2,"open":true}"#));
    let body = format!(r#"{{"events":[{}]}}"#, events.join(","));
    let headers = [("content-type", "application/json".to_owned())];
    let request =
        Request { method: "POST", path: "/events/batch", query: "", headers: &headers, body: body.as_bytes() };
    match service.admit(&request, Stamp { received_at, entropy }) {
        Admission::Plan(Plan::Store(plan)) => plan,
        other => panic!("{other:?}"),
    }
}

fn named(number: usize) -> String {
    format!(
        r#"{{"messageId":"m{number}","userId":"u{}","eventType":"flight","timestamp":1357035300000,
            "properties":{{"carrier":"UA","delay":{number}}}}}"#,
        number % 7
    )
}

fn of(plan: &StorePlan) -> Vec<BlockEvent<'_>> {
    plan.events().iter().map(BlockEvent::of).collect()
}

/// The tables of a shard, and the statements of its adapter.
#[derive(Default)]
struct Store {
    blocks: BTreeMap<u64, BlockRow>,
    runs: BTreeMap<u64, Vec<u8>>,
    watermark: u64,
    written: usize,
    memory: Option<Blocks>,
}

impl Store {
    fn memory(&mut self) -> Blocks {
        let open = || self.blocks.range(self.watermark + 1..).map(|(_, row)| row.clone()).collect();
        let index = self.runs.get(&Blocks::FIRST_ROW).cloned();
        let stored = || StoredBlocks { watermark: self.watermark, last_row: 0, index, open: open() };
        self.memory.take().unwrap_or_else(|| Blocks::new(&stored()))
    }

    fn rows(&self, read: &RowRead) -> Vec<Row> {
        let rows = self.runs.range(read.from..=read.until);
        let rows = rows.map(|(number, bytes)| Row { number: *number, bytes: bytes.clone() });
        if read.is_backwards {
            rows.rev().take(read.limit as usize).collect()
        } else {
            rows.take(read.limit as usize).collect()
        }
    }

    fn put(&mut self, writes: RowWrites) {
        self.written += writes.gone.len() + writes.rows.len();
        writes.gone.iter().for_each(|number| assert!(self.runs.remove(number).is_some()));
        self.runs.extend(writes.rows.into_iter().map(|row| (row.number, row.bytes)));
    }

    fn read(&self, search: &Search) -> (Vec<Row>, Vec<BlockRow>) {
        let rows: Vec<Row> = search.reads().iter().flat_map(|read| self.rows(read)).collect();
        let blocks = search.blocks(&rows).iter().filter_map(|seq| self.blocks.get(seq).cloned()).collect();
        (rows, blocks)
    }

    fn keep(&mut self, plan: &StorePlan) -> Vec<StoreOutcome> {
        let mut outcomes = vec![StoreOutcome::Unavailable; plan.events().len()];
        for part in plan.parts(1) {
            let bytes = part.to_bytes(plan);
            let keep = Keep::read(&bytes).unwrap();
            let mut memory = self.memory();
            let search = memory.repeated(&keep);
            let (rows, blocks) = self.read(&search);
            let (kept, write) = memory.keep(&keep, &search.known(&rows, &blocks));
            if let Some(BlockWrite { seq, is_new, count, bytes, .. }) = write {
                self.written += 1;
                if is_new {
                    let row = BlockRow { seq, count, expires_at: None, bytes };
                    assert!(self.blocks.insert(seq, row).is_none());
                } else {
                    let row = self.blocks.get_mut(&seq).unwrap();
                    row.count += count;
                    row.bytes.extend(bytes);
                }
            }
            assert!(part.apply(&kept.to_bytes(), &mut outcomes));
            self.memory = Some(memory);
        }
        outcomes
    }

    fn find(&mut self, id: EventId, expired_by: Seconds) -> Option<String> {
        let memory = self.memory();
        let search = memory.find(id);
        self.memory = Some(memory);
        let (rows, blocks) = self.read(&search);
        search.record(&rows, &blocks, expired_by).unwrap()
    }

    /// Folds at most this many blocks, and of the last one only some events if `taken` says so.
    fn fold(&mut self, blocks: usize, taken: usize) -> Vec<String> {
        let mut memory = self.memory();
        memory.seal();
        let rows = self.blocks.range(self.watermark + 1..).take(blocks).map(|(_, row)| row.clone()).collect();
        let open = OpenBlocks::new(rows);
        let taken = taken.min(open.records().len());
        if taken == 0 {
            return Vec::new();
        }
        let BlockWrites { gone, rows, watermark } = memory.close(&open, taken);
        self.written += gone.len() + rows.len();
        gone.iter().for_each(|seq| assert!(self.blocks.remove(seq).is_some()));
        self.blocks.extend(rows.into_iter().map(|row| (row.seq, row)));
        let oldest = self.blocks.keys().next().copied().unwrap_or_default();
        while let Some(mut spill) = memory.spill() {
            while let Some(read) = spill.read() {
                spill.take(self.rows(&read));
            }
            let writes = memory.merge(spill, oldest);
            self.put(writes);
        }
        self.put(RowWrites { gone: Vec::new(), rows: vec![memory.index()] });
        assert!(watermark > self.watermark || taken == 0);
        self.watermark = watermark;
        open.records()[..taken].to_vec()
    }

    fn expire(&mut self, until: Seconds) {
        let watermark = self.watermark;
        self.blocks.retain(|seq, row| *seq > watermark || row.expires_at.is_none_or(|at| at > until));
        let oldest = self.blocks.keys().next().copied().unwrap_or(watermark + 1);
        let mut memory = self.memory();
        // A week of sweeps.
        for hour in 0..7 * 24 {
            let reads = memory.sweep_reads(Seconds(until.0 + hour * 3600));
            let rows: Vec<Row> = reads.iter().flat_map(|read| self.rows(read)).collect();
            let writes = memory.sweep(&rows, oldest);
            self.put(writes);
        }
        self.memory = Some(memory);
    }
}

#[test]
fn records_come_back_to_the_byte() {
    let texts = [
        r#"{"userId":"é\n\"","eventType":"t,\"timestamp\":\"","properties":{}}"#.to_owned(),
        r#"{"messageId":"m","userId":"u","eventType":"t","timestamp":946684800000,
            "properties":{"z":18446744073709551615,"a":[1.5,{"b":null}],"timestamp":"\"receivedAt\":\""}}"#
            .to_owned(),
        named(1),
    ];
    let plan = plan(&texts, NOW, 1);
    for (event, block) in plan.events().iter().zip(of(&plan)) {
        assert!(matches!(block.text, event::Text::Split { .. }), "{block:?}");
        assert_eq!((block.record(), block.record_bytes()), (event.record.clone(), event.record.len()));
    }
    // Of any other form, the record is kept whole.
    for record in ["", "{}", &plan.events()[0].record.replace("receivedAt", "received_at")] {
        let event = NewEvent { record: record.to_owned(), ..plan.events()[0].clone() };
        let block = BlockEvent::of(&event);
        assert_eq!((block.record(), block.record_bytes()), (record.to_owned(), record.len()));
    }
}

fn any_event() -> impl Strategy<Value = NewEvent> {
    let times = (any::<u64>(), any::<u64>(), any::<u64>());
    (any::<[u8; 16]>(), any::<[u8; 16]>(), times, ".{0,40}").prop_map(|(id, digest, times, record)| NewEvent {
        id: EventId::from_bytes(id),
        digest: Digest::from_bytes(digest),
        occurred_at: Millis(times.0),
        received_at: Millis(times.1),
        expires_at: Seconds(times.2),
        record,
    })
}

proptest! {
    #[test]
    fn what_core_admits_is_stored_in_parts(texts in prop::collection::vec("\\PC{1,30}", 5)) {
        let [user, kind, message, name, value] = &texts[..] else { panic!("five") };
        let event = serde_json::json!({
            "userId": user, "eventType": kind, "messageId": message, "properties": {name.as_str(): value},
        });
        let plan = plan(&[event.to_string()], NOW, 1);
        for event in of(&plan) {
            prop_assert!(matches!(event.text, event::Text::Split { .. }), "{event:?}");
        }
    }

    #[test]
    fn any_events_come_back_from_parts_and_blocks(
        events in prop::collection::vec(any_event(), 1..20), split in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let events: Vec<_> = events.iter().map(BlockEvent::of).collect();
        let (one, two) = events.split_at(split.index(events.len()));
        let mut parts = Vec::new();
        part::write(one.iter(), &mut parts);
        let first = parts.len();
        part::write(two.iter(), &mut parts);
        prop_assert_eq!(part::read(&parts), Ok(events.clone()));
        let cut_parts = &parts[..cut.index(parts.len())];
        match part::read(cut_parts) {
            Ok(read) => prop_assert_eq!(read, if cut_parts.is_empty() { &[][..] } else { one }),
            Err((read, rest)) => {
                prop_assert_eq!(read, if cut_parts.len() < first { &[][..] } else { one });
                prop_assert!(cut_parts.ends_with(rest) && !rest.is_empty());
            }
        }
        let block = block::write(&events);
        let closed = Closed::read(&block).unwrap();
        prop_assert!(closed.heads().eq(events.iter().map(|event| &event.head)));
        for event in &events {
            prop_assert_eq!(closed.record(|head| *head == event.head), Some(Some(event.record())));
        }
        for length in 0..block.len() {
            let read = Closed::read(&block[..length]).and_then(|closed| closed.record(|_| true));
            // The end of what is deflated says nothing about the texts before it.
            prop_assert!(read.is_none() || read == Some(events.last().map(BlockEvent::record)) || read == Some(None));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), version in 0_u8..3) {
        let bytes = [&[version], bytes.as_slice()].concat();
        let id = EventId::from_bytes([7; 16]);
        let row = BlockRow { seq: 1, count: 1, expires_at: None, bytes: bytes.clone() };
        let _keep = Keep::read(&bytes);
        let stored = StoredBlocks { watermark: 0, last_row: 0, index: Some(bytes.clone()), open: vec![row.clone()] };
        let mut blocks = Blocks::new(&stored);
        let search = blocks.find(id);
        let found = std::slice::from_ref(&row);
        let rows = [Row { number: 1, bytes: bytes.clone() }];
        let _found = (search.record(&rows, found, Seconds(0)), search.known(&rows, found), search.blocks(&rows));
        let open = OpenBlocks::new(vec![row]);
        prop_assert!(!open.records().is_empty());
        let writes = blocks.close(&open, open.records().len());
        prop_assert!(writes.watermark >= 1);
        while let Some(mut spill) = blocks.spill() {
            while spill.read().is_some() {
                spill.take(Vec::new());
            }
            let _writes = blocks.merge(spill, 0);
        }
    }
}

#[test]
fn a_store_of_blocks_has_what_came_and_tells_repetitions() {
    let mut store = Store::default();
    let mut kept: Vec<NewEvent> = Vec::new();
    for round in 0..46_usize {
        let texts: Vec<String> = (round * 60..round * 60 + 80).map(named).collect();
        let unnamed = r#"{"userId":"u","eventType":"t","properties":{"n":1}}"#.to_owned();
        let plan = plan(&[texts, vec![unnamed]].concat(), Millis(NOW.0 + round as u64), round as u128);
        // Of each round's events, 20 came with the round before.
        let expected = |at: usize| {
            if round > 0 && at < 20 { StoreOutcome::Existing(plan.events()[at].digest) } else { StoreOutcome::Stored }
        };
        assert_eq!(store.keep(&plan), (0..81).map(expected).collect::<Vec<_>>(), "round {round}");
        kept.extend(plan.events().iter().skip(if round > 0 { 20 } else { 0 }).cloned());
        if round % 3 == 2 {
            let folded = store.fold(4, if round % 2 == 0 { usize::MAX } else { 100 });
            assert!(!folded.is_empty());
        }
        if round % 7 == 6 {
            store.memory = None;
        }
    }
    for event in &kept {
        assert_eq!(store.find(event.id, Seconds(0)).as_ref(), Some(&event.record));
        assert_eq!(store.find(event.id, event.expires_at), None);
    }
    // What is folded comes in the order in which it came.
    let all: Vec<_> =
        std::iter::from_fn(|| Some(store.fold(1, 50)).filter(|folded| !folded.is_empty())).flatten().collect();
    let unfolded: Vec<_> = kept.iter().skip(kept.len() - all.len()).map(|event| event.record.clone()).collect();
    assert!(all == unfolded && !all.is_empty());
    assert_eq!(Blocks::held(&store.memory(), Held::default()).unfolded, crate::Load::default());
}

#[test]
fn an_expired_event_makes_way_once_it_is_folded() {
    let mut store = Store::default();
    let first = plan(&[named(1)], NOW, 1);
    assert_eq!(store.keep(&first), [StoreOutcome::Stored]);
    let later = Millis(NOW.0 + 1000 * (crate::RETENTION.0 + 1));
    let again = plan(&[named(1).replace("UA", "AA")], later, 2);
    assert_eq!(store.keep(&again), [StoreOutcome::Unavailable]);
    store.fold(1, 1);
    store.memory = None;
    assert_eq!(store.keep(&again), [StoreOutcome::Stored]);
    let id = again.events()[0].id;
    assert_eq!(store.find(id, again.expired_by()).as_ref(), Some(&again.events()[0].record));
    store.fold(1, 1);
    store.memory = None;
    // Both are in closed blocks now.
    assert_eq!(store.find(id, again.expired_by()).as_ref(), Some(&again.events()[0].record));
    assert_eq!(store.keep(&again), [StoreOutcome::Existing(again.events()[0].digest)]);
    store.expire(again.expired_by());
    assert_eq!((store.blocks.len(), store.find(id, again.expired_by()).is_some()), (1, true));
}

#[test]
fn events_that_expire_at_other_times_are_in_other_blocks() {
    let mut store = Store::default();
    let day = 24 * 60 * 60 * 1000;
    for (at, age) in [(0, 0), (1, 30 * day), (2, 0), (3, 30 * day)] {
        store.keep(&plan(&[named(at)], Millis(NOW.0 - age), 1));
    }
    assert_eq!(store.fold(1, 4).len(), 4);
    store.memory = None;
    assert_eq!(store.blocks.values().map(|row| (row.seq, row.count)).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    let young = plan(&[named(2)], NOW, 1).events()[0].clone();
    store.expire(Seconds(young.expires_at.0 - 1));
    assert_eq!((store.blocks.len(), store.find(young.id, Seconds(0))), (1, Some(young.record)));
}

#[test]
fn ids_of_a_request_are_asked_for_only_if_it_may_be_repeated() {
    let mut store = Store::default();
    let unnamed = r#"{"userId":"u","eventType":"t","properties":{"n":1}}"#.to_owned();
    let plan = plan(&[unnamed, named(1)], NOW, 1);
    store.keep(&plan);
    store.fold(1, 2);
    store.memory = None;
    let memory = store.memory();
    let searched =
        |plan: &StorePlan| memory.repeated(&Keep::read(&plan.parts(1)[0].to_bytes(plan)).unwrap()).ids().to_vec();
    let ids: Vec<EventId> = plan.events().iter().map(|event| event.id).collect();
    assert_eq!(searched(&plan), ids[1..]);
    assert_eq!(searched(&StorePlan { may_be_repeated: true, ..plan }), ids);
}

/// The index of many ids, in folds of some size. Returns the rows written for each id.
fn indexed(folds: u64, ids: u64) -> f64 {
    let id = |number: u64| {
        let hash = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) ^ 0x1234;
        EventId::from_bytes((hash ^ hash >> 64).to_be_bytes())
    };
    let (mut store, mut memory) = (Store::default(), Blocks::new(&StoredBlocks::default()));
    for fold in 0..folds {
        let entries = (fold * ids..(fold + 1) * ids).map(|number| runs::Entry::new(id(number), fold * ids + 1));
        memory.runs().add(entries);
        while let Some(mut spill) = memory.spill() {
            while let Some(read) = spill.read() {
                spill.take(store.rows(&read));
            }
            // The salt is the number of the next event.
            memory = Blocks::new(&StoredBlocks {
                watermark: fold * ids,
                index: Some(memory.index().bytes),
                ..StoredBlocks::default()
            });
            let writes = memory.merge(spill, 0);
            store.put(writes);
        }
        store.put(RowWrites { gone: Vec::new(), rows: vec![memory.index()] });
    }
    for number in (0..folds * ids).step_by(97) {
        let search = memory.find(id(number));
        assert!(search.reads().len() <= 5, "{} levels", search.reads().len());
        let rows: Vec<Row> = search.reads().iter().flat_map(|read| store.rows(read)).collect();
        assert!(search.blocks(&rows).contains(&(number / ids * ids + 1)), "{number}");
    }
    assert!(store.runs.values().all(|row| row.len() < 40_000));
    store.written as f64 / (folds * ids) as f64
}

#[test]
fn an_index_of_many_ids_is_written_seldom() {
    let rows = indexed(100, 512);
    assert!(rows < 0.05, "{rows}");
    let rows = indexed(600, 10);
    assert!(rows < 0.15, "{rows}");
}

#[test]
fn an_index_forgets_the_ids_of_deleted_blocks_within_a_week() {
    let mut store = Store::default();
    for round in 0..24_usize {
        let texts: Vec<String> = (round * 250..round * 250 + 250).map(named).collect();
        store.keep(&plan(&texts, Millis(NOW.0 + round as u64), round as u128));
        store.fold(usize::MAX, usize::MAX);
        store.memory = None;
    }
    let size = |store: &Store| store.runs.values().map(Vec::len).sum::<usize>();
    assert!(store.runs.len() > 4 && size(&store) > 60_000);
    store.expire(Seconds(NOW.0));
    assert_eq!((store.blocks.len(), store.runs.len()), (0, 1));
    assert!(size(&store) < 30, "{}", size(&store));
}

/// Bytes as they were first stored. Later versions read them.
#[test]
fn formats_stay_as_they_are() {
    let event = NewEvent {
        id: EventId::from_bytes([0x11; 16]),
        digest: Digest::from_bytes([0x22; 16]),
        occurred_at: Millis(1_356_998_400_000),
        received_at: NOW,
        expires_at: Seconds(NOW.0 / 1000 + 60),
        record: "{}".to_owned(),
    };
    let record = BlockEvent {
        text: event::Text::Split { names: r#""userId":"u""#, properties: "{}" },
        ..BlockEvent::of(&event)
    };
    let record = NewEvent { record: record.record(), ..event };
    let event = BlockEvent::of(&record);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut part = Vec::new();
    part::write([event].iter(), &mut part);
    let head = format!("{}{}80baedc1d46678ffd9aa8bd617", "11".repeat(16), "22".repeat(16));
    assert_eq!(hex(&part), format!("01{:02x}{head}0c22757365724964223a227522027b7d", part.len() - 2));
    let block = block::write(&[event]);
    assert!(hex(&block).starts_with(&format!("0201{head}0c02")), "{}", hex(&block));
    // "userId":"u"{} in one stored block, as deflate may write it.
    let mut stored = block[..2 + 32 + 13 + 2].to_vec();
    stored.extend_from_slice(&[1, 14, 0, 0xf1, 0xff]);
    stored.extend_from_slice(br#""userId":"u"{}"#);
    assert_eq!(Closed::read(&stored).unwrap().record(|_| true), Some(Some(record.record.clone())));

    let mut runs = runs::Runs::default();
    runs.add([runs::Entry::new(record.id, 258)]);
    assert_eq!(hex(&runs.to_row().bytes), "01001111111111110000000102");
    let read = runs::Runs::read(&[1, 2, 8, 0x80, 1]).unwrap();
    assert_eq!(read.to_row().bytes, [1, 2, 8, 0x80, 1]);
    assert_eq!(read.reads(record.id).map(|read| read.until >> 48).collect::<Vec<_>>(), [1, 2]);
}
