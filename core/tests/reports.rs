//! Reports over the January flights, compared with answers computed from all values, however the events were folded.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

use isotherm_core::{
    Admission, KeyRange, Merged, Millis, Plan, Reading, ReportData, ReportOutcome, Request, Service, Stamp, StepWrite,
    StoreOutcome, StoredPage, Unfolded, WriteLimits,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };
const MONTH: &str = "from=2013-01-01T00:00:00Z&to=2013-02-02T00:00:00Z";

static SERVICE: LazyLock<Service> = LazyLock::new(|| Service::from_text(Some(r#"{"version":2,"open":true}"#)));

/// The records of the flights, as stores keep them.
static RECORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let file = include_bytes!("../../bench/data/flights-2013-01.ndjson.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file.as_slice()).read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks(500).flat_map(|batch| records(&batch.join("\n"))).collect()
});

static ANSWERS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../bench/data/flights-2013-01.answers.json")).unwrap());

fn records(ndjson: &str) -> Vec<String> {
    let headers = vec![("content-type", "application/x-ndjson".to_owned())];
    let request =
        Request { method: "POST", path: "/events/batch", query: "", headers: &headers, body: ndjson.as_bytes() };
    let Admission::Plan(Plan::Store(plan)) = SERVICE.admit(&request, STAMP) else { panic!("refused") };
    let records = plan.events().iter().map(|event| event.record.clone()).collect();
    let outcomes = vec![StoreOutcome::Stored; plan.events().len()];
    assert_eq!(plan.respond(outcomes).status, 200);
    records
}

const LIMITS: WriteLimits = WriteLimits { pages: 20_000, bytes: 100_000_000 };

/// A store that keeps pages in a map.
#[derive(Clone, Default)]
struct Store(BTreeMap<String, Vec<u8>>);

impl Store {
    fn read(&self, ranges: &[KeyRange]) -> Vec<StoredPage> {
        let pages = self.0.iter().filter(|(key, _)| ranges.iter().any(|range| range.contains(key)));
        pages.map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }).collect()
    }

    fn fold<'a>(&mut self, records: impl IntoIterator<Item = &'a str>) {
        let records: Vec<_> = records.into_iter().map(|record| Unfolded { tenant: "t", record }).collect();
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let step = SERVICE.fold(rest, usize::MAX, LIMITS);
            rest = &rest[step.records()..];
            let stored = step.ranges().map(|(_, ranges)| self.read(ranges)).collect();
            let StepWrite { pages, damaged, rejected, .. } = step.merge(stored).unwrap();
            assert_eq!((damaged.len(), rejected.len()), (0, 0));
            self.0.extend(pages.into_iter().map(|(_, page)| (page.key, page.bytes)));
        }
    }

    fn ranges(&self, reading: &Reading) -> Vec<KeyRange> {
        let manifests: Vec<KeyRange> = reading.manifests().into_iter().collect();
        reading.ranges(&self.read(&manifests))
    }

    /// Compacts all days that are due, and returns their number.
    fn compact(&mut self) -> usize {
        let compactions = SERVICE.compactions(&self.read(&[SERVICE.manifests()]), STAMP.received_at);
        let days = compactions.len();
        for compaction in compactions {
            let pages = self.read(&compaction.ranges());
            let Merged { pages, damaged, .. } = compaction.merge(Some(pages), LIMITS);
            assert_eq!(damaged, []);
            self.0.extend(pages.into_iter().map(|page| (page.key, page.bytes)));
        }
        days
    }

    fn of<'a>(batches: impl IntoIterator<Item = &'a [String]>) -> Self {
        let mut store = Self::default();
        batches.into_iter().for_each(|batch| store.fold(batch.iter().map(String::as_str)));
        store
    }
}

/// The answer to a report from these shards. Each has pages and a tail that is not folded yet.
fn report(shards: &[(&Store, &[String])], path: &'static str, query: &str) -> (u16, Value) {
    let request = Request { method: "GET", path, query, headers: &[], body: b"" };
    let reply = match SERVICE.admit(&request, STAMP) {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Report(plan)) => {
            let data = |(store, tail): &(&Store, &[String])| ReportData {
                pages: store.read(&store.ranges(plan.reading())),
                tail: tail.to_vec(),
                ..ReportData::default()
            };
            let data = shards.iter().map(data).collect();
            plan.respond(ReportOutcome::Read(data)).reply
        }
        Admission::Plan(other) => panic!("{other:?}"),
    };
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

