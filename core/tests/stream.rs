//! Folding a stream that is delivered at least once. Each event is counted once, however often it is delivered.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use isotherm_core::{
    Admission, KeyRange, Millis, Plan, Request, Service, Stamp, StoreOutcome, StoredPage, StreamBatch, StreamItem,
    StreamRecord, StreamWrite, TooMuch, Unfolded, UnreadableEvent, Watermark, WriteLimits, letter_name, letter_notice,
};
use serde_json::Value;

const MUCH: WriteLimits = WriteLimits { pages: 10_000, bytes: 100_000_000 };

static SERVICE: LazyLock<Service> = LazyLock::new(|| Service::from_text(Some(r#"{"version":2,"open":true}"#)));

/// The records of some events of several types, hours and dimensions.
static RECORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let event = |n: usize| {
        format!(
            r#"{{"userId":"u{}","eventType":"t{}","timestamp":"2013-01-0{}T0{}:00:00Z","properties":{{"n":{n},"to":"{}"}}}}"#,
            n % 7,
            n % 3,
            1 + n % 4,
            n % 9,
            n % 11
        )
    };
    let body = (0..120).map(event).collect::<Vec<_>>().join("\n");
    let headers = vec![("content-type", "application/x-ndjson".to_owned())];
    let request =
        Request { method: "POST", path: "/events/batch", query: "", headers: &headers, body: body.as_bytes() };
    let stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };
    let Admission::Plan(Plan::Store(plan)) = SERVICE.admit(&request, stamp) else { panic!("refused") };
    let records = plan.events().iter().map(|event| event.record.clone()).collect();
    assert_eq!(plan.respond(vec![StoreOutcome::Stored; 120]).status, 200);
    records
});

/// Numbers with 1 to 3 digits, which would sort wrongly as strings.
static NUMBERS: LazyLock<Vec<String>> = LazyLock::new(|| (0..RECORDS.len()).map(|n| (n * 8 + 1).to_string()).collect());

fn item(n: usize) -> StreamItem<'static> {
    StreamItem {
        key: Some("key"),
        tenant: Some(if n.is_multiple_of(5) { "b" } else { "a" }),
        record: Some(Ok(&RECORDS[n])),
    }
}

fn record(n: usize) -> StreamRecord<'static> {
    StreamRecord {
        sequence_number: &NUMBERS[n],
        written_at: Millis(1000 * (n as u64 + 1)),
        item: Some(item(n)),
        is_new: true,
    }
}

fn batch(records: impl IntoIterator<Item = StreamRecord<'static>>) -> StreamBatch<'static> {
    StreamBatch {
        shard_id: "shard",
        records: records.into_iter().collect(),
        window_start: Millis(0),
        complete_to: None,
    }
}

fn all() -> StreamBatch<'static> {
    batch((0..RECORDS.len()).map(record))
}

/// A store with one lane.
struct Lane {
    pages: BTreeMap<(String, String), Vec<u8>>,
    watermark: Watermark,
    letters: Vec<String>,
    damaged: Vec<String>,
    writes: usize,
}

impl Lane {
    fn new() -> Self {
        Self {
            pages: BTreeMap::new(),
            watermark: Watermark::start(),
            letters: Vec::new(),
            damaged: Vec::new(),
            writes: 0,
        }
    }

    fn read(&self, tenant: &str, ranges: &[KeyRange]) -> Vec<StoredPage> {
        let pages =
            self.pages.iter().filter(|((of, key), _)| of == tenant && ranges.iter().any(|range| range.contains(key)));
        pages.map(|((_, key), bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }).collect()
    }

    /// Folds as an adapter does, with at most `steps` steps.
    fn fold(&mut self, batch: &StreamBatch<'_>, limits: WriteLimits, steps: usize) {
        let mut at_most = usize::MAX;
        for _ in 0..steps {
            let Some(step) = SERVICE.step(batch, &self.watermark, at_most, limits) else { return };
            let stored = step.ranges().map(|(tenant, ranges)| self.read(tenant.as_str(), ranges)).collect();
            match step.merge(stored) {
                Ok(StreamWrite { pages, damaged, watermark, letters, .. }) => {
                    self.damaged.extend(damaged.into_iter().map(|(_, page)| page.key));
                    assert!(limits.fit(pages.iter().map(|(_, page)| page)));
                    let written = pages.into_iter();
                    self.pages
                        .extend(written.map(|(tenant, page)| ((tenant.as_str().to_owned(), page.key), page.bytes)));
                    self.letters.extend(letters);
                    let stored = StoredPage { key: String::new(), bytes: watermark.to_bytes() };
                    self.watermark = Watermark::read(&stored).unwrap();
                    assert_eq!(self.watermark, watermark);
                    self.writes += 1;
                }
                Err(TooMuch { at_most: fewer }) => at_most = fewer,
            }
        }
    }
}

