//! Reports over the January flights. They are compared with the real answers and with the reference's bytes.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use isotherm_hosts::{Platform, Up};
use serde_json::{Value, json};

use super::check;
use crate::client::{Answer, Ask, send};
use crate::fixture::{Fixture, block_on, start, up};

const MONTH: &str = "from=2013-01-01T00:00:00Z&to=2013-02-02T00:00:00Z";
const WRITERS: usize = 8;
/// How long a platform may take until its reports count what it accepted, if they don't at once.
const FRESH_WITHIN: Duration = Duration::from_secs(240);

/// Queries of every kind. Each answer must equal the reference's to the byte.
const QUERIES: [&str; 16] = [
    "summary?metrics=count,users,sum:distance,min:depDelay,max:depDelay,mean:depDelay,p50:depDelay,p99.9:depDelay",
    "summary?eventType=flight_cancelled&metrics=count,users,sum:depDelay,min:depDelay,p50:depDelay",
    "summary?filter=carrier:UA&filter=carrier:AA&metrics=count,users",
    "top?dimension=dest&metrics=count,users,p95:arrDelay&limit=20",
    "top?dimension=dest&metrics=mean:depDelay&limit=1000&eventType=flight_departed",
    "top?dimension=eventType&metrics=sum:distance",
    "top?dimension=nowhere",
    "timeseries?interval=hour&metrics=count&limit=100",
    "timeseries?interval=hour&metrics=count,p50:airTime&tz=America/New_York&limit=700",
    "timeseries?interval=day&metrics=count,users,sum:distance&tz=America/New_York",
    "timeseries?interval=day&metrics=count&tz=Asia/Kolkata",
    "timeseries?interval=week&metrics=count,users&groupBy=eventType",
    "timeseries?interval=month&metrics=count&tz=Australia/Sydney&groupBy=origin",
    "timeseries?interval=day&groupBy=carrier&metrics=count,p90:depDelay&limit=10000",
    "timeseries?interval=day&groupBy=carrier&filter=carrier:HA&metrics=count,max:arrDelay",
    "timeseries?interval=day&eventType=nothing&metrics=count,users,sum:x,min:x",
];

/// Ranges that start before the earliest events, or end before them.
const EARLY: [&str; 3] = [
    "timeseries?from=1999-12-31T00:00:00Z&to=2000-01-02T00:00:00Z",
    "top?dimension=dest&from=1969-12-31T00:00:00Z&to=1970-01-02T00:00:00Z",
    "summary?from=0001-01-01T00:00:00Z&to=0001-02-01T00:00:00Z",
];

/// Queries that no report answers, each with its status and code.
const REFUSED: [(&str, u16, &str); 9] = [
    ("timeseries?interval=minute", 400, "invalid_query"),
    ("timeseries?tz=Mars/Olympus", 400, "invalid_query"),
    ("top?metrics=count", 400, "invalid_query"),
    ("summary?metrics=median:depDelay", 400, "invalid_query"),
    ("timeseries?cursor=50", 400, "invalid_query"),
    ("timeseries?filter=eventType:x", 400, "invalid_query"),
    ("timeseries?eventType=", 400, "invalid_query"),
    ("timeseries?filter=carrier:UA&groupBy=dest", 422, "unsupported_report"),
    ("timeseries?from=2011-01-01T00:00:00Z", 422, "unsupported_report"),
];

fn answers() -> Value {
    serde_json::from_str(include_str!("../../../bench/data/flights-2013-01.answers.json")).unwrap()
}