/// Checks everything that answers say.
#[track_caller]
fn check(shards: &[(&Store, &[String])]) {
    let rows = |path: &'static str, query: &str| {
        let (status, body) = report(shards, path, &format!("{MONTH}&{query}"));
        assert_eq!(status, 200, "{body}");
        body
    };
    let metrics = ["depDelay", "distance"].map(|name| {
        let figures = ["sum", "min", "max", "p50", "p90", "p95", "p99"].map(|figure| format!("{figure}:{name}"));
        figures.join(",")
    });
    let summary = rows("/reports/summary", &format!("metrics=count,users,{}", metrics.join(",")));
    let figures = &summary["rows"][0];
    assert_eq!(figures["count"], ANSWERS["events"]);
    near(&figures["users"], &ANSWERS["unique_users"], 0.02);
    for name in ["depDelay", "distance"] {
        for exact in ["sum", "min", "max"] {
            assert_eq!(figures[format!("{exact}:{name}")], ANSWERS[name][exact], "{exact} {name}");
        }
        for percentile in ["p50", "p90", "p95", "p99"] {
            near(&figures[format!("{percentile}:{name}")], &ANSWERS[name][percentile], 0.01);
        }
    }
    let busiest: Vec<Value> = ANSWERS["busiest_hours"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hour| json!({"time": format!("{}:00:00Z", hour[0].as_str().unwrap()), "count": hour[1]}))
        .collect();
    assert_eq!(summary["busiestHours"], json!(busiest));

    let days = rows("/reports/timeseries", "interval=day&metrics=count,users,sum:distance");
    for row in days["rows"].as_array().unwrap() {
        let day = &row["time"].as_str().unwrap()[..10];
        assert_eq!(row["count"], ANSWERS["count_by_day"][day], "{day}");
        assert_eq!(row["sum:distance"], ANSWERS["sum_distance_by_day"][day], "{day}");
        near(&row["users"], &ANSWERS["unique_users_by_day"][day], 0.025);
    }
    assert_eq!(days["rows"].as_array().unwrap().len(), 32);

    let by = |body: &Value, name: &str| -> Vec<(String, u64)> {
        let rows = body["rows"].as_array().unwrap().iter();
        rows.map(|row| (row[name].as_str().unwrap().to_owned(), row["count"].as_u64().unwrap())).collect()
    };
    let expected = |counts: &Value| -> BTreeMap<String, u64> { serde_json::from_value(counts.clone()).unwrap() };
    let types = rows("/reports/top", "dimension=eventType");
    assert_eq!(by(&types, "value").into_iter().collect::<BTreeMap<_, _>>(), expected(&ANSWERS["count_by_type"]));
    let carriers = rows("/reports/top", "dimension=carrier&limit=100");
    assert_eq!(by(&carriers, "value").into_iter().collect::<BTreeMap<_, _>>(), expected(&ANSWERS["count_by_carrier"]));
    let destinations = rows("/reports/top", "dimension=dest&limit=10");
    let top: Vec<(String, u64)> = serde_json::from_value(ANSWERS["top_dest"].clone()).unwrap();
    assert_eq!(by(&destinations, "value"), top);
    assert!(destinations["next"].is_string());
    assert_eq!(destinations["accuracy"], json!({"count": "exact", "dimension": "exact"}));
}

#[track_caller]
fn near(found: &Value, exact: &Value, relative: f64) {
    let (found, exact) = (found.as_f64().unwrap(), exact.as_f64().unwrap());
    assert!((found - exact).abs() <= exact.abs() * relative, "{found} is not {exact}");
}

#[test]
fn the_answers_are_right_from_the_tail_alone() {
    check(&[(&Store::default(), &RECORDS)]);
}

#[test]
fn the_answers_are_right_from_rollups_and_tail() {
    let (folded, tail) = RECORDS.split_at(20_000);
    check(&[(&Store::of(folded.chunks(700)), tail)]);
}

#[test]
fn the_answers_are_right_from_shards() {
    let mut shards = vec![Vec::new(); 4];
    RECORDS.iter().enumerate().for_each(|(at, record)| shards[at % 4].push(record.clone()));
    let stores: Vec<_> = shards.iter().map(|records| Store::of(records.chunks(900))).collect();
    check(&stores.iter().map(|store| (store, &[][..])).collect::<Vec<_>>());
}

