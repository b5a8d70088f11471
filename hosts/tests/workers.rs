//! The Workers host on workerd, with the floor and with the adapter.
#![cfg(feature = "workers")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper of a test finds wrong fails the test")]

#[path = "workers/cluster.rs"]
mod cluster;
mod common;
#[path = "workers/configuration.rs"]
mod configuration;
#[path = "workers/cron.rs"]
mod cron;
#[path = "workers/damage.rs"]
mod damage;
#[path = "workers/events.rs"]
mod events;
#[path = "workers/meters.rs"]
mod meters;
#[path = "workers/older.rs"]
mod older;
#[path = "workers/rows.rs"]
mod rows;
#[path = "workers/services.rs"]
mod services;
#[path = "workers/unkind.rs"]
mod unkind;

use std::path::Path;
use std::time::Duration;

use hyper::body::Bytes;
use isotherm_hosts::{ColdRequest, Host, Options, Platform};
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::common::{Answer, built, send};

/// Most tests mainly wait, so they run in parallel. Tests that count all workerds of this process run alone.
static TURN: RwLock<()> = RwLock::const_new(());

async fn beside() -> RwLockReadGuard<'static, ()> {
    TURN.read().await
}

async fn alone() -> RwLockWriteGuard<'static, ()> {
    let turn = TURN.write().await;
    assert_eq!(workerds(), [0; 0]);
    turn
}

async fn start(artifact: &Path, data: Option<&Path>) -> Host {
    let artifact = artifact.to_owned();
    let data = data.map(Path::to_owned);
    let options = Options {
        artifact,
        port: 0,
        data,
        config: isotherm_hosts::OPEN.to_owned(),
        cluster: None,
        log_requests: false,
    };
    Host::start(Platform::Workers, &options).await.unwrap()
}

async fn send_as(url: &str, method: &str, path: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
    send(url, method, path, &[("content-type", content_type)], body).await
}

async fn post(host: &Host, event: &Value) -> Answer {
    send_as(&host.url(), "POST", "/events", "application/json", event.to_string()).await
}

fn event(name: &str) -> Value {
    json!({ "userId": "u1", "eventType": "flight", "properties": { "name": name }, "messageId": name })
}

fn cold_request(name: &str) -> ColdRequest {
    ColdRequest {
        method: "POST".to_owned(),
        path: "/events".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: event(name).to_string(),
    }
}

/// The running workerd processes of this process. A failed test kills its processes. They may remain as zombies until
/// somebody asks how they ended, so zombies don't count.
fn workerds() -> Vec<u32> {
    let of_process = |entry: std::fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
        let (state, parent) = (fields.next()?, fields.next()?.parse::<u32>().ok()?);
        (parent == std::process::id() && stat.contains("(workerd)") && state != "Z").then_some(pid)
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(of_process).collect()
}

/// The workerd processes that keep their data in this folder.
fn workerds_of(data: &Path) -> Vec<u32> {
    let is_of_data = |pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(data.to_str().unwrap())
    };
    workerds().into_iter().filter(is_of_data).collect()
}

