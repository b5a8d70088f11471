//! Measures the cost of rollups: folding the January flights, and reports over the resulting pages.
//!
//! `cargo bench -p isotherm-core --bench fold`, on one core.

use std::collections::BTreeMap;
use std::io::Read;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use isotherm_core::{
    Admission, Fold, KeyRange, Millis, Observation, Plan, Reply, ReportData, ReportOutcome, Request, Service, Stamp,
    StoredPage, TooMuch, Unfolded, WriteLimits,
};

const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 0x0123_4567_89ab_cdef };

fn main() {
    divan::main();
}

fn service() -> Service {
    Service::from_text(Some(r#"{"version":2,"open":true}"#))
}

/// The records of the flights, as stores keep them.
fn records(service: &Service) -> Vec<String> {
    let file = include_bytes!("../../bench/data/flights-2013-01.ndjson.gz");
    let mut text = String::new();
    let read = flate2::read::GzDecoder::new(file.as_slice()).read_to_string(&mut text);
    assert!(read.is_ok(), "the flights are gzip");
    let record = |line: &str| {
        let request = Request { method: "POST", path: "/events", query: "", headers: &[], body: line.as_bytes() };
        match service.admit(&request, STAMP) {
            Admission::Plan(Plan::Store(plan)) => plan.events().iter().map(|event| event.record.clone()).collect(),
            _ => String::new(),
        }
    };
    text.lines().map(record).collect()
}

fn observations<'a>(service: &Service, records: &'a [String]) -> Vec<Observation<'a>> {
    records.iter().filter_map(|record| service.observe(record).ok()).collect()
}

fn fold(observations: &[Observation<'_>]) -> Vec<StoredPage> {
    Fold::of(observations.iter()).merge(Vec::new()).pages
}

/// Turns records into observations.
#[divan::bench(sample_count = 20)]
fn observe(bencher: Bencher<'_, '_>) {
    let service = service();
    let records = records(&service);
    bencher
        .counter(ItemsCount::new(records.len()))
        .bench_local(|| observations(&service, divan::black_box(&records)).len());
}

/// Turns observations into the bytes of pages, all at once.
#[divan::bench(sample_count = 20)]
fn whole(bencher: Bencher<'_, '_>) {
    let service = service();
    let records = records(&service);
    let observations = observations(&service, &records);
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| fold(divan::black_box(&observations)));
}

/// Sorts observations by rollup.
#[divan::bench(sample_count = 20)]
fn sort(bencher: Bencher<'_, '_>) {
    let service = service();
    let records = records(&service);
    let observations = observations(&service, &records);
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| Fold::of(divan::black_box(&observations).iter()));
}

/// Turns records into pages, 2,000 at a time. Each step is merged with stored pages, as a server does it.
#[divan::bench(sample_count = 5)]
fn steps(bencher: Bencher<'_, '_>) {
    let service = service();
    let records = records(&service);
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| {
        let mut pages = BTreeMap::new();
        for chunk in records.chunks(2000) {
            fold_into(&service, chunk, &mut pages);
        }
        pages
    });
}

/// Folds as a server does: step by step, each merged with stored pages.
fn fold_into(service: &Service, records: &[String], pages: &mut BTreeMap<String, Vec<u8>>) {
    let unfolded: Vec<_> = records.iter().map(|record| Unfolded { tenant: "t", record }).collect();
    let (mut rest, mut at_most) = (unfolded.as_slice(), usize::MAX);
    while !rest.is_empty() {
        let step = service.fold(rest, at_most, WriteLimits::ONE_WRITER);
        let taken = step.records();
        let in_ranges = |ranges: &[KeyRange]| ranges.iter().flat_map(|range| read(pages, range)).collect();
        let stored = step.ranges().map(|(_, ranges)| in_ranges(ranges)).collect();
        match step.merge(stored) {
            Ok(write) => {
                pages.extend(write.pages.into_iter().map(|(_, page)| (page.key, page.bytes)));
                (rest, at_most) = (&rest[taken..], 2 * taken);
            }
            Err(TooMuch { at_most: fewer }) => at_most = fewer,
        }
    }
}

/// Folds batches of 500 valid but extremely unusual events, as a server does it. Per byte and per property they must
/// take at most three times the flights' time. `whole` and `steps` give the flights' time per event, which has 243
/// bytes of record and 9 properties. Twice as many batches take twice the time.
/// Two kinds take a little more: numbers of all magnitudes that are merged with stored ones, 3.3 times; and short numbers and
/// values that are both new in each event, 4.5 times per byte and 2.8 times per property.
#[divan::bench(sample_count = 3, args = UNUSUAL.iter().flat_map(|(name, _)| [(*name, 2), (*name, 4)]))]
fn unusual(bencher: Bencher<'_, '_>, (name, batches): (&str, usize)) {
    let service = service();
    let make = UNUSUAL.iter().find(|(known, _)| *known == name).map(|(_, make)| make);
    let records: Vec<String> = (0..500 * batches).filter_map(|n| Some(make?(n))).collect();
    let bytes: usize = records.iter().map(String::len).sum();
    bencher.counter(ItemsCount::new(records.len())).counter(BytesCount::new(bytes)).bench_local(|| {
        let mut pages = BTreeMap::new();
        records.chunks(1000).for_each(|chunk| fold_into(&service, chunk, &mut pages));
        pages
    });
}

