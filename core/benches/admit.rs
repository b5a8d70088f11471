//! Measures the cost of core: read, check, identify, digest, plan and answer the January flights.
//!
//! `cargo bench -p isotherm-core` prints events/s on one core. Callgrind counts instructions, which do not depend on
//! the machine's other work. It takes one pass over the program that `cargo bench -p isotherm-core --no-run` names:
//! `ISOTHERM_ONE_PASS=1 valgrind --tool=callgrind PROGRAM`. Callgrind has no SHA extensions, so SHA-256 counts in full
//! there.

use std::io::Read;

use divan::Bencher;
use divan::counter::ItemsCount;
use isotherm_core::{Admission, HEADERS, Millis, Plan, Reply, Request, Service, Stamp, StoreOutcome};

const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 0x0123_4567_89ab_cdef };

fn main() {
    // Under callgrind one pass is enough, and only the passes over `batches` are counted.
    if std::env::var_os("ISOTHERM_ONE_PASS").is_some() {
        let (service, bodies) = (service(), batches());
        bodies.iter().for_each(|body| drop(divan::black_box(admit(&service, "/events/batch", body))));
        return;
    }
    divan::main();
}

fn service() -> Service {
    Service::from_text(Some(r#"{"version":2,"open":true}"#))
}

fn flights() -> String {
    let file = include_bytes!("../../bench/data/flights-2013-01.ndjson.gz");
    let mut text = String::new();
    let read = flate2::read::GzDecoder::new(file.as_slice()).read_to_string(&mut text);
    assert!(read.is_ok(), "the flights are gzip");
    text
}

/// The flights in NDJSON batches of 500.
fn batches() -> Vec<Vec<u8>> {
    let text = flights();
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks(500).map(|chunk| chunk.join("\n").into_bytes()).collect()
}

fn admit(service: &Service, path: &'static str, body: &[u8]) -> Reply {
    let headers = match path {
        "/events" => Vec::new(),
        _ => vec![(HEADERS[1], "application/x-ndjson".to_owned())],
    };
    match service.admit(&Request { method: "POST", path, query: "", headers: &headers, body }, STAMP) {
        Admission::Plan(Plan::Store(plan)) => {
            let outcomes = vec![StoreOutcome::Stored; plan.events().len()];
            plan.respond(outcomes)
        }
        Admission::Plan(_) | Admission::Reply(_) => {
            unreachable!("flights are valid")
        }
    }
}

/// All 27,004 flights, 500 per request.
#[divan::bench(sample_count = 30)]
fn batch(bencher: Bencher<'_, '_>) {
    let (service, bodies) = (service(), batches());
    let events = flights().lines().count();
    bencher
        .counter(ItemsCount::new(events))
        .bench_local(|| bodies.iter().for_each(|body| drop(divan::black_box(admit(&service, "/events/batch", body)))));
}

/// All 27,004 flights, one per request.
#[divan::bench(sample_count = 30)]
fn single(bencher: Bencher<'_, '_>) {
    let (service, text) = (service(), flights());
    let events: Vec<&str> = text.lines().collect();
    bencher.counter(ItemsCount::new(events.len())).bench_local(|| {
        events.iter().for_each(|event| drop(divan::black_box(admit(&service, "/events", event.as_bytes()))))
    });
}
