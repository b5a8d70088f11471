//! Clients must not decide how large the units are that a fold writes, nor whether other events are folded.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use isotherm_core::{
    Admission, KeyRange, Merged, Millis, Plan, ReportData, ReportOutcome, Request, Service, Stamp, StepWrite,
    StoredPage, TooMuch, Unfolded, WriteLimits,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };
/// The least that a store takes under one key, in bytes: DynamoDB's 400 KB, with its attributes' names.
const UNIT: usize = 400_000;

fn service() -> Service {
    Service::from_text(Some(r#"{"version":2,"open":true}"#))
}

/// One tenant's pages, and whether the store gives them in another order than core's.
#[derive(Clone, Default)]
struct Store(BTreeMap<String, Vec<u8>>, bool);

impl Store {
    fn read(&self, ranges: &[KeyRange]) -> Vec<StoredPage> {
        let range = |range: &KeyRange| self.0.range(range.from.clone()..range.until.clone());
        let pages = ranges.iter().flat_map(range);
        let pages = pages.map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() });
        if self.1 { pages.rev().collect() } else { pages.collect() }
    }

    /// Writes pages, and checks that every store can take each one.
    fn write(&mut self, pages: impl IntoIterator<Item = StoredPage>) {
        for StoredPage { key, bytes } in pages {
            assert!(key.len() <= 1000 && key.len() + bytes.len() < UNIT, "{} and {} bytes", key.len(), bytes.len());
            self.0.insert(key, bytes);
        }
    }

    /// Folds records step by step. Returns the keys of damaged pages and the number of steps.
    fn fold(&mut self, records: &[String]) -> (Vec<String>, usize) {
        let unfolded: Vec<_> = records.iter().map(|record| Unfolded { tenant: "t", record }).collect();
        let (mut rest, mut at_most) = (unfolded.as_slice(), usize::MAX);
        let (mut keys, mut steps) = (Vec::new(), 0);
        while !rest.is_empty() {
            let step = service().fold(rest, at_most, WriteLimits::ONE_WRITER);
            let taken = step.records();
            let stored = step.ranges().map(|(_, ranges)| self.read(ranges)).collect();
            match step.merge(stored) {
                Ok(StepWrite { pages, damaged, rejected, .. }) => {
                    assert_eq!(rejected, []);
                    self.write(pages.into_iter().map(|(_, page)| page));
                    keys.extend(damaged.into_iter().map(|(_, page)| page.key));
                    rest = &rest[taken..];
                    steps += 1;
                }
                Err(TooMuch { at_most: fewer }) => at_most = fewer,
            }
        }
        (keys, steps)
    }

    fn compact(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        for compaction in service().compactions(&self.read(&[service().manifests()]), STAMP.received_at) {
            let (stored, mut budget) = (self.read(&compaction.ranges()), compaction.budget());
            let is_within = stored.iter().all(|page| budget.takes_page(page));
            let merged = compaction.merge(is_within.then_some(stored), WriteLimits::ONE_WRITER);
            let Merged { pages, damaged, .. } = merged;
            self.write(pages);
            keys.extend(damaged.into_iter().map(|page| page.key));
        }
        keys
    }

    fn report(&self, target: &str) -> Value {
        let (path, query) = target.split_once('?').unwrap();
        let query = format!("from=2013-01-01T00:00:00Z&to=2013-01-03T00:00:00Z&{query}");
        let request = Request { method: "GET", path, query: &query, headers: &[], body: b"" };
        let Admission::Plan(Plan::Report(plan)) = service().admit(&request, STAMP) else { panic!("{target}") };
        let manifests = self.read(plan.reading().manifests().as_slice());
        let pages = self.read(&plan.reading().ranges(&manifests));
        let data = ReportData { pages, ..ReportData::default() };
        let reply = plan.respond(ReportOutcome::Read(vec![data])).reply;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// Checks the number of all events, and the sum over the rows of a report.
    #[track_caller]
    fn check_count(&self, count: usize) {
        let sum = |report: Value| {
            let rows = report["rows"].as_array().unwrap().clone();
            rows.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(sum(self.report("/reports/summary?")), count as u64);
        assert_eq!(sum(self.report("/reports/top?dimension=eventType&limit=10000")), count as u64);
        assert_eq!(sum(self.report("/reports/timeseries?interval=day")), count as u64);
    }
}

fn record(user: usize, event_type: &str, time: &str, properties: &str) -> String {
    format!(
        r#"{{"userId":"u{user}","eventType":{},"timestamp":"{time}","properties":{{{properties}}}}}"#,
        Value::from(event_type)
    )
}

fn name(n: usize) -> String {
    format!("{n:06}{}", "x".repeat(194))
}

/// Eight dimensions with long names that no other event has.
fn own_dimensions(n: usize) -> String {
    let mut properties = String::new();
    for dimension in 0..8 {
        let comma = if dimension > 0 { "," } else { "" };
        let _written = write!(properties, r#"{comma}"{}":"{}""#, name(8 * n + dimension), name(n));
    }
    properties
}

#[test]
fn names_without_end_are_counted_and_take_no_more_than_a_store_takes() {
    let records: Vec<String> =
        (0..1500).map(|n| record(n, &format!("e{n}"), "2013-01-01T00:00:00Z", &own_dimensions(n))).collect();
    let mut store = Store::default();
    let (damaged, steps) = store.fold(&records);
    assert!(damaged.is_empty() && steps > 1);
    store.check_count(1500);
    let types = store.report("/reports/top?dimension=eventType&limit=10000");
    let rows = types["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 501);
    assert!(rows.iter().any(|row| *row == json!({"value": "(other)", "count": 1000})), "{types}");
    assert_eq!(store.compact(), Vec::<String>::new());
    store.check_count(1500);
}

#[test]
fn names_of_numbers_without_end_take_no_more_than_a_store_takes() {
    let numbers = |n: usize| {
        let numbers = (0..128).map(|at| format!(r#""{:09}":{}.5"#, (n * 128 + at) * 7919 % 1_000_000_007, n * at));
        numbers.collect::<Vec<_>>().join(",")
    };
    let records: Vec<String> =
        (0..600).map(|n| record(n, "e", &format!("2013-01-01T{:02}:00:00Z", n % 24), &numbers(n))).collect();
    let mut store = Store::default();
    store.fold(&records);
    store.check_count(600);
    store.compact();
    store.check_count(600);
}

/// Fills one rollup with all that it can hold: users, and 24 numbers that never repeat.
#[test]
fn the_largest_rollup_takes_no_more_than_a_store_takes() {
    let numbers = |n: usize| {
        let exponent = |at: usize| ((n * 31 + at * 17) % 600) as i64 - 300;
        let numbers = (0..24).map(|at| format!(r#""n{at}":{}e{}"#, 1 + n * 7919 % 997, exponent(at)));
        numbers.collect::<Vec<_>>().join(",")
    };
    let mut store = Store::default();
    for batch in 0..10 {
        let of = |n: usize| record(n, "e", "2013-01-01T00:00:00Z", &format!(r#""d":"v",{}"#, numbers(n)));
        store.fold(&(batch * 2000..(batch + 1) * 2000).map(of).collect::<Vec<_>>());
    }
    store.check_count(20_000);
    let largest = store.0.values().map(Vec::len).max().unwrap();
    assert!((100_000..UNIT).contains(&largest), "{largest}");
    store.compact();
    store.check_count(20_000);
}

/// A number with all of its digits, and of any magnitude, so that sums and histograms are as large as they can be.
fn wide(n: usize) -> String {
    let digits = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    format!("{digits}e{}", n * 31 % 580 % 290)
}

/// An event with wide numbers in an hour, with one of 1,000 values of each of eight dimensions.
fn wide_record(n: usize, hour: usize) -> String {
    let dimensions = (0..8).map(|at| format!(r#""d{at}":"{:03}""#, n * (2 * at + 1) % 1000));
    let numbers = (0..24).map(|at| format!(r#""n{at:02}":{}"#, wide(24 * n + at)));
    let properties = dimensions.chain(numbers).collect::<Vec<_>>().join(",");
    record(n, "e", &format!("2013-01-01T{hour:02}:00:00Z"), &properties)
}

#[test]
fn a_day_that_is_more_than_a_host_may_hold_is_kept_by_its_hours() {
    let mut store = Store::default();
    for hour in 0..12 {
        (0..2).for_each(|batch| {
            drop(store.fold(&(0..1000).map(|n| wide_record(1000 * batch + n, hour)).collect::<Vec<_>>()))
        });
    }
    let compactions = service().compactions(&store.read(&[service().manifests()]), STAMP.received_at);
    let mut budget = compactions[0].budget();
    assert!(!store.read(&compactions[0].ranges()).iter().all(|page| budget.takes_page(page)), "the day is within it");
    assert_eq!(store.compact(), Vec::<String>::new());
    assert!(store.0.keys().all(|key| !key.contains("\u{1f}c000")), "a day was compacted");
    // It is not tried again.
    assert!(service().compactions(&store.read(&[service().manifests()]), STAMP.received_at).is_empty());
    store.check_count(24_000);
}

#[test]
fn names_without_end_cost_only_the_values_that_bring_them() {
    let time = "2013-01-01T00:00:00Z";
    let mut store = Store::default();
    store.fold(&[record(0, "e", time, r#""plan":"pro","zoom":5"#)]);
    let junk = (1..100).map(|n| {
        let numbers = (0..8).map(|at| format!(r#""k{:04}":1"#, 8 * n + at)).collect::<Vec<_>>().join(",");
        record(n, "e", time, &format!(r#""plan":"x{n:03}",{numbers}"#))
    });
    let good =
        [record(200, "e", time, r#""plan":"pro","zoom":6"#), record(201, "e", time, r#""plan":"team","amount":7"#)];
    store.fold(&junk.chain(good).collect::<Vec<_>>());
    let top =
        store.report("/reports/top?dimension=plan&limit=200&metrics=count,sum:zoom,sum:amount,sum:k0008,sum:k0799");
    let row = |value: &str| top["rows"].as_array().unwrap().iter().find(|row| row["value"] == value).unwrap();
    assert_eq!((&row("pro")["sum:zoom"], &row("team")["sum:amount"]), (&json!(11), &json!(7)), "{top}");
    assert_eq!((&row("x001")["sum:k0008"], &row("x099")["sum:k0799"]), (&json!(1), &json!(null)), "{top}");
    assert!(top["caps"].as_array().unwrap().contains(&json!("numbers")), "{top}");
    store.check_count(102);
}

#[test]
fn numbers_of_many_values_take_a_bounded_part_of_a_fold() {
    let of = |n: usize| wide_record(n, 0);
    let mut store = Store::default();
    for batch in 0..3 {
        let records: Vec<String> = (batch * 1000..(batch + 1) * 1000).map(of).collect();
        let (_, steps) = store.fold(&records);
        assert!(steps <= 2, "batch {batch} took {steps} steps");
        let of_dimension = |(key, _): &(&String, &Vec<u8>)| key.starts_with("d0");
        let bytes: usize = store.0.iter().filter(of_dimension).map(|(_, bytes)| bytes.len()).sum();
        // A quarter of a MiB of numbers, one rollup beyond it, and what else a value has.
        assert!(bytes < 500_000, "{bytes} after batch {batch}");
    }
    store.check_count(3000);
    let top = store.report("/reports/top?dimension=d0&limit=1000&metrics=count,sum:n00");
    let rows = top["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1000);
    assert!(rows.iter().all(|row| row["count"] == 3), "{top}");
    // Of some values the numbers are dropped, and of others they are there. The answer names the cap.
    let dropped = rows.iter().filter(|row| row["sum:n00"].is_null()).count();
    assert!((1..1000).contains(&dropped), "{dropped}");
    assert!(top["caps"].as_array().unwrap().contains(&json!("numbers")), "{}", top["caps"]);
    // Dropped numbers don't come back, and all events together keep theirs.
    store.fold(&(0..2).map(of).collect::<Vec<_>>());
    let again = store.report("/reports/top?dimension=d0&limit=1000&metrics=count,sum:n00");
    assert!(again["rows"].as_array().unwrap().iter().filter(|row| row["sum:n00"].is_null()).count() >= dropped);
    assert!(!store.report("/reports/summary?metrics=sum:n00")["rows"][0]["sum:n00"].is_null());
    // Numbers of one hour don't pass for those of a day of which others are dropped.
    let value = rows.iter().find(|row| row["sum:n00"].is_null()).unwrap()["value"].as_str().unwrap();
    let later = format!(r#""d0":"{value}","n00":1"#);
    store.fold(&[record(0, "e", "2013-01-01T01:00:00Z", &later)]);
    for _ in 0..2 {
        let report = store.report(&format!("/reports/summary?filter=d0:{value}&metrics=sum:n00"));
        assert_eq!(report["caps"], json!(["numbers"]), "{report}");
        store.compact();
    }
    store.check_count(3003);
}

#[test]
fn hours_far_apart_are_folded_in_steps() {
    let day = |n: usize| format!("2013-{:02}-{:02}T{:02}:00:00Z", 1 + n / 28 % 12, 1 + n % 28, n % 24);
    let records: Vec<String> = (0..500).map(|n| record(n, "e", &day(n), &own_dimensions(n % 40))).collect();
    let mut store = Store::default();
    let (_, steps) = store.fold(&records);
    assert!((4..30).contains(&steps), "{steps} steps");
}

/// The cut must not be one record at a time, because each try folds all records that it keeps.
#[test]
fn a_step_is_cut_by_as_much_as_it_is_too_large() {
    let day = |n: usize| record(n, "e", &format!("2013-01-{:02}T00:00:00Z", 1 + n), "");
    let records: Vec<String> = (0..80_usize).map(|n| day(n.saturating_sub(60))).collect();
    let records: Vec<_> = records.iter().map(|record| Unfolded { tenant: "t", record }).collect();
    let step = |at_most, pages| service().fold(&records, at_most, WriteLimits { pages, ..WriteLimits::ONE_WRITER });
    let ranges = step(80, 1000).ranges().map(|(_, ranges)| ranges.len()).sum::<usize>();
    assert_eq!((step(80, 1000).records(), step(80, ranges).records()), (80, 80));
    // The records of the first day are 60.
    let records = step(80, ranges / 4).records();
    assert!((10..=65).contains(&records), "{records}");
}

#[test]
fn an_hour_has_eight_dimensions_and_says_so_ever_after() {
    let of = |dimensions: std::ops::Range<u8>| {
        let properties: Vec<String> = dimensions.map(|dimension| format!(r#""d{dimension}":"v""#)).collect();
        record(0, "e", "2013-01-01T00:00:00Z", &properties.join(","))
    };
    // No event has more than five dimensions.
    let records = [of(0..5), of(4..9), of(0..1)];
    for batch in [1, 3] {
        let mut store = Store::default();
        records.chunks(batch).for_each(|records| drop(store.fold(records)));
        let dimensions = (0..8).map(|dimension| format!("d{dimension}")).collect::<Vec<_>>();
        assert_eq!(store.report("/reports/summary?")["dimensions"], json!(dimensions));
        for (dimension, accuracy) in [("d7", "exact"), ("d8", "capped")] {
            let report = store.report(&format!("/reports/top?dimension={dimension}"));
            assert_eq!(report["accuracy"]["dimension"], accuracy, "{dimension}, {batch} at a time");
        }
    }
}

#[test]
fn a_value_is_counted_in_the_page_that_it_belongs_to() {
    let of = |n: usize| record(n, "e", "2013-01-01T00:00:00Z", &format!(r#""page":"{}""#, name(n)));
    let mut store = Store::default();
    store.fold(&(0..900).map(of).collect::<Vec<_>>());
    let pages = |store: &Store| -> BTreeMap<String, Vec<u8>> {
        store.0.clone().into_iter().filter(|(key, _)| key.starts_with("page\u{1f}")).collect()
    };
    assert!(pages(&store).len() > 2, "no page was split");
    for n in (0..900).step_by(50) {
        let before = pages(&store);
        store.fold(&[of(n)]);
        let changed: Vec<_> = pages(&store).into_iter().filter(|(key, bytes)| before.get(key) != Some(bytes)).collect();
        let is_before = |key: &&String| key.rsplit('\u{1f}').next().unwrap() <= name(n).as_str();
        assert_eq!(changed.iter().map(|(key, _)| key).collect::<Vec<_>>(), [before.keys().rfind(is_before).unwrap()]);
    }
}

/// Some stores sort control characters in keys otherwise than bytes.
#[test]
fn pages_of_a_split_series_may_come_in_any_order() {
    let value = |n: usize| format!("{:03}{}{}", n % 900, ["", "\n", "\t", "\nb", " "][n % 5], "x".repeat(190));
    let of = |n: usize| record(n, "e", "2013-01-01T00:00:00Z", &format!(r#""page":{}"#, Value::from(value(n))));
    let records: Vec<String> = (0..1800).map(of).collect();
    let [mut sorted, mut other] = [Store(BTreeMap::new(), false), Store(BTreeMap::new(), true)];
    for store in [&mut sorted, &mut other] {
        for records in records.chunks(300) {
            store.fold(records);
        }
    }
    let pages = |store: &Store| store.0.keys().filter(|key| key.starts_with("page\u{1f}")).count();
    assert!(pages(&sorted) > 2, "no page was split");
    assert_eq!(sorted.0, other.0);
    let top = "/reports/top?dimension=page&limit=1000&metrics=count,users";
    assert_eq!(sorted.report(top), other.report(top));
    assert_eq!((sorted.compact(), other.compact()), (vec![], vec![]));
    assert_eq!(sorted.0, other.0);
    assert_eq!(sorted.report(top), other.report(top));
    let rows = other.report(top)["rows"].as_array().unwrap().len();
    assert_eq!(rows, (0..1800).map(value).collect::<std::collections::BTreeSet<_>>().len());
}

#[test]
fn what_is_damaged_is_set_apart_and_the_rest_goes_on() {
    let of = |n: usize| {
        record(n, if n.is_multiple_of(2) { "a" } else { "b" }, "2013-01-01T05:00:00Z", r#""to":"x","via":"y""#)
    };
    let records: Vec<String> = (0..40).map(of).collect();
    let (before, after) = records.split_at(20);
    let mut whole = Store::default();
    whole.fold(before);
    for key in whole.0.keys() {
        for bytes in [&b"\0"[..], b"", b"\xff\xff\xff\xff\xff"] {
            let mut store = whole.clone();
            store.0.insert(key.clone(), bytes.to_vec());
            let (damaged, _) = store.fold(after);
            let is_list_of_types = key.starts_with('\u{1d}');
            assert_eq!(damaged, if is_list_of_types { vec![] } else { vec![key.clone()] });
            // The damaged bytes are kept, and the next fold does not meet them again.
            assert!(is_list_of_types || store.0.iter().any(|(other, kept)| other != key && kept == bytes), "{key:?}");
            assert_eq!(store.fold(after).0, Vec::<String>::new());
            store.compact();
            store.compact();
            // All other series count all events.
            let mut others = whole.clone();
            others.fold(after);
            others.fold(after);
            let is_other = |(other, _): &(&String, &Vec<u8>)| {
                !other.starts_with(['\u{1d}', '\u{1e}']) && *other != key && !other.contains("\u{1f}c000")
            };
            assert!(
                others.0.iter().filter(is_other).all(|(other, bytes)| store.0.get(other) == Some(bytes)),
                "{key:?}"
            );
        }
    }
}

#[test]
fn a_day_of_which_something_cannot_be_read_is_kept_by_its_hours() {
    let records: Vec<String> = (0..40).map(|n| record(n, "a", "2013-01-01T05:00:00Z", r#""to":"x""#)).collect();
    let mut store = Store::default();
    store.fold(&records);
    let key = store.0.keys().find(|key| key.starts_with("to\u{1f}")).unwrap().clone();
    store.0.insert(key.clone(), vec![0]);
    assert_eq!(store.compact(), std::slice::from_ref(&key));
    store.check_count(40);
    assert!(store.0.keys().all(|key| !key.contains("\u{1f}c000")), "a day was compacted");
    assert_eq!(store.compact(), Vec::<String>::new());
}

#[test]
fn a_day_whose_hours_have_more_numbers_together_than_a_rollup_keeps_is_kept_by_its_hours() {
    for (numbers, is_compacted) in [(24, true), (25, false)] {
        let of = |hour: usize, numbers: std::ops::Range<usize>| {
            let properties: Vec<String> = numbers.map(|number| format!(r#""n{number:02}":1"#)).collect();
            record(0, "e", &format!("2013-01-01T{hour:02}:00:00Z"), &properties.join(","))
        };
        let mut store = Store::default();
        store.fold(&[of(5, 0..12), of(6, 12..numbers)]);
        store.compact();
        assert_eq!(store.0.keys().any(|key| key.contains("\u{1f}c000")), is_compacted, "{numbers} numbers");
        store.check_count(2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// A fold and a compaction finish, whatever is stored under a key.
    #[test]
    fn no_bytes_stop_a_fold(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let of = |n: usize| {
            let properties = format!(r#""to":"x{}","n":{n},"m":{n}.5"#, n % 3);
            record(n, "a", &format!("2013-01-0{}T05:00:00Z", 1 + n % 2), &properties)
        };
        let records: Vec<String> = (0..60).map(of).collect();
        let mut store = Store::default();
        store.fold(&records);
        store.compact();
        for (page, at, bits) in damage {
            let keys: Vec<String> = store.0.keys().cloned().collect();
            let bytes = store.0.get_mut(page.get(&keys)).unwrap();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
        }
        store.fold(&records);
        store.compact();
        store.fold(&records);
    }
}