/// Makes the record of the n-th event.
type Make = fn(usize) -> String;

const UNUSUAL: [(&str, Make); 8] = [
    ("128 new numbers each", |n| record(0, "e", (0..128).map(|at| format!(r#""k{:09}":{at}"#, n * 128 + at)))),
    ("128 new numbers each, ever smaller names", |n| {
        record(0, "e", (0..128).map(|at| format!(r#""k{:09}":{at}"#, 999_999_999 - n * 128 - at)).rev())
    }),
    ("a new type and 8 new long dimensions each", |n| {
        record(0, &format!("e{n}"), (0..8).map(|at| format!(r#""{:0200}":"v""#, n * 8 + at)))
    }),
    ("a new value of 8 long dimensions each", |n| {
        record(0, "e", (0..8).map(|at| format!(r#""{at:0200}":"{n:0200}""#)))
    }),
    ("24 numbers of all magnitudes by 1,000 values of 8 dimensions", |n| {
        record(0, "e", values_of_8_dimensions(n).chain(numbers_of_any_magnitude(n)))
    }),
    ("24 new numbers each, ever smaller names, by 1,000 values of 8 dimensions", |n| {
        record(
            0,
            "e",
            values_of_8_dimensions(n)
                .chain((0..24).map(|at| format!(r#""k{:09}":{at}"#, 999_999_999 - n * 24 - at)).rev()),
        )
    }),
    ("24 numbers of all magnitudes by 2 values of 8 dimensions", |n| {
        record(0, "e", values_of_8_dimensions(n % 2).chain(numbers_of_any_magnitude(n)))
    }),
    ("another hour each", |n| record(n, "e", (0..8).map(|at| format!(r#""{at:0200}":"v""#)))),
];

fn values_of_8_dimensions(n: usize) -> impl Iterator<Item = String> {
    (0..8).map(move |at| format!(r#""d{at}":"{}""#, (n * (2 * at + 1)) % 1000))
}

fn numbers_of_any_magnitude(n: usize) -> impl DoubleEndedIterator<Item = String> {
    (0..24).map(move |at| format!(r#""n{at:02}":{:e}"#, any_magnitude(24 * n + at)))
}

/// A number of any magnitude and sign, with all of its digits.
fn any_magnitude(n: usize) -> f64 {
    let bits = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    // The largest exponent stands for what is no number.
    f64::from_bits(bits ^ (u64::from(bits >> 52 & 0x7ff == 0x7ff) << 62))
}

fn record(hour: usize, event_type: &str, properties: impl Iterator<Item = String>) -> String {
    let (year, day, hour) = (hour / 672 % 25, 1 + hour / 24 % 28, hour % 24);
    let properties = properties.collect::<Vec<_>>().join(",");
    format!(
        r#"{{"userId":"u","eventType":"{event_type}","timestamp":"20{year:02}-01-{day:02}T{hour:02}:00:00.000Z","properties":{{{properties}}}}}"#
    )
}

fn read(pages: &BTreeMap<String, Vec<u8>>, range: &KeyRange) -> Vec<StoredPage> {
    let found = pages.range(range.from.clone()..range.until.clone());
    found.map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }).collect()
}

/// Answers a report from a month of hourly rollups.
#[divan::bench(sample_count = 50, args = [
    "timeseries?interval=hour&metrics=count",
    "timeseries?interval=day&metrics=count,users,sum:distance,p95:depDelay",
    "timeseries?interval=day&groupBy=carrier&metrics=count,users,sum:distance,p95:depDelay",
    "timeseries?interval=hour&groupBy=carrier&metrics=count,p95:depDelay",
    "top?dimension=dest",
    "top?dimension=dest&metrics=users,p95:depDelay",
    "summary?metrics=count,users,p50:depDelay",
])]
fn report(bencher: Bencher<'_, '_>, query: &str) {
    let service = service();
    let pages: BTreeMap<_, _> =
        fold(&observations(&service, &records(&service))).into_iter().map(|page| (page.key, page.bytes)).collect();
    bencher.bench_local(|| answer(&service, &pages, query));
}

fn answer(service: &Service, pages: &BTreeMap<String, Vec<u8>>, query: &str) -> Option<Reply> {
    let (path, query) = query.split_once('?')?;
    let path = format!("/reports/{path}");
    let query = format!("from=2013-01-01T00:00:00Z&to=2013-02-02T00:00:00Z&{query}");
    let request = Request { method: "GET", path: &path, query: &query, headers: &[], body: b"" };
    let Admission::Plan(Plan::Report(plan)) = service.admit(&request, STAMP) else { return None };
    let manifests: Vec<_> = plan.reading().manifests().into_iter().flat_map(|range| read(pages, &range)).collect();
    let ranges = plan.reading().ranges(&manifests);
    let pages = ranges.iter().flat_map(|range| read(pages, range)).collect();
    let data = ReportData { pages, ..ReportData::default() };
    Some(plan.respond(ReportOutcome::Read(vec![data])).reply)
}