/// Long reports with every kind of row, in UTC and in zones whose days differ from those of UTC.
const LONG: [(&str, &str); 7] = [
    ("/reports/top", "dimension=dest&limit=200&metrics=count,users,sum:distance,p95:depDelay"),
    ("/reports/top", "dimension=eventType"),
    ("/reports/timeseries", "interval=day&metrics=count,users,max:depDelay"),
    ("/reports/timeseries", "interval=day&tz=America/New_York"),
    ("/reports/timeseries", "interval=week&tz=America/New_York&groupBy=carrier&metrics=count,p50:depDelay"),
    ("/reports/timeseries", "interval=month&filter=origin:JFK&groupBy=origin&eventType=flight_departed"),
    ("/reports/summary", "metrics=count,users"),
];

#[track_caller]
fn check_same(compacted: &Store, hours: &Store) {
    // Ranges may also begin and end within days.
    for range in [MONTH, "from=2013-01-03T05:00:00Z&to=2013-01-29T17:00:00Z"] {
        for (path, query) in LONG {
            let query = format!("{range}&{query}");
            assert_eq!(
                report(&[(compacted, &[])], path, &query),
                report(&[(hours, &[])], path, &query),
                "{path} {query}"
            );
        }
    }
}

#[test]
fn the_answers_are_the_same_from_days() {
    let (early, late) = RECORDS.split_at(20_000);
    let mut hours = Store::of(early.chunks(700));
    let mut compacted = hours.clone();
    let days = compacted.compact();
    assert!((20..=32).contains(&days), "{days} days");
    check_same(&compacted, &hours);
    check(&[(&compacted, late)]);
    // Some of the late events are in days that are sealed.
    for store in [&mut hours, &mut compacted] {
        store.fold(late.iter().map(String::as_str));
    }
    check_same(&compacted, &hours);
    assert!((1..=32).contains(&compacted.compact()));
    check_same(&compacted, &hours);
    check(&[(&compacted, &[])]);
    assert_eq!(compacted.compact(), 0);
}

#[test]
fn a_late_event_opens_its_day_again() {
    let mut store = Store::of([RECORDS.as_slice()]);
    assert_eq!(store.compact(), 32);
    let query = format!("{MONTH}&dimension=carrier");
    let (_, before) = report(&[(&store, &[])], "/reports/top", &query);
    let late = r#"{"userId":"u","eventType":"flight_departed","timestamp":"2013-01-07T12:00:00Z","properties":{"carrier":"ZZ"}}"#;
    let late = records(late);
    store.fold(late.iter().map(String::as_str));
    let count = |report: &Value| {
        report["rows"].as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>()
    };
    for days in [1, 0] {
        let (_, after) = report(&[(&store, &[])], "/reports/top", &format!("{query}&limit=100"));
        let (_, all) = report(&[(&store, &[])], "/reports/top", &query);
        assert_eq!(
            (after["rows"].as_array().unwrap().last().unwrap(), count(&all)),
            (&json!({"value": "ZZ", "count": 1}), count(&before))
        );
        assert_eq!(store.compact(), days);
    }
}

/// If a store's reads are not one moment, a report may read a page before it was split, and then the part that was
/// split off.
#[test]
fn a_page_that_is_split_while_it_is_read_is_counted_once() {
    let event = |n: usize, user: usize| {
        let user = format!("user-{user}-of-{n}");
        json!({"userId": user, "eventType": "t", "timestamp": "2013-01-01T00:00:00Z",
            "properties": {"page": format!("page-{:03}-{}", n % 900, "x".repeat(150))}})
    };
    let batch = |range: std::ops::Range<usize>| -> Vec<String> {
        let lines: Vec<String> = range.map(|n| event(n, n / 7).to_string()).collect();
        lines.chunks(500).flat_map(|lines| records(&lines.join("\n"))).collect()
    };
    let mut store = Store::of([batch(0..300).as_slice()]);
    let before = store.clone();
    store.fold(batch(300..9000).iter().map(String::as_str));
    assert!(store.0.len() > before.0.len(), "no page was split");
    // The first page of the dimension from before the split, and the others from after it.
    let mut torn = store.clone();
    torn.0.extend(before.0.into_iter().filter(|(key, _)| key.starts_with("page")));
    let counts = |store: &Store| {
        let (_, body) = report(&[(store, &[])], "/reports/top", &format!("{MONTH}&dimension=page&limit=1000"));
        let rows = body["rows"].as_array().unwrap().clone();
        rows.into_iter()
            .map(|row| (row["value"].to_string(), row["count"].as_u64().unwrap()))
            .collect::<BTreeMap<_, _>>()
    };
    let (whole, torn) = (counts(&store), counts(&torn));
    assert!(torn.iter().all(|(value, count)| *count == whole[value] || *count == 1), "{torn:?}");
    assert!(torn.values().any(|count| *count > 1) && torn.values().any(|count| *count == 1), "{torn:?}");
}