/// The flights in batches, shuffled: every 7th event, then every 7th from the next one on, and so on.
fn batches() -> Vec<Ask> {
    let file = include_bytes!("../../../bench/data/flights-2013-01.ndjson.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file.as_slice()).read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let shuffled: Vec<&str> = (0..7).flat_map(|first| lines.iter().skip(first).step_by(7)).copied().collect();
    shuffled.chunks(450).map(|batch| ndjson(&batch.join("\n"))).collect()
}

fn ndjson(text: &str) -> Ask {
    Ask::new("POST", "/events/batch").header("content-type", "application/x-ndjson").body(text)
}

/// Sends all `batches`, several at a time, and repeats each until all its events are kept.
async fn load(port: u16, batches: Vec<Ask>) {
    let mut parts = vec![Vec::new(); WRITERS];
    batches.into_iter().enumerate().for_each(|(at, batch)| parts[at % WRITERS].push(batch));
    let write = |part: Vec<Ask>| async move {
        for batch in part {
            while !is_kept(&send(port, &batch).await.unwrap()) {}
        }
    };
    let writers: Vec<_> = parts.into_iter().map(|part| tokio::spawn(write(part))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

fn is_kept(answer: &Answer) -> bool {
    answer.status == 200 && {
        let body = answer.json();
        assert_eq!(body["invalid"], 0, "{body}");
        body["retry"] == 0
    }
}

/// A host with the flights, which all cases of one test program share. One of 8 writers sent each batch twice.
pub(crate) fn flights(platform: Platform) -> &'static Fixture {
    static FLIGHTS: OnceLock<Fixture> = OnceLock::new();
    FLIGHTS.get_or_init(|| {
        let host = Fixture::new(&up(platform, "test"));
        let twice = batches().into_iter().flat_map(|batch| [batch.clone(), batch]).collect();
        block_on(load(host.port, twice));
        batches().iter().for_each(|batch| host.tell_reference(batch));
        block_on(until_counted(platform, host.port, answers()["events"].as_u64().unwrap()));
        host
    })
}

/// Waits until reports count this many events. If a platform's reports are fresh at once, it has one try.
async fn until_counted(platform: Platform, port: u16, events: u64) {
    let deadline = Instant::now() + FRESH_WITHIN;
    loop {
        let summary = send(port, &Ask::get(&format!("/reports/summary?{MONTH}"))).await.unwrap();
        let count = summary.json()["rows"][0]["count"].as_u64();
        if count == Some(events) {
            return;
        }
        assert!(count < Some(events), "{count:?} of {events} events are counted: some twice");
        assert!(platform == Platform::Lambda && Instant::now() < deadline, "{count:?} of {events} events are counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn report(port: u16, path: &str, query: &str) -> Value {
    let answer = block_on(send(port, &Ask::get(&format!("/reports/{path}?{MONTH}&{query}")))).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[track_caller]
fn near(found: &Value, exact: &Value, relative: f64) {
    let (found, exact) = (found.as_f64().unwrap(), exact.as_f64().unwrap());
    assert!((found - exact).abs() <= exact.abs() * relative, "{found} is not {exact}");
}

/// Reports match `flights-2013-01.answers.json` after every batch came twice, shuffled, from 8 concurrent writers.
pub fn the_flights_give_the_exact_answers(platform: Platform) {
    check_answers(flights(platform).port);
}

fn check_answers(port: u16) {
    let answers = answers();
    let figures = ["sum", "min", "max", "p50", "p90", "p95", "p99"];
    let metrics = ["depDelay", "distance"].map(|name| figures.map(|figure| format!("{figure}:{name}")).join(","));
    let summary = report(port, "summary", &format!("metrics=count,users,{}", metrics.join(",")));
    let row = &summary["rows"][0];
    assert_eq!(row["count"], answers["events"]);
    near(&row["users"], &answers["unique_users"], 0.02);
    for name in ["depDelay", "distance"] {
        for exact in ["sum", "min", "max"] {
            assert_eq!(row[format!("{exact}:{name}")], answers[name][exact], "{exact} of {name}");
        }
        for percentile in ["p50", "p90", "p95", "p99"] {
            near(&row[format!("{percentile}:{name}")], &answers[name][percentile], 0.01);
        }
    }
    let busiest = answers["busiest_hours"].as_array().unwrap().iter();
    let busiest: Vec<Value> = busiest
        .map(|hour| json!({"time": format!("{}:00:00Z", hour[0].as_str().unwrap()), "count": hour[1]}))
        .collect();
    assert_eq!(summary["busiestHours"], json!(busiest));

    let days = report(port, "timeseries", "interval=day&metrics=count,users,sum:distance");
    let rows = days["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 32);
    for row in rows {
        let day = &row["time"].as_str().unwrap()[..10];
        assert_eq!(row["count"], answers["count_by_day"][day], "{day}");
        assert_eq!(row["sum:distance"], answers["sum_distance_by_day"][day], "{day}");
        near(&row["users"], &answers["unique_users_by_day"][day], 0.02);
    }
    for (dimension, counts) in [("eventType", "count_by_type"), ("carrier", "count_by_carrier")] {
        let top = report(port, "top", &format!("dimension={dimension}&limit=100"));
        let expected: BTreeMap<String, u64> = serde_json::from_value(answers[counts].clone()).unwrap();
        assert_eq!(by_value(&top).into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
    let top = report(port, "top", "dimension=dest&limit=10");
    let expected: Vec<(String, u64)> = serde_json::from_value(answers["top_dest"].clone()).unwrap();
    assert_eq!(by_value(&top), expected);
}

fn by_value(top: &Value) -> Vec<(String, u64)> {
    let rows = top["rows"].as_array().unwrap().iter();
    rows.map(|row| (row["value"].as_str().unwrap().to_owned(), row["count"].as_u64().unwrap())).collect()
}

/// Reports equal the bytes of core after it folded the same events in another order. Refusals use the same words.
pub fn every_report_is_answered_to_the_byte(platform: Platform) {
    let host = flights(platform);
    let of_month = QUERIES.map(|query| format!("{query}&{MONTH}"));
    for query in of_month.iter().map(String::as_str).chain(EARLY) {
        let answer = host.ask(&Ask::get(&format!("/reports/{query}")));
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
    }
    for (query, status, code) in REFUSED {
        check(&host.ask(&Ask::get(&format!("/reports/{query}&to=2013-02-02T00:00:00Z"))), status, code);
    }
    check(&host.ask(&Ask::new("POST", "/reports/summary")), 405, "method_not_allowed");
}

/// A report too large for one answer of a platform comes in parts. Each part begins where the last one ended: no row
/// is missing, and none comes twice.
pub fn a_report_of_many_bytes_comes_in_parts(platform: Platform) {
    let host = flights(platform);
    let figures = ["sum", "min", "max", "mean", "p1", "p2", "p3", "p4", "p5", "p6"];
    let names = ["a", "b"].map(|name| figures.map(|figure| format!("{figure}:{}", name.repeat(200))).join(","));
    let range = "from=2014-01-01T00:00:00Z&to=2015-02-01T00:00:00Z";
    let query = format!("/reports/timeseries?{range}&interval=hour&limit=10000&metrics={}", names.join(","));
    let (mut times, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = host.ask(&Ask::get(&format!("{query}{cursor}"))).json();
        let rows = answer["rows"].as_array().unwrap().iter();
        times.extend(rows.map(|row| row["time"].as_str().unwrap().to_owned()));
        let Some(next) = answer["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(!cursor.is_empty() && times.len() == 396 * 24 && times.is_sorted_by(|one, two| one < two));
}

/// A report needs a key with the scope `read`.
pub fn reports_need_the_scope_read(platform: Platform) {
    let host = Fixture::keyed(platform);
    let ask = |key: &str| host.send(&Ask::get("/reports/summary").header("authorization", &format!("Bearer {key}")));
    check(&ask("acme writes events"), 403, "forbidden");
    check(&ask("no such key is there"), 401, "unauthorized");
    assert_eq!(ask("acme reads reports").status, 200);
}

/// Kills the host with SIGKILL again and again while events come and are folded. Clients that repeat unanswered
/// requests find all events counted, once.
pub fn a_kill_while_folding_counts_nothing_twice(platform: Platform) {
    let data = tempfile::tempdir().unwrap();
    let up = Up { data: Some(data.path().to_owned()), ..up(platform, "test") };
    block_on(async {
        for kill_after in [300, 900, 1700] {
            let (port, remote) = start(&up).await;
            let loading = tokio::spawn(async move {
                for batch in batches() {
                    // The host is gone in the middle of some batch.
                    if send(port, &batch).await.is_err() {
                        break;
                    }
                }
            });
            tokio::time::sleep(Duration::from_millis(kill_after)).await;
            remote.kill().await.unwrap();
            loading.await.unwrap();
        }
        let (port, remote) = start(&up).await;
        load(port, batches()).await;
        until_counted(platform, port, answers()["events"].as_u64().unwrap()).await;
        tokio::task::spawn_blocking(move || check_answers(port)).await.unwrap();
        remote.stop().await.unwrap();
    });
    // Reports would be right even if nothing were ever folded, so the pages are counted.
    if platform != Platform::Lambda {
        assert!(pages(data.path()) > 100, "nothing was folded");
    }
}

/// How many pages of rollups the SQLite databases in a folder have.
fn pages(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = entries.map(|path| match path.is_dir() {
        true => pages(&path),
        false => rusqlite::Connection::open(&path)
            .and_then(|database| database.query_row("SELECT count(*) FROM rollups", [], |row| row.get(0)))
            // The file is not a database, or has no rollups.
            .unwrap_or(0),
    });
    pages.sum()
}
