//! The Spin host where Spin is less forgiving than other platforms, or where its clients misbehave.
#![cfg(feature = "spin")]
#![expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use isotherm_hosts::{Host, Options, Platform};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::common::{Answer, built, has_variables, run_apart};

const REPORT: &str = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&metrics=count";

/// Hides `spin`, so that the embedded runtime serves.
const NO_PROGRAMS: [(&str, &str); 1] = [("PATH", "")];

async fn start(data: &Path) -> Host {
    let options = Options {
        artifact: built("release", "spin"),
        port: 0,
        data: Some(data.to_owned()),
        config: isotherm_hosts::OPEN.to_owned(),
        cluster: None,
        log_requests: false,
    };
    Host::start(Platform::Spin, &options).await.expect("the host starts")
}

async fn post(url: &str, path: &str, body: Value) -> Answer {
    common::send(url, "POST", path, &[("content-type", "application/json")], body.to_string()).await
}

fn event(message_id: &str) -> Value {
    json!({"userId": "u1", "eventType": "flight", "messageId": message_id, "timestamp": "2013-01-01T00:00:00Z",
        "properties": {"carrier": "UA"}})
}

/// Sends these bytes and returns the first line of the answer.
async fn status_line(host: &Host, request: &[u8]) -> String {
    let address = host.url();
    let mut stream = TcpStream::connect(address.strip_prefix("http://").expect("a URL")).await.expect("a connection");
    stream.write_all(request).await.expect("the host reads");
    let mut answer = vec![0; 64];
    let length = stream.read(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_an_answer() {
    // `spin up` closes the connection where the embedded runtime answers 400.
    if !has_variables("every_request_has_an_answer", &NO_PROGRAMS) {
        return;
    }
    let data = tempfile::tempdir().expect("a folder");
    let host = start(data.path()).await;
    let large = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 6000000\r\n\r\n{}",
        "x".repeat(6_000_000)
    );
    for (request, expected) in [
        ("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".as_bytes(), "HTTP/1.1 200 OK"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"GET /healthz HTTP/1.1\r\nhost: \xff\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"GET http://y/healthz HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        // Spin itself gives this answer.
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-name: \xff\r\n\r\n", "HTTP/1.1 500 Internal Server Error"),
        (large.as_bytes(), "HTTP/1.1 413 Payload Too Large"),
    ] {
        let start = String::from_utf8_lossy(&request[..60.min(request.len())]).into_owned();
        assert_eq!(status_line(&host, request).await, expected, "{start}");
    }
    host.stop().await.expect("it stops");
}

/// Locks the database exclusively for the given time.
fn lock(data: &Path, time: Duration) -> std::thread::JoinHandle<()> {
    let database = rusqlite::Connection::open(data.join("sqlite_db.db")).expect("a database");
    database.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    std::thread::spawn(move || {
        std::thread::sleep(time);
        database.execute_batch("COMMIT").expect("it ends");
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_waited_for() {
    let data = tempfile::tempdir().expect("a folder");
    let host = start(data.path()).await;
    // SQLite itself gives up after 5 s.
    let lock = lock(data.path(), Duration::from_secs(7));
    let (started, url) = (Instant::now(), host.url());
    let (one, report) = tokio::join!(post(&url, "/events", event("m1")), common::send(&url, "GET", REPORT, &[], ""));
    assert_eq!((one.status, report.status), (202, 200), "{} {}", one.text(), report.text());
    assert!(started.elapsed() > Duration::from_secs(6), "{:?}", started.elapsed());
    lock.join().expect("the lock ends");
    let report = common::send(&url, "GET", REPORT, &[], "").await;
    assert_eq!(report.json()["rows"][0]["count"], 1, "{}", report.text());
    let database = rusqlite::Connection::open(data.path().join("sqlite_db.db")).expect("a database");
    let journal: String = database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("a mode");
    assert_eq!(journal, "delete");
    host.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stays_locked_is_unavailable_in_time() {
    let data = tempfile::tempdir().expect("a folder");
    let host = start(data.path()).await;
    let lock = lock(data.path(), Duration::from_secs(18));
    let (started, url) = (Instant::now(), host.url());
    let batch = json!({"events": [event("m1"), event("m2")]});
    let (one, batch) = tokio::join!(post(&url, "/events", event("m0")), post(&url, "/events/batch", batch));
    assert!(started.elapsed() < Duration::from_secs(18), "{:?}", started.elapsed());
    assert_eq!((one.status, &one.json()["code"]), (503, &json!("unavailable")), "{}", one.text());
    assert_eq!((batch.status, &batch.json()["retry"]), (200, &json!(2)), "{}", batch.text());
    lock.join().expect("the lock ends");
    assert_eq!(post(&url, "/events", event("m0")).await.status, 202);
    host.stop().await.expect("it stops");
}

/// Two nodes are certain to have different instances.
#[tokio::test(flavor = "multi_thread")]
async fn instances_that_write_at_once_lose_nothing_and_count_nothing_twice() {
    const EVENTS: usize = 80;
    let data = tempfile::tempdir().expect("a folder");
    let hosts = [start(data.path()).await, start(data.path()).await];
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let url = hosts[writer % 2].url();
        writers.spawn(async move {
            let mut first = 0;
            // Each of a node's four writers sends a quarter of the events; a writer of the other node sends it too.
            for at in (0..EVENTS).filter(|at| at % 4 == writer / 2) {
                let answer = post(&url, "/events", event(&at.to_string())).await;
                assert_eq!(answer.status, 202, "{}", answer.text());
                first += usize::from(answer.json().get("duplicate").is_none());
            }
            first
        });
    }
    let first: usize = writers.join_all().await.into_iter().sum();
    assert_eq!(first, EVENTS);
    for host in hosts {
        let report = common::send(&host.url(), "GET", REPORT, &[], "").await;
        assert_eq!(report.json()["rows"][0]["count"], EVENTS, "{}", report.text());
        host.stop().await.expect("it stops");
    }
}

/// One request folds; the others of its instance wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_refused_while_another_folds_a_tail_at_its_bound() {
    let data = tempfile::tempdir().expect("a folder");
    let host = start(data.path()).await;
    assert_eq!(post(&host.url(), "/events", event("first")).await.status, 202);
    let database = rusqlite::Connection::open(data.path().join("sqlite_db.db")).expect("a database");
    // 9 MB of events; the bound is 8 MiB.
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
        INSERT INTO events (tenant, id, digest, occurred_at, received_at, expires_at, record)
        SELECT tenant, 'evt_' || i, x'', occurred_at, received_at, expires_at,
            json_set(record, '$.properties.pad', json_array(hex(zeroblob(15000)))) FROM events, n";
    assert_eq!(database.execute(fill, []).expect("events"), 300);
    drop(database);
    // What an instance knows of its store is outdated after a second, and then read with the next stored event.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(post(&host.url(), "/events", event("second")).await.status, 202);
    let mut requests = JoinSet::new();
    for n in 0..16 {
        let url = host.url();
        requests.spawn(async move { post(&url, "/events", event(&n.to_string())).await.status });
    }
    assert_eq!(requests.join_all().await, [202; 16]);
    let report = common::send(&host.url(), "GET", REPORT, &[], "").await;
    assert_eq!(report.json()["rows"][0]["count"], 318, "{}", report.text());
    host.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_with_control_characters_are_told_apart() {
    let data = tempfile::tempdir().expect("a folder");
    let host = start(data.path()).await;
    let values = ["a", "a\n", "a\nb", "a\t", "a b"];
    let events = values.iter().enumerate().flat_map(|(at, value)| {
        (0..=at).map(move |n| {
            json!({"userId": "u", "eventType": "t", "messageId": format!("{at}-{n}"),
                "timestamp": "2013-01-01T00:00:00Z", "properties": {"name": value}})
        })
    });
    assert_eq!(post(&host.url(), "/events/batch", json!({"events": events.collect::<Vec<_>>()})).await.status, 200);
    // Folding starts at the 512th event. All these events are then read as pages.
    for batch in 0..5 {
        let events = (0..100).map(|n| event(&format!("{batch}-{n}"))).collect::<Vec<_>>();
        assert_eq!(post(&host.url(), "/events/batch", json!({"events": events})).await.status, 200);
    }
    let top = "/reports/top?dimension=name&eventType=t&from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&metrics=count";
    let answer = common::send(&host.url(), "GET", top, &[], "").await;
    let rows: Vec<(String, u64)> = answer.json()["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| Some((row["value"].as_str()?.to_owned(), row["count"].as_u64()?)))
        .collect();
    let expected: Vec<(String, u64)> =
        (1..=values.len()).rev().map(|count| (values[count - 1].to_owned(), count as u64)).collect();
    assert_eq!(rows, expected, "{}", answer.text());
    host.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of the next test, which runs it in a process of its own to read what it prints"]
async fn serves_300_requests() {
    let data = tempfile::tempdir().expect("a folder");
    let host = start(data.path()).await;
    for n in 0..100 {
        assert_eq!(post(&host.url(), "/events", event(&n.to_string())).await.status, 202);
        assert_eq!(common::send(&host.url(), "GET", REPORT, &[], "").await.status, 200);
        assert_eq!(common::send(&host.url(), "GET", "/nothing", &[], "").await.status, 404);
    }
    host.stop().await.expect("it stops");
}

#[test]
fn nothing_is_printed_once_a_request() {
    let printed = run_apart("serves_300_requests", &NO_PROGRAMS);
    let lines: Vec<&str> =
        printed.lines().filter(|line| line.starts_with("spin:") || line.starts_with("isotherm:")).collect();
    // One line tells how long compiling took, and one that the service is open.
    assert_eq!(lines.len(), 2, "{printed}");
}