#[test]
fn order_and_batches_change_no_byte_of_a_page() {
    let whole = Store::of([RECORDS.as_slice()]);
    let mut shuffled = RECORDS.clone();
    // A permutation: 7 and the number of events have no common divisor.
    for at in 0..shuffled.len() {
        shuffled[at].clone_from(&RECORDS[at * 7 % RECORDS.len()]);
    }
    assert_eq!(Store::of(shuffled.chunks(333)).0, whole.0);
    let bytes: usize = whole.0.values().map(Vec::len).sum();
    println!("{} pages, {bytes} bytes", whole.0.len());
}

proptest! {
    /// Uses events with different properties, more than rollups keep, so that tables of names grow and shrink.
    #[test]
    fn order_and_batches_change_no_byte_whatever_the_properties(
        events in prop::collection::vec((0..3_u8, 0..5_u8, prop::collection::btree_map(0..40_u8, number(), 0..30)), 1..40),
        batch in 1..10_usize,
    ) {
        let record = |(hour, value, numbers): &(u8, u8, BTreeMap<u8, String>)| {
            let numbers: String = numbers.iter().map(|(name, number)| format!(r#","n{name:02}":{number}"#)).collect();
            format!(
                r#"{{"userId":"u{value}","eventType":"t","timestamp":"2013-01-01T0{hour}:15:00.000Z",
                "properties":{{"dimension":"{value}"{numbers}}}}}"#
            )
        };
        let records: Vec<String> = events.iter().map(record).collect();
        let reversed: Vec<String> = records.iter().rev().cloned().collect();
        prop_assert_eq!(Store::of(reversed.chunks(batch)).0, Store::of([records.as_slice()]).0);
    }
}

/// One value's rollup drops all names of the first event. The other value's rollup has only those names.
#[test]
fn a_page_has_the_names_that_one_of_its_values_drops() {
    let record = |value: &str, names: std::ops::Range<u8>| {
        let numbers: String = names.map(|name| format!(r#","n{name:02}":{name}"#)).collect();
        format!(
            r#"{{"userId":"u","eventType":"t","timestamp":"2013-01-01T00:15:00.000Z",
            "properties":{{"dimension":"{value}"{numbers}}}}}"#
        )
    };
    let records = [record("b", 24..48), record("a", 24..48), record("a", 0..24)];
    assert_eq!(Store::of(records.chunks(1)).0, Store::of([records.as_slice()]).0);
}

/// Integers and fractions, small ones and some that take more than 64 bits.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (-300..300_i32).prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| format!("-{number}.0")),
        any::<f32>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
    ]
}

#[test]
fn what_is_not_exact_is_not_called_so() {
    let event = |tiny: &str| {
        format!(
            r#"{{"userId":"u","eventType":"t","timestamp":"2013-01-01T00:15:00Z",
            "properties":{{"huge":1.797e308,"tiny":{tiny},"small":1.5}}}}"#
        )
        .replace('\n', "")
    };
    let records = records(&["4e-323", "1e-310", "2e-308"].map(event).join("\n"));
    let store = Store::of([records.as_slice()]);
    let query = format!("{MONTH}&metrics=sum:huge,mean:huge,sum:small,p50:small,p50:tiny");
    let (_, body) = report(&[(&store, &[])], "/reports/summary", &query);
    assert_eq!((&body["rows"][0]["sum:huge"], &body["rows"][0]["sum:small"]), (&Value::Null, &json!(4.5)));
    let accuracy = json!({
        "sum:huge": "overflow", "mean:huge": "exact", "sum:small": "exact",
        "p50:small": {"relative": 0.0078125}, "p50:tiny": {"relative": 1.0},
    });
    assert_eq!(body["accuracy"], accuracy);
}
