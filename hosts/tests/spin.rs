//! The Spin host with the floor and the adapter, as built by `cargo xtask build`.
#![cfg(feature = "spin")]
#![expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use isotherm_hosts::{ColdRequest, Host, Options, Platform};
use serde_json::{Value, json};

use crate::common::built;

const DOES_BOTH: &str = "does both in tests";
const OPERATES: &str = "operates in tests";
const KEYED: &str = r#"{"version":2,"retention":{"other":3650},"keys":[
    {"id":"both","sha256":"bf2467bdf00166ba5472da81d64b08862dc98acd8839e6cdb131622bc4835eae","tenant":"default","scope":"both"},
    {"id":"cron","sha256":"e43b3a2a8230a666f273552c2fa743d7180be510ec1ddb9dce968cf994622ef4","tenant":"default","scope":"operate"}]}"#;

fn options(set: &str, data: Option<&Path>) -> Options {
    let artifact = built(set, "spin");
    Options {
        artifact,
        port: 0,
        data: data.map(PathBuf::from),
        config: isotherm_hosts::OPEN.to_owned(),
        cluster: None,
        log_requests: false,
    }
}

async fn start(set: &str, data: Option<&Path>) -> Host {
    Host::start(Platform::Spin, &options(set, data)).await.expect("the host starts")
}

/// Sends one request on a new connection.
async fn send(host: &Host, method: &str, path: &str, body: impl Into<Bytes>) -> (u16, String) {
    send_at(host, None, method, path, body).await
}

/// Sends one request with a stamp, which the test set of artifacts obeys.
async fn send_at(host: &Host, stamp: Option<&str>, method: &str, path: &str, body: impl Into<Bytes>) -> (u16, String) {
    let headers = [("content-type", "application/json"), ("x-isotherm-test-stamp", stamp.unwrap_or_default())];
    let answer = common::send(&host.url(), method, path, &headers, body).await;
    (answer.status, answer.text().to_owned())
}

async fn send_json(host: &Host, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, body) = send(host, method, path, body.to_string()).await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