fn folded(batches: &[StreamBatch<'_>], limits: WriteLimits) -> Lane {
    let mut lane = Lane::new();
    batches.iter().for_each(|batch| lane.fold(batch, limits, usize::MAX));
    lane
}

#[test]
fn each_tenant_gets_the_pages_that_a_fold_of_its_events_gives() {
    let lane = folded(&[all()], MUCH);
    assert_eq!((lane.writes, lane.letters.len()), (1, 0));
    for (tenant, is_of) in [("a", (|n| !n.is_multiple_of(5)) as fn(usize) -> bool), ("b", |n| n.is_multiple_of(5))] {
        let records = (0..RECORDS.len()).filter(|n| is_of(*n)).map(|n| Unfolded { tenant, record: &RECORDS[n] });
        let step = SERVICE.fold(&records.collect::<Vec<_>>(), usize::MAX, MUCH);
        let pages = step.merge(vec![Vec::new()]).unwrap().pages.into_iter().map(|(_, page)| page);
        let stored = lane.pages.iter().filter(|((of, _), _)| of == tenant);
        let stored: BTreeMap<_, _> = stored.map(|((_, key), bytes)| (key.clone(), bytes.clone())).collect();
        assert_eq!(stored, pages.map(|page| (page.key, page.bytes)).collect());
    }
}

#[test]
fn however_little_a_transaction_takes_the_pages_are_the_same() {
    let whole = folded(&[all()], MUCH);
    for limits in
        [WriteLimits { pages: 99, ..MUCH }, WriteLimits { pages: 6, ..MUCH }, WriteLimits { bytes: 2000, ..MUCH }]
    {
        let lane = folded(&[all()], limits);
        assert!(lane.writes > 1, "{limits:?}: {} writes", lane.writes);
        assert_eq!((lane.pages, lane.watermark), (whole.pages.clone(), whole.watermark.clone()));
    }
}

/// No real record needs more than a store takes. If one did, the records behind it would still be folded.
#[test]
fn a_record_that_no_transaction_takes_becomes_a_letter() {
    let lane = folded(&[all()], WriteLimits { bytes: 1, ..MUCH });
    assert_eq!((lane.pages.len(), lane.letters.len()), (0, RECORDS.len()));
    assert!(lane.letters.iter().all(|letter| letter.contains("more than a transaction takes")));
}

#[test]
fn what_is_delivered_again_is_not_counted_again() {
    let whole = folded(&[all()], MUCH);
    let part = |from: usize, until: usize| batch((from..until).map(record));
    let again = folded(&[part(0, 50), part(0, 50), part(20, 90), part(3, 4), part(60, 120), all()], MUCH);
    assert_eq!((again.pages, again.watermark), (whole.pages, whole.watermark));
    assert_eq!(again.writes, 3);
}

#[test]
fn a_fold_that_breaks_off_goes_on_behind_its_watermark() {
    let limits = WriteLimits { pages: 20, ..MUCH };
    let whole = folded(&[all()], limits);
    for steps in 1..whole.writes {
        let mut lane = Lane::new();
        lane.fold(&all(), limits, steps);
        let folded = all().folded(&lane.watermark);
        assert!((1..RECORDS.len()).contains(&folded), "{folded}");
        lane.fold(&batch((folded..RECORDS.len()).map(record)), limits, usize::MAX);
        assert_eq!((&lane.pages, &lane.watermark), (&whole.pages, &whole.watermark));
    }
}

#[test]
fn an_event_that_is_changed_is_no_new_event() {
    let changed = StreamRecord { is_new: false, ..record(1) };
    let lane = folded(&[batch([record(0), changed])], MUCH);
    assert_eq!((lane.pages, lane.letters), (folded(&[batch([record(0)])], MUCH).pages, vec![]));
}

#[test]
fn what_is_no_event_becomes_a_letter_and_the_others_go_on() {
    let spoilt = |n: usize, item: Option<StreamItem<'static>>| StreamRecord { item, ..record(n) };
    let long: &'static str = "é".repeat(60_001).leak();
    let items = [
        None, // deleted
        Some(item(1)),
        Some(StreamItem { record: Some(Ok("{}")), ..item(2) }),
        Some(StreamItem { record: None, ..item(3) }),
        Some(StreamItem { tenant: None, ..item(4) }),
        Some(StreamItem { tenant: Some("no/tenant"), ..item(5) }),
        Some(StreamItem { key: None, tenant: None, record: None }),
        Some(StreamItem { record: Some(Ok(long)), ..item(7) }),
        Some(item(8)),
        Some(StreamItem { key: Some("#pulse-1"), tenant: Some(""), record: None }), // of our own
        Some(StreamItem { key: Some("#shape-1"), tenant: Some(""), record: None }), // likewise
        Some(StreamItem { record: Some(Err(UnreadableEvent::Damaged)), ..item(11) }),
    ];
    let spoilt = batch(items.into_iter().enumerate().map(|(n, item)| spoilt(n, item)));
    let lane = folded(&[spoilt], MUCH);
    let good = folded(&[batch([record(1), record(8)])], MUCH);
    assert_eq!(lane.pages, good.pages);
    let letters: Vec<Value> = lane.letters.iter().map(|letter| serde_json::from_str(letter).unwrap()).collect();
    let of = |n: usize| letters.iter().find(|letter| letter["sequenceNumber"] == NUMBERS[n].as_str()).unwrap();
    assert_eq!(letters.len(), 7);
    for (letter, read) in lane.letters.iter().zip(&letters) {
        let (notice, text) = (letter_notice(letter), |name: &str| read[name].as_str().unwrap_or("nowhere").to_owned());
        let said =
            format!("in no report: record {} of {}: {}", text("sequenceNumber"), text("shardId"), text("reason"));
        assert_eq!(notice, said, "the log holds neither record nor key");
    }
    assert_eq!(letter_notice("no letter"), "in no report: record  of : ");
    let place = r#"{"reason":"why","shardId":"shard-1","sequenceNumber":"7"}"#;
    assert_eq!(letter_name(place).as_deref(), Some("shard-1/7"));
    assert_eq!(letter_name(&place.replace("\"7\"", "\"8\"")).as_deref(), Some("shard-1/8"));
    assert_eq!((letter_name("no letter"), letter_name("{}")), (None, None));
    assert!(of(2)["reason"].as_str().unwrap().contains("no event") && of(2)["record"] == "{}", "{}", of(2));
    assert!(of(3)["reason"].as_str().unwrap().contains("something else writes") && of(3)["key"] == "key", "{}", of(3));
    assert!(of(6).get("key").is_none() && of(6)["shardId"] == "shard", "{}", of(6));
    assert_eq!(of(7)["record"].as_str().unwrap().len(), 100_000);
    assert!(of(11)["reason"].as_str().unwrap().contains("damaged") && of(11)["key"] == "key", "{}", of(11));
    assert!(letters.iter().all(|letter| letter["sequenceNumber"] != NUMBERS[0].as_str()));
}

#[test]
fn a_batch_that_is_out_of_order_comes_to_an_end() {
    let numbers = ["100", "101", "2000", "1003"];
    let mut all = batch(numbers.map(|sequence_number| StreamRecord { sequence_number, ..record(0) }));
    all.sort();
    let mut lane = Lane::new();
    // One record at a time, so that no record is skipped together with those before it.
    lane.fold(&all, WriteLimits { pages: 1, ..MUCH }, usize::MAX);
    assert_eq!((all.folded(&lane.watermark), lane.letters.len()), (4, 4));
    assert!(SERVICE.step(&all, &lane.watermark, usize::MAX, MUCH).is_none());
}

/// A watermark is bytes in a store, so it may hold any time.
#[test]
fn a_lane_that_is_folded_to_the_end_of_time_has_not_ended() {
    let bytes = [&[1][..], &[0xff; 9], &[1, 0]].concat();
    let lane = Watermark::read(&StoredPage { key: String::new(), bytes }).unwrap();
    assert!(!lane.has_ended(Millis(u64::MAX)));
}

#[test]
fn a_backup_has_the_events_of_each_tenant() {
    let keys: Vec<String> = all().backups().into_iter().map(|backup| backup.key).collect();
    assert_eq!(keys, ["a", "b"].map(|tenant| format!("{tenant}/2025-11-21/shard-1-953.ndjson.gz")));
    assert_eq!(all().backups(), all().backups());
    assert_eq!(batch([]).backups(), []);
}

#[test]
fn what_is_no_watermark_is_an_error() {
    let bytes = folded(&[all()], MUCH).watermark.to_bytes();
    for length in 0..bytes.len() {
        let page = StoredPage { key: "w".to_owned(), bytes: bytes[..length].to_vec() };
        assert_eq!(Watermark::read(&page).unwrap_err().key, "w");
    }
}

/// A conditional write compares bytes, so other bytes of the same meaning would keep their lane from ever being folded.
#[test]
fn other_bytes_of_the_same_meaning_are_no_watermark() {
    let read = |bytes: &[u8]| Watermark::read(&StoredPage { key: "w".to_owned(), bytes: bytes.to_vec() });
    for whole in [&[1, 5, 1, b'7'][..], &[2, 5, 1, b'7', 1, b's', 0]] {
        assert_eq!(read(whole).unwrap().to_bytes(), whole);
        let longer_number = [&[whole[0], 0x85, 0], &whole[2..]].concat();
        for other in [longer_number, [whole, &[0]].concat()] {
            assert!(read(&other).is_err(), "{other:?}");
        }
    }
}