fn kill_all(data: &Path) {
    let running = workerds_of(data);
    assert!(!running.is_empty(), "nothing of {} runs that could be killed", data.display());
    for pid in running {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

const COLD_SAMPLES: u32 = 30;

async fn takes_cold_samples(host: &Host, status: u16) {
    let warm = host.usage();
    for sample in 0..COLD_SAMPLES {
        let sample = host.cold(&cold_request(&format!("cold-{sample}"))).await.unwrap();
        assert_eq!(sample.status, status);
        assert!(sample.init > Duration::ZERO && sample.init <= sample.first_response, "{sample:?}");
    }
    let cpu = host.usage().cpu - warm.cpu;
    // Each costs about 12 ms where it runs. Folding the earlier events costs the server a little.
    assert!(cpu < Duration::from_millis(5) * COLD_SAMPLES, "cold starts cost the server {cpu:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_floor_answers_warm_and_cold() {
    let artifact = built("floor", "workers");
    let _turn = alone().await;
    let host = start(&artifact, None).await;
    assert_eq!(host.runtime().name, "workerd");
    assert!(host.runtime().version.starts_with("1.20"), "{}", host.runtime().version);
    let answer = send_as(&host.url(), "GET", "/", "text/plain", "").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    takes_cold_samples(&host, 200).await;
    assert!(host.usage().peak_rss_bytes > 1_000_000);
    host.stop().await.unwrap();
    assert_eq!(workerds(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_answers_warm_and_cold() {
    let artifact = built("release", "workers");
    let _turn = alone().await;
    let host = start(&artifact, None).await;
    let first = post(&host, &event("a")).await;
    assert_eq!(first.status, 202);
    let repeated = post(&host, &event("a")).await;
    assert_eq!((repeated.status, &repeated.json()["duplicate"]), (202, &json!(true)));
    assert_eq!(repeated.json()["eventId"], first.json()["eventId"]);
    let mut other = event("a");
    other["properties"]["name"] = json!("b");
    assert_eq!(post(&host, &other).await.status, 409);

    // A batch over all shards: new events, a repetition and a conflict, answered in this order.
    let lines: Vec<String> = (0..100)
        .map(|n| event(&format!("n{n}")).to_string())
        .chain([event("a").to_string(), other.to_string()])
        .collect();
    let batch = send_as(&host.url(), "POST", "/events/batch", "application/x-ndjson", lines.join("\n")).await;
    assert_eq!(batch.status, 200, "{:?}", batch.body);
    let counts = batch.json();
    assert_eq!([&counts["accepted"], &counts["duplicate"], &counts["invalid"], &counts["retry"]], [100, 1, 1, 0]);
    assert_eq!(counts["results"][99]["status"], "accepted");
    assert_eq!(counts["results"][100]["status"], "duplicate");
    assert_eq!(counts["results"][101]["code"], "conflict");
    let again = send_as(&host.url(), "POST", "/events/batch", "application/x-ndjson", lines[..100].join("\n")).await;
    assert_eq!(again.json()["duplicate"], 100);

    let path = format!("/events/{}", first.json()["eventId"].as_str().unwrap());
    let found = send_as(&host.url(), "GET", &path, "", "").await;
    assert_eq!((found.status, &found.json()["properties"]["name"]), (200, &json!("a")));
    takes_cold_samples(&host, 202).await;
    host.stop().await.unwrap();
    assert_eq!(workerds(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_survives_kill_9() {
    let artifact = built("release", "workers");
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = start(&artifact, Some(data.path())).await;
    let mut accepted = Vec::new();
    for n in 0..50 {
        let answer = post(&host, &event(&format!("k{n}"))).await;
        assert_eq!(answer.status, 202);
        accepted.push(answer.json()["eventId"].as_str().unwrap().to_owned());
    }
    kill_all(data.path());
    drop(host);
    let host = start(&artifact, Some(data.path())).await;
    for (n, id) in accepted.iter().enumerate() {
        let found = send_as(&host.url(), "GET", &format!("/events/{id}"), "", "").await;
        assert_eq!((found.status, &found.json()["properties"]["name"]), (200, &json!(format!("k{n}"))));
        assert_eq!(post(&host, &event(&format!("k{n}"))).await.json()["duplicate"], json!(true));
    }
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_can_t_start_leaves_nothing_and_says_why() {
    let artifact = built("floor", "workers");
    let _turn = alone().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = Options {
        artifact,
        port,
        data: None,
        config: isotherm_hosts::OPEN.to_owned(),
        cluster: None,
        log_requests: false,
    };
    let error = Host::start(Platform::Workers, &options).await.err().unwrap();
    assert!(format!("{error:#}").contains("workerd ended before it listened"), "{error:#}");
    assert_eq!(workerds(), [0; 0]);
}
