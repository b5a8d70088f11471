//! Shards come and go, and lanes stay. Reports never claim to be complete beyond what is folded.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use std::collections::BTreeMap;

use isotherm_core::{
    LaneStep, Lanes, Millis, Service, StoredPage, StreamBatch, StreamItem, StreamRecord, StreamShard, Watermark,
    WriteLimits,
};

const MUCH: WriteLimits = WriteLimits { pages: 10_000, bytes: 100_000_000 };
const NOW: u64 = 1_763_690_000_000;
const DAY_S: i64 = 24 * 60 * 60;
const DAY: u64 = DAY_S as u64 * 1000;
const RECORD: &str = r#"{"eventId":"evt_1","userId":"u","eventType":"t","timestamp":"2013-01-01T00:00:00.000Z","receivedAt":"2013-01-01T00:00:00.000Z","properties":{}}"#;

/// A store with watermarks and the list of waiting shards, and the stream in front of it.
#[derive(Default)]
struct Store {
    stored: BTreeMap<String, Vec<u8>>,
    shards: Vec<StreamShard>,
    described: usize,
    pulses: Vec<String>,
}

impl Store {
    fn with(shards: &[(&str, &str, bool)]) -> Self {
        let mut store = Self::default();
        store.describe(shards);
        store
    }

    /// Sets the shards that the stream describes from now on.
    fn describe(&mut self, shards: &[(&str, &str, bool)]) {
        let shard = |(id, parent, is_closed): &(&str, &str, bool)| StreamShard {
            id: (*id).to_owned(),
            parent: Some((*parent).to_owned()).filter(|parent| !parent.is_empty()),
            is_closed: *is_closed,
        };
        self.shards = shards.iter().map(shard).collect();
    }