fn event(message_id: &str, value: u64) -> Value {
    json!({"userId": "u1", "eventType": "flight", "messageId": message_id, "properties": {"value": value}})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_floor_answers_and_starts_cold() {
    let host = start("floor", None).await;
    assert_eq!(send(&host, "GET", "/", "").await, (200, "hello".to_owned()));
    let request =
        ColdRequest { method: "GET".to_owned(), path: "/".to_owned(), headers: Vec::new(), body: String::new() };
    for _ in 0..5 {
        let sample = host.cold(&request).await.expect("a sample");
        assert_eq!(sample.status, 200);
        assert!(sample.init > Duration::ZERO && sample.init < sample.first_response, "{sample:?}");
    }
    assert!(host.usage().cpu > Duration::ZERO && host.usage().peak_rss_bytes > 0);
    host.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_kept_across_a_restart_and_told_from_repetitions_and_conflicts() {
    let data = tempfile::tempdir().expect("a folder");
    let host = start("release", Some(data.path())).await;
    assert_eq!(send(&host, "GET", "/healthz", "").await.0, 200);
    let (status, first) = send_json(&host, "POST", "/events", &event("m1", 1)).await;
    assert_eq!(status, 202, "{first}");
    let id = first["eventId"].as_str().expect("an id").to_owned();
    let batch = json!({"events": [event("m1", 1), event("m2", 2), event("m1", 3), {"eventType": "flight"}]});
    let (status, answer) = send_json(&host, "POST", "/events/batch", &batch).await;
    assert_eq!(status, 200, "{answer}");
    host.stop().await.expect("it stops");

    let host = start("release", Some(data.path())).await;
    let (status, found) = send_json(&host, "GET", &format!("/events/{id}"), &Value::Null).await;
    assert_eq!((status, &found["properties"]["value"]), (200, &json!(1)), "{found}");
    let (status, again) = send_json(&host, "POST", "/events", &event("m1", 1)).await;
    assert_eq!((status, &again["eventId"], &again["duplicate"]), (202, &json!(id), &json!(true)), "{again}");
    let (status, conflict) = send_json(&host, "POST", "/events", &event("m2", 4)).await;
    assert_eq!(status, 409, "{conflict}");
    host.stop().await.expect("it stops");
}

/// A stamp so old that events with it have expired by today.
const LONG_AGO: &str = "1700000000000.0123456789abcdef0123456789abcdef";

/// Runs a query for one number on the host's database.
fn number_of(data: &Path, query: &str) -> u64 {
    let database = rusqlite::Connection::open(data.join("sqlite_db.db")).expect("a database");
    database.query_row(query, [], |row| row.get(0)).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn folding_compacts_a_day_and_expired_events_go() {
    let data = tempfile::tempdir().expect("a folder");
    let host = start("test", Some(data.path())).await;
    let in_database = |query: &str| number_of(data.path(), query);
    // Events of two days, in batches of 500. Every third batch is stamped with the present, the others with LONG_AGO.
    for round in 0..6 {
        let batch: Vec<Value> = (0..500)
            .map(|n| {
                let time = format!("2013-01-{:02}T{:02}:00:00Z", 1 + n % 2, n % 24);
                json!({"userId": "u", "eventType": "t", "messageId": format!("{round}-{n}"), "timestamp": time,
                    "properties": {"n": n, "odd": format!("{}", n % 2)}})
            })
            .collect();
        let stamp = (round % 3 != 2).then_some(LONG_AGO);
        let batch = json!({"events": batch}).to_string();
        assert_eq!(send_at(&host, stamp, "POST", "/events/batch", batch).await.0, 200);
        let report = "/reports/top?dimension=odd&from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&metrics=count,sum:n";
        let (status, body) = send(&host, "GET", report, "").await;
        let events = (round + 1) * 250;
        let sums = [(1, (round + 1) * 62_500), (0, (round + 1) * 62_250)];
        let rows = sums.map(|(odd, sum)| format!(r#"{{"value":"{odd}","count":{events},"sum:n":{sum}}}"#));
        assert_eq!(status, 200, "{body}");
        assert!(rows.iter().all(|row| body.contains(row)), "{rows:?}: {body}");
    }
    // Maintenance continues in the background: it compacts both days, and deletes expired events that are folded.
    let days = "SELECT count(*) FROM rollups WHERE key LIKE '%' || char(31) || 'c%' || char(31) || '%'";
    let expired = "SELECT count(*) FROM events WHERE record LIKE '%\"0-%'";
    let started = Instant::now();
    while in_database(days) < 2 || in_database(expired) > 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "{} {}", in_database(days), in_database(expired));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(in_database("SELECT count(*) FROM events WHERE record LIKE '%\"5-%'"), 500);
    host.stop().await.expect("it stops");
}

/// Sends one request with a key.
async fn send_with(
    host: &Host,
    key: &str,
    stamp: Option<&str>,
    method: &str,
    path: &str,
    body: String,
) -> (u16, String) {
    let key = format!("Bearer {key}");
    let mut headers = vec![("authorization", key.as_str()), ("content-type", "application/json")];
    headers.extend(stamp.map(|stamp| ("x-isotherm-test-stamp", stamp)));
    let answer = common::send(&host.url(), method, path, &headers, body).await;
    (answer.status, answer.text().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_folds_what_no_request_has_folded_compacts_and_expires() {
    let data = tempfile::tempdir().expect("a folder");
    let options = Options { config: KEYED.to_owned(), ..options("test", Some(data.path())) };
    let host = Host::start(Platform::Spin, &options).await.expect("the host starts");
    let in_database = |query: &str| number_of(data.path(), query);
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(send(&host, method, "/schedule", "").await.0, 401, "{method}");
    }
    let as_one = async |key: &str, stamp: Option<&str>, method: &str, path: &str, body: String| {
        send_with(&host, key, stamp, method, path, body).await
    };
    let cron = async || as_one(OPERATES, None, "POST", "/schedule", String::new()).await;
    // A database without tables must not make it fail.
    assert_eq!(cron().await, (200, r#"{"status":"ok"}"#.to_owned()));
    let event = |n: u64| {
        json!({"userId": "u", "eventType": "t", "messageId": n.to_string(), "properties": {"n": n},
        "timestamp": format!("2013-01-{:02}T12:00:00Z", 1 + n % 5)})
    };
    for (range, stamp) in [(0..20, Some(LONG_AGO)), (20..40, None)] {
        let batch = json!({"events": range.map(event).collect::<Vec<_>>()}).to_string();
        assert_eq!(as_one(DOES_BOTH, stamp, "POST", "/events/batch", batch).await.0, 200);
    }
    assert_eq!((in_database("SELECT count(*) FROM events"), in_database("SELECT count(*) FROM rollups")), (40, 0));
    let summary = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&metrics=count,sum:n";
    for _twice in 0..2 {
        assert_eq!(cron().await.0, 200);
        assert_eq!(in_database("SELECT page FROM rollups WHERE key = ''"), 40);
        // All five days are compacted, and the expired events are gone.
        let days = "SELECT count(*) FROM rollups WHERE key LIKE '%' || char(31) || 'c%' || char(31) || '%'";
        assert_eq!((in_database(days), in_database("SELECT count(*) FROM events")), (5, 20));
        let (status, body) = as_one(DOES_BOTH, None, "GET", summary, String::new()).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains(r#""count":40,"sum:n":780"#), "{body}");
    }
    host.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_without_keys_is_folded_compacted_and_expired() {
    let data = tempfile::tempdir().expect("a folder");
    let with =
        |tenant: &str| Options { config: KEYED.replacen("default", tenant, 1), ..options("test", Some(data.path())) };
    let host = Host::start(Platform::Spin, &with("gone")).await.expect("the host starts");
    let event =
        |n: u64| json!({"userId": "u", "eventType": "t", "timestamp": "2013-01-01T12:00:00Z", "properties": {"n": n}});
    let batch = json!({"events": (0..20).map(event).collect::<Vec<_>>()}).to_string();
    assert_eq!(send_with(&host, DOES_BOTH, Some(LONG_AGO), "POST", "/events/batch", batch).await.0, 200);
    host.stop().await.expect("it stops");
    let host = Host::start(Platform::Spin, &with("default")).await.expect("the host starts");
    let of_tenant = |query: &str| number_of(data.path(), &format!("{query} tenant = 'gone'"));
    assert_eq!(of_tenant("SELECT count(*) FROM events WHERE"), 20);
    for _twice in 0..2 {
        assert_eq!(send_with(&host, OPERATES, None, "POST", "/schedule", String::new()).await.0, 200);
    }
    let days = "SELECT count(*) FROM rollups WHERE key LIKE '%' || char(31) || 'c%' || char(31) || '%' AND";
    assert_eq!((of_tenant("SELECT count(*) FROM events WHERE"), of_tenant(days)), (0, 1));
    host.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_set_apart_and_the_rest_goes_on() {
    let data = tempfile::tempdir().expect("a folder");
    let options = Options { config: KEYED.to_owned(), ..options("release", Some(data.path())) };
    let host = Host::start(Platform::Spin, &options).await.expect("the host starts");
    let count = async |airport: &str| {
        let event = json!({"userId": "u", "eventType": "t", "timestamp": "2013-01-01T12:00:00Z",
            "properties": {"to": airport, "via": "x"}});
        assert_eq!(send_with(&host, DOES_BOTH, None, "POST", "/events", event.to_string()).await.0, 202);
        assert_eq!(send_with(&host, OPERATES, None, "POST", "/schedule", String::new()).await.0, 200);
    };
    count("ATL").await;
    let database = rusqlite::Connection::open(data.path().join("sqlite_db.db")).expect("a database");
    // The page of the hour, and that of the compacted day.
    let damage = "UPDATE rollups SET page = x'00' WHERE key LIKE 'to' || char(31) || '%'";
    assert_eq!(database.execute(damage, []).expect("it is damaged"), 2);
    count("JFK").await;
    assert_eq!(number_of(data.path(), "SELECT page FROM rollups WHERE key = ''"), 2);
    let report = async |report: &str| {
        let path = format!("/reports/{report}from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z");
        let (status, body) = send_with(&host, DOES_BOTH, None, "GET", &path, String::new()).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")
    };
    let damaged = report("top?dimension=to&").await;
    let rows = json!([{"value": "JFK", "count": 1}]);
    assert_eq!((&damaged["rows"], &damaged["incomplete"]), (&rows, &json!(true)), "{damaged}");
    for whole in ["top?dimension=via&", "summary?"] {
        let whole = report(whole).await;
        assert_eq!((&whole["rows"][0]["count"], &whole["incomplete"]), (&json!(2), &Value::Null), "{whole}");
    }
    host.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_whole_configuration_the_service_is_closed() {
    let options = Options { config: "no configuration".to_owned(), ..options("release", None) };
    let host = Host::start(Platform::Spin, &options).await.expect("the host starts");
    for _ in 0..3 {
        assert_eq!(send(&host, "GET", "/healthz", "").await.0, 200);
        let (status, body) = send(&host, "GET", "/reports/summary", "").await;
        assert!(status == 503 && body.contains("not_configured"), "{body}");
    }
    host.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_refused_in_words() {
    let artifact = tempfile::tempdir().expect("a folder");
    std::fs::write(artifact.path().join("isotherm.wasm"), b"no component").expect("a file");
    let options = Options { artifact: artifact.path().to_owned(), ..options("floor", None) };
    let Err(error) = Host::start(Platform::Spin, &options).await else { panic!("it started") };
    assert!(format!("{error:#}").contains("isotherm.wasm is no component"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_of_one_message_one_is_first() {
    let host = start("release", None).await;
    let answers = futures_of(100, |_| send_json(&host, "POST", "/events", &ONE)).await;
    assert!(answers.iter().all(|(status, _)| *status == 202), "{answers:?}");
    let first =
        answers.iter().filter(|(_, answer)| answer.get("duplicate").is_none_or(|duplicate| duplicate == false)).count();
    assert_eq!(first, 1, "{answers:?}");
    host.stop().await.expect("it stops");
}

static ONE: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| event("the one", 1));

/// Runs all futures at the same time on this task.
async fn futures_of<F: Future>(count: usize, make: impl Fn(usize) -> F) -> Vec<F::Output> {
    let mut futures: Vec<_> = (0..count).map(|at| (Box::pin(make(at)), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut futures {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        if futures.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}

/// A database written by the native server of commit da27c14: 30 events of three days, folded and compacted. Native and
/// Spin have the same tables.
const VERSION_1: &[u8] = include_bytes!("../../adapters/native/tests/data/version-1.sqlite");

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_has_stored_is_read_and_counted_on() {
    let data = tempfile::tempdir().expect("a folder");
    std::fs::write(data.path().join("sqlite_db.db"), VERSION_1).expect("a database");
    let host = start("release", Some(data.path())).await;
    let top = "/reports/top?dimension=to&from=2013-01-01T00:00:00Z&to=2013-01-05T00:00:00Z&metrics=count,users,sum:n";
    let rows = |first: Value| {
        let jfk = json!({"value": "JFK", "count": 10, "users": 5, "sum:n": 145});
        json!([first, jfk, {"value": "ORD", "count": 10, "users": 5, "sum:n": 155}])
    };
    let (status, before) = send(&host, "GET", top, "").await;
    let before: Value = serde_json::from_str(&before).expect("JSON");
    let atlanta = json!({"value": "ATL", "count": 10, "users": 5, "sum:n": 135});
    assert_eq!((status, &before["rows"]), (200, &rows(atlanta)), "{before}");
    let event = json!({"userId": "another", "eventType": "t", "timestamp": "2013-01-01T00:00:00Z",
        "properties": {"to": "ATL"}});
    assert_eq!(send_json(&host, "POST", "/events", &event).await.0, 202);
    let (_, after) = send(&host, "GET", top, "").await;
    let after: Value = serde_json::from_str(&after).expect("JSON");
    assert_eq!(after["rows"], rows(json!({"value": "ATL", "count": 11, "users": 6, "sum:n": 135})), "{after}");
    host.stop().await.expect("it stops");
}
