//! The Lambda host with processes of four kinds. A Python function misbehaves on request; its runtime is written from
//! the documentation of the Runtime API. The others are the floor, the baseline in Node.js, and the adapter.
#![cfg(feature = "lambda")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

#[path = "lambda/backup.rs"]
mod backup;
#[path = "lambda/baseline.rs"]
mod baseline;
mod common;
#[path = "lambda/compaction.rs"]
mod compaction;
#[path = "lambda/configuration.rs"]
mod configuration;
#[path = "lambda/faults.rs"]
mod faults;
#[path = "lambda/items.rs"]
mod items;
#[path = "lambda/lost.rs"]
mod lost;
#[path = "lambda/meters.rs"]
mod meters;
#[path = "lambda/payloads.rs"]
mod payloads;
#[path = "lambda/proxy.rs"]
mod proxy;
#[path = "lambda/queue.rs"]
mod queue;
#[path = "lambda/reports.rs"]
mod reports;
#[path = "lambda/shards.rs"]
mod shards;
#[path = "lambda/throttled.rs"]
mod throttled;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use isotherm_hosts::{ColdRequest, Host, Options, Platform};
use serde_json::{Value, json};

use crate::common::{Answer, built, has_variables, run_apart, send};

/// A function that answers with its event and its process id, and misbehaves as the path says.
const FUNCTION: &str = r#"#!/usr/bin/env -S python3 -S
import http.client, json, os, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None):
    api.request(method, "/2018-06-01/runtime" + path, body)
    response = api.getresponse()
    return response.status, dict((k.lower(), v) for k, v in response.getheaders()), response.read()
while True:
    status, headers, event = call("GET", "/invocation/next")
    id, event = headers["lambda-runtime-aws-request-id"], json.loads(event)
    path = event["rawPath"]
    if path == "/exit": os._exit(3)
    if path == "/hang": time.sleep(60)
    if path == "/slow": time.sleep(0.5)
    if path == "/error":
        call("POST", f"/invocation/{id}/error", json.dumps({"errorType": "Bad", "errorMessage": "asked to"}))
        continue
    if path == "/large":
        assert call("POST", f"/invocation/{id}/response", b"x" * (7 * 1024 * 1024))[0] == 413
        continue
    assert call("POST", "/invocation/another/response", "{}")[0] == 400
    left = int(headers["lambda-runtime-deadline-ms"]) / 1000 - time.time()
    body = {"pid": os.getpid(), "event": event, "left": left, "clock": time.monotonic(), "arn": headers["lambda-runtime-invoked-function-arn"]}
    answer = {"statusCode": 201, "headers": {"x-function": os.environ["AWS_LAMBDA_FUNCTION_NAME"]}, "cookies": ["a=b", "c=d"], "body": json.dumps(body)}
    assert call("POST", f"/invocation/{id}/response", json.dumps(answer))[0] == 202
"#;

fn options(artifact: &Path, data: Option<&Path>) -> Options {
    Options {
        artifact: artifact.to_owned(),
        port: 0,
        data: data.map(Path::to_owned),
        config: isotherm_hosts::OPEN.to_owned(),
        cluster: None,
        log_requests: false,
    }
}

async fn start(artifact: &Path, data: Option<&Path>) -> Host {
    Host::start(Platform::Lambda, &options(artifact, data)).await.unwrap()
}

/// An artifact whose functions are all [`FUNCTION`].
fn misbehaving() -> tempfile::TempDir {
    let artifact = tempfile::tempdir().unwrap();
    write_bootstrap(artifact.path(), FUNCTION);
    artifact
}

fn write_bootstrap(artifact: &Path, script: &str) {
    let file = artifact.join("bootstrap");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
}

/// The processes whose command line names a file in this folder.
fn processes_of(artifact: &Path) -> Vec<u32> {
    let artifact = artifact.canonicalize().unwrap();
    let of_process = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&command).contains(artifact.to_str()?).then_some(pid)
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(of_process).collect()
}