    fn lanes(&self) -> Lanes {
        Lanes::read(self.stored.iter().map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }))
    }

    fn as_of(&self) -> u64 {
        self.lanes().as_of(Millis(NOW)).0
    }

    /// Folds as an adapter does. Returns the lane; `None` if there was nothing to fold.
    fn fold(&mut self, batch: &mut StreamBatch<'_>) -> Option<String> {
        let mut lanes = self.lanes();
        for _ in 0..20 {
            match lanes.next(batch, Millis(NOW)) {
                LaneStep::Describe => {
                    self.described += 1;
                    lanes.learn(Millis(0), self.shards.clone());
                }
                LaneStep::Write(writes) => {
                    for write in writes {
                        assert_eq!(self.stored.get(&write.name), write.was.as_ref(), "{}", write.name);
                        self.stored.insert(write.name, write.bytes);
                    }
                }
                LaneStep::Fold { lane, watermark } => {
                    assert_eq!(self.stored[&lane], watermark.to_bytes());
                    let service = Service::from_text(Some(r#"{"version":2,"open":true}"#));
                    let step = service.step(batch, &watermark, usize::MAX, MUCH).unwrap();
                    let stored = step.ranges().map(|_| Vec::new()).collect();
                    self.stored.insert(lane.clone(), step.merge(stored).unwrap().watermark.to_bytes());
                    self.pulses = lanes.pulses(batch, Millis(NOW)).into_iter().map(|pulse| pulse.key).collect();
                    return Some(lane);
                }
                LaneStep::Done => return None,
                LaneStep::UnknownShard => panic!("{} is unknown", batch.shard_id),
            }
        }
        panic!("it never ends");
    }

    /// Folds a record that was written `at` seconds from now.
    fn record(&mut self, shard: &str, at: i64) -> Option<String> {
        self.fold(&mut batch(shard, &[(at, "a#evt_1")]))
    }

    /// Ends a window.
    fn complete(&mut self, shard: &str, at: i64) -> Option<String> {
        self.fold(&mut StreamBatch { complete_to: Some(from_now(at)), ..batch(shard, &[]) })
    }

    fn lanes_in_use(&self) -> Vec<String> {
        self.lanes().watermarks().map(|(lane, _)| lane.to_owned()).collect()
    }
}

fn from_now(seconds: i64) -> Millis {
    Millis(NOW.strict_add_signed(seconds * 1000))
}

/// A batch of records, each with its time in seconds from now and the key of its item. The window began a minute before
/// the first.
fn batch<'a>(shard_id: &'a str, records: &[(i64, &'a str)]) -> StreamBatch<'a> {
    let record = |(at, key): &(i64, &'a str)| {
        let number: &'static str = from_now(*at).0.to_string().leak();
        let is_event = !key.starts_with('#');
        let item =
            StreamItem { key: Some(key), tenant: is_event.then_some("a"), record: is_event.then_some(Ok(RECORD)) };
        StreamRecord { sequence_number: number, written_at: from_now(*at), item: Some(item), is_new: true }
    };
    let window_start = records.first().map_or(Millis(NOW), |(at, _)| from_now(at - 60));
    StreamBatch { shard_id, records: records.iter().map(record).collect(), window_start, complete_to: None }
}

#[test]
fn a_shard_that_nothing_is_folded_of_holds_reports_back() {
    let mut store = Store::with(&[("A", "", false), ("B", "", false)]);
    assert_eq!(store.as_of(), NOW - DAY);
    store.record("A", -100);
    assert_eq!(store.as_of(), NOW - DAY, "B may have records of a day");
    store.record("B", -50);
    assert_eq!(store.as_of(), from_now(-100).0);
    store.record("A", -20);
    assert_eq!((store.as_of(), store.described), (from_now(-50).0, 1));
}

#[test]
#[should_panic(expected = "unknown")]
fn a_shard_that_the_stream_does_not_have_is_not_folded() {
    Store::with(&[("A", "", false)]).record("B", 0);
}

#[test]
fn a_closed_shard_holds_reports_back_until_its_children_are_folded_and_no_longer() {
    let mut store = Store::with(&[("A", "", false), ("B", "", false)]);
    store.record("A", -100);
    store.record("B", -100);
    store.describe(&[("A", "", true), ("B", "", false), ("A1", "A", false), ("A2", "A", false)]);
    store.record("B", -40);
    assert_eq!(store.as_of(), from_now(-100).0, "A1 and A2 may have any");
    // The first batch of A1 is folded, and the first batch of A2 fails.
    assert_eq!(store.record("A1", -90).unwrap(), "00000000", "the lane of A");
    store.record("A1", -30);
    assert_eq!(store.as_of(), from_now(-100).0);
    assert_eq!(store.record("A2", -80).unwrap(), "00000002");
    assert_eq!(store.as_of(), from_now(-80).0, "A does not hold it back any more");
    store.record("A2", -35);
    assert_eq!(store.as_of(), from_now(-40).0);
    // Records of A that come again are folded already.
    assert_eq!(store.record("A", -100), None);
}

#[test]
fn the_end_of_a_window_says_nothing_of_a_shard_that_was_closed_in_it() {
    let mut store = Store::with(&[("A", "", false)]);
    store.record("A", -100);
    assert!(store.complete("A", -60).is_some());
    assert_eq!(store.as_of(), from_now(-60).0);
    assert_eq!(store.complete("A", -60), None);
    store.record("A", -50);
    store.describe(&[("A", "", true), ("A1", "A", false)]);
    assert_eq!(store.complete("A", -10), None);
    assert_eq!(store.as_of(), from_now(-50).0, "A1 has what was written since");
    store.record("A1", -45);
    assert_eq!(store.as_of(), from_now(-45).0);
}

#[test]
fn shards_come_and_go_and_lanes_stay() {
    let mut shards = vec![("s0".to_owned(), String::new(), false), ("t0".to_owned(), String::new(), false)];
    let mut store = Store::default();
    for generation in 0..100 {
        let described: Vec<_> =
            shards.iter().map(|(id, parent, is_closed)| (id.as_str(), parent.as_str(), *is_closed)).collect();
        store.describe(&described);
        let open: Vec<String> = shards.iter().filter(|shard| !shard.2).map(|shard| shard.0.clone()).collect();
        for id in &open {
            store.record(id, -1000 + generation);
        }
        assert!(generation == 0 || store.as_of() == from_now(-1000 + generation).0, "{generation}");
        for id in &open {
            // The shard ends and gets one child. A shard's name is its letter and its generation.
            shards.iter_mut().filter(|shard| shard.0 == *id).for_each(|shard| shard.2 = true);
            let child = format!("{}{}", &id[..1], generation + 1);
            shards.push((child, id.clone(), false));
        }
        // The stream forgets its oldest shards.
        let excess = shards.len().saturating_sub(12);
        shards.drain(..excess);
    }
    assert_eq!(store.lanes_in_use(), ["00000000", "00000001"]);
    assert!(store.stored["shards"].len() < 10, "{:?}", store.stored["shards"]);
}

#[test]
fn a_shard_without_records_is_passed_over() {
    let mut store = Store::with(&[("A", "", false)]);
    store.record("A", -100);
    store.describe(&[
        ("A", "", true),
        ("A1", "A", true),
        ("A2", "A", false),
        ("A11", "A1", false),
        ("A12", "A1", false),
    ]);
    assert_eq!(store.record("A11", -50).unwrap(), "00000000");
    assert_eq!(store.as_of(), from_now(-100).0, "A2 and A12 wait");
    store.record("A12", -40);
    store.record("A2", -30);
    assert_eq!(store.as_of(), from_now(-50).0);
    assert_eq!(store.record("A1", -60), None, "its children are folded");
}

#[test]
fn a_window_s_end_completes_no_more_than_an_old_answer_of_the_stream_may_say() {
    let mut store = Store::with(&[("A", "", false)]);
    store.fold(&mut batch("A", &[(-200, "#pulse-1"), (-190, "a#evt_1")]));
    store.complete("A", -70);
    assert_eq!(store.as_of(), from_now(-70).0);
    // The answer may be a minute old. If A has ended since then, its children have what was written later.
    store.fold(&mut StreamBatch { complete_to: Some(from_now(-5)), ..batch("A", &[(-65, "a#evt_2")]) });
    assert_eq!((store.as_of(), store.pulses.len()), (from_now(-65).0, 0), "the window's end goes further");
    assert_eq!(store.complete("A", -5).unwrap(), "00000000");
    assert_eq!(store.as_of(), from_now(-60).0);
    store.fold(&mut StreamBatch { complete_to: Some(from_now(-5)), ..batch("A", &[(-30, "a#evt_3")]) });
    assert_eq!(store.as_of(), from_now(-30).0);
    assert_eq!(store.pulses, ["#pulse-1"], "the event is not covered yet");
    store.fold(&mut StreamBatch { complete_to: Some(from_now(0)), ..batch("A", &[(-1, "#pulse-1")]) });
    assert_eq!((store.as_of(), store.pulses.len()), (from_now(-1).0, 0));
}

#[test]
fn an_old_answer_of_the_stream_takes_no_lane_away() {
    let all = [("A", "", true), ("B", "A", false), ("C", "A", false)];
    let mut store = Store::with(&all[..1]);
    store.record("A", -100);
    store.describe(&all);
    assert_eq!(store.record("B", -90).unwrap(), "00000000");
    let as_of = store.as_of();
    assert_eq!(as_of, from_now(-100).0, "C waits");
    // The next answer is older: it has neither B nor C, and one more shard of which nobody knows whether it is done.
    store.describe(&[("A", "", false), ("X", "", true)]);
    let mut twice = StreamBatch { complete_to: Some(from_now(-2)), ..batch("B", &[(-90, "a#evt_1")]) };
    assert_eq!(store.fold(&mut twice), None, "it is folded already");
    assert_eq!(store.as_of(), as_of, "C still waits, and A does not");
    let mut of_x = batch("X", &[(-80, "a#evt_1")]);
    let mut lanes = store.lanes();
    assert_eq!(lanes.next(&mut of_x, Millis(NOW)), LaneStep::Describe);
    lanes.learn(Millis(0), store.shards.clone());
    assert_eq!(lanes.next(&mut of_x, Millis(NOW)), LaneStep::UnknownShard);
    store.describe(&all);
    assert_eq!(store.record("C", -70).unwrap(), "00000001");
    assert_eq!(store.as_of(), from_now(-90).0);
}

#[test]
fn a_lane_whose_shard_the_stream_has_forgotten_is_taken_again() {
    let mut store = Store::with(&[("A", "", false), ("B", "", false)]);
    store.record("A", -DAY_S - 100);
    store.record("B", -90);
    store.describe(&[("B", "", true), ("C", "B", false), ("D", "B", false)]);
    assert_eq!(store.record("C", -50).unwrap(), "00000001");
    assert_eq!(store.record("D", -50).unwrap(), "00000000");
    assert_eq!(store.as_of(), from_now(-50).0);
}

/// The bytes that version da27c14 stored: the version, the time to which the lane is folded, and the last record's
/// number.
fn version_1(folded_to: u64, number: &str) -> Vec<u8> {
    let mut bytes = vec![1];
    let mut left = folded_to;
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.extend([left as u8, u8::try_from(number.len()).unwrap()]);
    bytes.extend(number.bytes());
    bytes
}

#[test]
fn watermarks_of_version_1_are_read_and_written_anew_with_the_whole_id() {
    // Version da27c14 named lanes by FNV-1a of their shards' ids; these are its bytes.
    const OF_FOOBAR: [u8; 14] = [1, 208, 170, 241, 160, 170, 51, 6, 49, 50, 51, 52, 53, 54];
    assert_eq!(OF_FOOBAR, *version_1(1_763_689_911_632, "123456"));
    let mut store = Store::with(&[("foobar", "", false), ("a", "", true), ("new", "", false), ("b", "a", false)]);
    store.stored = BTreeMap::from([
        ("bf9cf968".to_owned(), OF_FOOBAR.to_vec()),
        ("e40c292c".to_owned(), version_1(NOW - 80_000, "5")), // of "a"
        ("e70c2de5".to_owned(), version_1(NOW - 70_000, "5")), // of "b"
        ("00000bad".to_owned(), version_1(NOW - 300_000, "5")), // of a shard long gone
    ]);
    assert_eq!(store.as_of(), NOW - 300_000, "as it was");
    let watermark = |store: &Store, lane: &str| {
        Watermark::read(&StoredPage { key: lane.to_owned(), bytes: store.stored[lane].clone() }).unwrap()
    };
    assert_eq!(watermark(&store, "bf9cf968").to_bytes(), OF_FOOBAR, "not known yet");
    // Folded records are not folded again, whatever names the lane.
    let number = "123456";
    let records =
        vec![StreamRecord { sequence_number: number, written_at: Millis(NOW - 100_000), item: None, is_new: false }];
    assert_eq!(store.fold(&mut StreamBatch { records, ..batch("foobar", &[]) }), None);
    assert!(store.stored.iter().filter(|(name, _)| *name != "shards").all(|(_, bytes)| bytes[0] == 2));
    assert_eq!(store.as_of(), NOW - DAY, "the new one waits");
    assert_eq!(store.record("new", -10).unwrap(), "00000bad", "the lane of the one long gone");
    assert_eq!(store.as_of(), 1_763_689_911_632);
    assert_eq!(store.record("foobar", -9).unwrap(), "bf9cf968");
    assert_eq!(store.as_of(), NOW - 70_000, "a has a child that is folded");
    assert_eq!(store.record("b", -8).unwrap(), "e70c2de5");
    assert_eq!(store.as_of(), from_now(-10).0);
}

#[test]
fn pulses_are_written_for_shards_behind_the_newest_event() {
    let mut store = Store::with(&[("A", "", false), ("B", "", false)]);
    store.record("A", -200);
    assert_eq!(store.pulses.len(), 32, "nobody knows which key leads to B");
    let pulse = store.pulses[3].clone();
    store.fold(&mut batch("B", &[(-190, &pulse)]));
    assert_eq!(store.pulses, [""; 0], "a pulse gives no pulse");
    assert_eq!(store.as_of(), from_now(-200).0);
    store.record("B", -188);
    assert_eq!(store.pulses.len(), 33, "no pulse came through A");
    store.fold(&mut batch("A", &[(-185, "#pulse-a")]));
    store.record("A", -180);
    assert_eq!(store.pulses, [pulse.as_str(), "#pulse-a"]);
    store.record("B", -190);
    store.fold(&mut StreamBatch { complete_to: Some(from_now(-178)), ..batch("B", &[(-179, "a#evt_1")]) });
    assert_eq!(store.pulses, ["#pulse-a"], "B is complete behind its event");
    store.record("B", -170);
    store.record("A", -175);
    assert_eq!(store.pulses, ["#pulse-a"], "B is not behind");
}

#[test]
fn what_cannot_be_read_holds_reports_back_and_nobody_up() {
    let mut store = Store::with(&[("A", "", false), ("B", "", false)]);
    store.record("A", -100);
    store.record("B", -90);
    store.stored.insert("00000000".to_owned(), vec![9]);
    assert_eq!(store.as_of(), NOW - DAY);
    assert_eq!(store.lanes().damaged()[0].key, "00000000");
    assert_eq!(store.record("B", -80).unwrap(), "00000001");
    // A waits for a lane, and gets the one that could not be read.
    assert_eq!(store.record("A", -70).unwrap(), "00000000");
    assert_eq!(store.as_of(), from_now(-80).0);
    for length in 0..store.stored["shards"].len() {
        let mut cut = Store { stored: store.stored.clone(), ..Store::with(&[("A", "", false), ("B", "", false)]) };
        cut.stored.get_mut("shards").unwrap().truncate(length);
        assert_eq!(cut.record("A", -60).unwrap(), "00000000", "{length}");
    }
}

#[test]
fn a_lane_is_forgotten_when_it_has_no_shard_and_is_silent() {
    let mut store = Store::with(&[("A", "", false), ("B", "", false)]);
    store.record("A", -DAY_S - 100);
    store.record("B", -100);
    let ended = |store: &Store, at: u64| -> Vec<String> {
        let lanes = store.lanes();
        let ended = lanes.watermarks().filter(|(_, watermark)| watermark.has_ended(Millis(at)));
        ended.map(|(lane, _)| lane.to_owned()).collect()
    };
    assert_eq!(ended(&store, NOW + 9 * DAY), [""; 0]);
    store.describe(&[("B", "", false)]);
    store.complete("B", -50);
    assert_eq!(ended(&store, from_now(-101).0 + DAY), [""; 0]);
    assert_eq!(ended(&store, from_now(-100).0 + DAY), ["00000000"]);
}

#[test]
fn a_batch_is_folded_although_the_stream_cannot_be_asked_unless_its_lane_is_unknown() {
    let mut store = Store::with(&[("A", "", false)]);
    store.record("A", -100);
    let mut known = batch("A", &[(-50, "e")]);
    known.complete_to = Some(from_now(-10));
    let mut lanes = store.lanes();
    assert_eq!(lanes.next(&mut known, Millis(NOW)), LaneStep::Describe);
    assert!(lanes.go_on(&mut known));
    assert_eq!(known.complete_to, None);
    assert!(matches!(lanes.next(&mut known, Millis(NOW)), LaneStep::Fold { .. }));
    assert!(!store.lanes().go_on(&mut batch("B", &[(-50, "e")])));
}

#[test]
fn a_shard_that_is_listed_again_after_it_has_begun_keeps_its_one_lane() {
    let mut store = Store::with(&[("A", "", false), ("B", "", false)]);
    store.record("A", -100);
    store.record("B", -100);
    store.describe(&[("A", "", true), ("B", "", false), ("A1", "A", false)]);
    // A function reads the lanes and describes the stream for the end of a window of B ...
    let mut lanes = store.lanes();
    let mut end = StreamBatch { complete_to: Some(from_now(-60)), ..batch("B", &[]) };
    assert_eq!(lanes.next(&mut end, Millis(NOW)), LaneStep::Describe);
    lanes.learn(Millis(0), store.shards.clone());
    // ... and another function folds the first batch of A1, and leaves the list as it was.
    assert_eq!(store.record("A1", -50).unwrap(), "00000000");
    let LaneStep::Write(writes) = lanes.next(&mut end, Millis(NOW)) else { panic!("A1 is listed") };
    for write in writes {
        assert_eq!(store.stored.insert(write.name, write.bytes), write.was);
    }
    assert_eq!(store.record("A1", -40).unwrap(), "00000000");
    assert_eq!(store.lanes_in_use(), ["00000000", "00000001"]);
    assert_eq!(store.as_of(), from_now(-100).0, "B is folded to there");
}
