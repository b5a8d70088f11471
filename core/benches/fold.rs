//! What rollups cost: the January flights folded, and reports over the pages that they give.
//!
//! `cargo bench -p isotherm-core --bench fold`, on one core.

use std::collections::BTreeMap;
use std::io::Read;

use divan::Bencher;
use divan::counter::ItemsCount;
use isotherm_core::{
    Admission, Fold, Millis, Observation, Plan, Reply, ReportData, ReportOutcome, Request, Service, Stamp, StoredPage,
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
    Fold::of(observations).settle(Vec::new()).unwrap_or_default()
}

/// Records into observations.
#[divan::bench(sample_count = 20)]
fn observe(bencher: Bencher<'_, '_>) {
    let service = service();
    let records = records(&service);
    bencher
        .counter(ItemsCount::new(records.len()))
        .bench_local(|| observations(&service, divan::black_box(&records)).len());
}

/// Observations into the bytes of pages, all at once.
#[divan::bench(sample_count = 20)]
fn whole(bencher: Bencher<'_, '_>) {
    let service = service();
    let records = records(&service);
    let observations = observations(&service, &records);
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| fold(divan::black_box(&observations)));
}

/// Observations sorted by rollup.
#[divan::bench(sample_count = 20)]
fn sort(bencher: Bencher<'_, '_>) {
    let service = service();
    let records = records(&service);
    let observations = observations(&service, &records);
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| Fold::of(divan::black_box(&observations)));
}

/// Records into pages, 2,000 at a time, each merged with what is stored, as a server does it.
#[divan::bench(sample_count = 5)]
fn steps(bencher: Bencher<'_, '_>) {
    let service = service();
    let records = records(&service);
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| {
        let mut pages = BTreeMap::new();
        for chunk in records.chunks(2000) {
            let fold = service.fold(chunk.iter().map(String::as_str));
            let stored = fold.ranges().iter().flat_map(|range| read(&pages, range)).collect();
            pages.extend(fold.settle(stored).unwrap_or_default().into_iter().map(|page| (page.key, page.bytes)));
        }
        pages
    });
}

fn read(pages: &BTreeMap<String, Vec<u8>>, range: &isotherm_core::KeyRange) -> Vec<StoredPage> {
    let found = pages.range(range.from.clone()..range.until.clone());
    found.map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }).collect()
}

/// A month of hourly rollups into an answer.
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
    let marks: Vec<_> = plan.reading().marks().into_iter().flat_map(|range| read(pages, &range)).collect();
    let ranges = plan.reading().ranges(&marks).ok()?;
    let pages = ranges.iter().flat_map(|range| read(pages, range)).collect();
    let data = ReportData { pages, tail: Vec::new(), as_of: None };
    Some(plan.settle(ReportOutcome::Read(vec![data])))
}