/// The JSON bodies of the messages in one of the host's queues.
fn queue_of(data: &Path, queue: &str) -> Vec<Value> {
    let database = rusqlite::Connection::open(data.join("sqs.sqlite")).unwrap();
    let mut bodies = database.prepare("SELECT body FROM messages WHERE queue = ?1 ORDER BY place").unwrap();
    let bodies = bodies.query_map([queue], |row| row.get::<_, String>(0)).unwrap();
    bodies.map(|body| serde_json::from_str(&body.unwrap()).unwrap()).collect()
}

fn state_of(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat[stat.rfind(')').unwrap() + 2..].chars().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_an_event_and_an_answer_a_response() {
    let artifact = misbehaving();
    let host = start(artifact.path(), None).await;
    let headers = [("content-type", "application/json"), ("x-two", "1"), ("x-two", "2"), ("cookie", "k=v; l=w")];
    let answer = send(&host.url(), "POST", "/a%20b?x=1&x=2%2C3&y=%C3%A9", &headers, r#"{"é":1}"#).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["x-function"], "ingest");
    assert_eq!(answer.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=b", "c=d"]);
    let body = answer.json();
    let event = &body["event"];
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["rawPath"], "/a%20b");
    assert_eq!(event["rawQueryString"], "x=1&x=2%2C3&y=%C3%A9");
    assert_eq!(event["queryStringParameters"], json!({ "x": "1,2,3", "y": "é" }));
    assert_eq!(event["headers"]["x-two"], "1,2");
    assert_eq!(event["cookies"], json!(["k=v", "l=w"]));
    assert_eq!(event["requestContext"]["http"]["method"], "POST");
    assert_eq!(event["requestContext"]["stage"], "$default");
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{\"é\":1}"), &json!(false)));
    assert!((5.0..=10.0).contains(&body["left"].as_f64().unwrap()), "{body}");

    let binary = send(&host.url(), "PUT", "/", &[("content-type", "application/json")], &b"\x1f\x8b\xff"[..]).await;
    assert_eq!(binary.headers["x-function"], "ingest");
    assert_eq!(binary.json()["event"]["body"], "H4v/");
    assert_eq!(binary.json()["event"]["isBase64Encoded"], true);
    let one = send(&host.url(), "GET", "/events/evt_1", &[], "").await;
    assert_eq!(one.headers["x-function"], "read");
    host.stop().await.unwrap();
    assert_eq!(processes_of(artifact.path()), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_has_one_request_at_a_time_and_is_frozen_between() {
    let artifact = misbehaving();
    let host = start(artifact.path(), None).await;
    let url = host.url();
    let mut first = BTreeSet::new();
    for _ in 0..5 {
        first.insert(send(&url, "GET", "/", &[], "").await.json()["pid"].as_u64().unwrap());
    }
    assert_eq!(first.len(), 1, "one after the other: one environment");
    let pid = u32::try_from(*first.first().unwrap()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(state_of(pid), 'T');

    let together = (0..15).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { send(&url, "GET", "/slow", &[], "").await })
    });
    let mut pids = BTreeSet::new();
    for answer in together.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 201);
        pids.insert(answer.json()["pid"].as_u64().unwrap());
    }
    assert!(pids.contains(&u64::from(pid)), "the frozen one is used again");
    assert!((5..=10).contains(&pids.len()), "15 at once, of which 10 have an environment: {pids:?}");
    let usage = host.usage();
    assert!(usage.peak_rss_bytes > 10 * 5_000_000 && usage.cpu > Duration::ZERO, "{usage:?}");
    host.stop().await.unwrap();
    assert_eq!(processes_of(artifact.path()), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_answered_and_replaced() {
    let artifact = misbehaving();
    let host = start(artifact.path(), None).await;
    let url = host.url();
    let pid = async || send(&url, "GET", "/", &[], "").await.json()["pid"].as_u64().unwrap();
    let before = pid().await;
    // A function error and a response that is too large. The process survives both.
    for path in ["/error", "/large"] {
        let answer = send(&url, "GET", path, &[], "").await;
        assert_eq!((answer.status, answer.json()), (500, json!({ "message": "Internal Server Error" })), "{path}");
    }
    assert_eq!(pid().await, before);
    let answer = send(&url, "GET", "/exit", &[], "").await;
    assert_eq!((answer.status, answer.json()), (500, json!({ "message": "Internal Server Error" })));
    let after = pid().await;
    assert_ne!(after, before, "a new environment");
    let started = Instant::now();
    assert_eq!(send(&url, "GET", "/hang", &[], "").await.status, 500);
    assert!((9..15).contains(&started.elapsed().as_secs()), "killed at the deadline");
    assert_ne!(pid().await, after, "a new environment");
    assert_eq!(send(&url, "POST", "/", &[], vec![b'x'; 7_000_000]).await.status, 413);
    assert_eq!(send(&url, "POST", "/", &[], vec![b'x'; 11_000_000]).await.status, 413);
    host.stop().await.unwrap();
    assert_eq!(processes_of(artifact.path()), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let artifact = tempfile::tempdir().unwrap();
    let missing = Host::start(Platform::Lambda, &options(artifact.path(), None)).await.err().unwrap();
    assert!(format!("{missing:#}").contains("cargo xtask build"), "{missing:#}");
    write_bootstrap(artifact.path(), "#!/bin/sh\necho no such luck >&2\nexit 7\n");
    let host = start(artifact.path(), None).await;
    assert_eq!(send(&host.url(), "GET", "/", &[], "").await.status, 500);
    let request = ColdRequest { method: "GET".into(), path: "/".into(), headers: vec![], body: String::new() };
    let cold = host.cold(&request).await.err().unwrap();
    let cold = format!("{cold:#}");
    assert!(cold.contains("exit status: 7") && cold.contains("no such luck"), "{cold}");
    host.stop().await.unwrap();
}

/// `isotherm compare` measures how long a cold start takes.
#[tokio::test(flavor = "multi_thread")]
async fn cold_starts_answer_and_are_not_counted() {
    let request = ColdRequest {
        method: "POST".into(),
        path: "/events".into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: r#"{"userId":"u","eventType":"t","properties":{}}"#.into(),
    };
    for (set, status) in [("floor", 200), ("release", 202)] {
        let host = start(&built(set, "lambda"), None).await;
        for _ in 0..5 {
            let sample = host.cold(&request).await.unwrap();
            assert_eq!(sample.status, status);
            assert!(sample.init > Duration::ZERO && sample.first_response > sample.init, "{sample:?}");
        }
        // An accepted event is aggregated in the background, which counts as usage.
        assert!(status == 202 || host.usage().cpu == Duration::ZERO);
        host.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_there_after_a_restart() {
    let artifact = built("release", "lambda");
    let data = tempfile::tempdir().unwrap();
    let host = start(&artifact, Some(data.path())).await;
    let event =
        |n: usize| json!({ "userId": "u", "eventType": "t", "properties": { "n": n }, "messageId": format!("m{n}") });
    let batch = json!({ "events": (0..500).map(event).collect::<Vec<_>>() }).to_string();
    let json_type = [("content-type", "application/json")];
    let answer = send(&host.url(), "POST", "/events/batch", &json_type, batch.clone()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 500);
    assert!(
        results.iter().all(|result| result["status"] == "accepted"),
        "{:?}",
        results.iter().find(|result| result["status"] != "accepted")
    );
    host.stop().await.unwrap();

    let host = start(&artifact, Some(data.path())).await;
    let answer = send(&host.url(), "POST", "/events/batch", &json_type, batch).await.json();
    assert!(answer["results"].as_array().unwrap().iter().all(|result| result["status"] == "duplicate"));
    for n in [0, 499] {
        let id = results[n]["eventId"].as_str().unwrap();
        let found = send(&host.url(), "GET", &format!("/events/{id}"), &[], "").await;
        assert_eq!((found.status, &found.json()["properties"]["n"]), (200, &json!(n)), "{:?}", found.body);
    }
    let same = |n: usize| send_event(host.url(), event(n));
    assert_eq!(same(3).await.json()["duplicate"], true);
    let mut conflicting = event(3);
    conflicting["userId"] = json!("another");
    assert_eq!(send_event(host.url(), conflicting).await.status, 409);
    host.stop().await.unwrap();
}

async fn send_event(url: String, event: Value) -> Answer {
    send(&url, "POST", "/events", &[("content-type", "application/json")], event.to_string()).await
}
