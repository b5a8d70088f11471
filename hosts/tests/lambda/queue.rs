//! The queue between API Gateway and `drain`.

use std::sync::atomic::Ordering;

use super::proxy::{Fault, behind_a_proxy};
use super::reports::{counted, event_at};
use super::*;

/// Events without an id of their own. Only the id of their message identifies a repetition.
fn unnamed(numbers: std::ops::Range<usize>) -> Vec<Value> {
    let unnamed = |n| {
        let mut event = event_at(n);
        event.as_object_mut().unwrap().remove("messageId");
        event
    };
    numbers.map(unnamed).collect()
}

async fn enqueue(url: &str, path: &str, body: String) {
    let headers = [("content-type", "application/json"), ("authorization", "any, since the service is open")];
    let answer = send(url, "POST", path, &headers, body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let result = answer.json()["SendMessageResponse"]["SendMessageResult"].clone();
    assert!(result["MessageId"].is_string() && result["MD5OfMessageBody"].is_string(), "{result}");
}

/// Waits until a queue holds this many messages, and returns them.
async fn holds(data: &Path, queue: &str, count: usize) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let messages = queue_of(data, queue);
        if messages.len() == count {
            return messages;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{queue}: {messages:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_put_messages_are_taken_in_once() {
    const EVENTS: usize = 40;
    let (artifact, proxy) = behind_a_proxy("drain", "PutItem").await;
    let data = tempfile::tempdir().unwrap();
    let host = start(artifact.path(), Some(data.path())).await;
    let mut sent = 0;
    // A fault at the last put makes the queue deliver the message again, although all its events are stored.
    for fault in [Fault::KilledBefore, Fault::KilledAfter, Fault::FailsBefore, Fault::AnswerIsLost] {
        for at in [0, 20, EVENTS - 1] {
            proxy.requests.store(0, Ordering::SeqCst);
            *proxy.fault.lock().unwrap() = Some((at, fault));
            let batch = json!({ "events": unnamed(sent..sent + EVENTS) }).to_string();
            enqueue(&host.url(), "/queue/events/batch", batch).await;
            sent += EVENTS;
            holds(data.path(), "events", 0).await;
            counted(&host.url(), sent).await;
            assert!(proxy.fault.lock().unwrap().is_none(), "{fault:?} at {at} did not happen");
        }
    }
    assert_eq!(queue_of(data.path(), "events-dead"), [Value::Null; 0]);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_becomes_a_dead_letter_and_holds_nothing_up() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&built("release", "lambda"), Some(data.path())).await;
    let mut half_bad = json!({ "events": unnamed(0..3) });
    half_bad["events"][1] = json!({ "userId": 7 });
    half_bad["events"][2] = event_at(1);
    for n in 2..30 {
        match n {
            9 => enqueue(&host.url(), "/queue/events", json!({ "no": "event" }).to_string()).await,
            19 => enqueue(&host.url(), "/queue/events/batch", half_bad.to_string()).await,
            _ => {}
        }
        enqueue(&host.url(), "/queue/events", unnamed(n..n + 1).remove(0).to_string()).await;
    }
    // The good events of the half-bad batch are counted once.
    counted(&host.url(), 30).await;
    let mut dead = holds(data.path(), "events-dead", 2).await;
    dead.sort_by_key(Value::to_string);
    assert_eq!(dead, [half_bad, json!({ "no": "event" })]);
    assert_eq!(queue_of(data.path(), "events"), [Value::Null; 0]);
    counted(&host.url(), 30).await;
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_queue_is_there_after_a_restart() {
    // The `drain` of this artifact always fails. Its `read` works, because the gateway asks it about keys.
    let (artifact, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bootstrap = built("release", "lambda").join("bootstrap").canonicalize().unwrap();
    let script = format!("#!/bin/sh\n[ $_HANDLER != drain ] && exec {}\n", bootstrap.display());
    write_bootstrap(artifact.path(), &script);
    let host = start(artifact.path(), Some(data.path())).await;
    enqueue(&host.url(), "/queue/events", unnamed(0..1).remove(0).to_string()).await;
    assert_eq!(send(&host.url(), "POST", "/queue/events", &[("authorization", "any")], "").await.status, 400);
    host.stop().await.unwrap();
    let host = start(&built("release", "lambda"), Some(data.path())).await;
    counted(&host.url(), 1).await;
    holds(data.path(), "events", 0).await;
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_looks_at_the_key_and_the_message_has_its_id() {
    let data = tempfile::tempdir().unwrap();
    // SHA-256 of "a key of the tests".
    let key = "773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1";
    let config = json!({ "keys": [{ "sha256": key, "tenant": "acme", "scope": "both" }] }).to_string();
    let options = Options { config, ..options(&built("release", "lambda"), Some(data.path())) };
    let host = Host::start(Platform::Lambda, &options).await.unwrap();
    let event = event_at(0).to_string();
    for (key, status) in [("Bearer another key that is none", 403), ("Bearer a key of the tests", 200)] {
        let headers = [("content-type", "application/json"), ("authorization", key)];
        assert_eq!(send(&host.url(), "POST", "/queue/events", &headers, event.clone()).await.status, status);
    }
    let no_key = [("content-type", "application/json")];
    assert_eq!(send(&host.url(), "POST", "/queue/events", &no_key, event.clone()).await.status, 401);
    holds(data.path(), "events", 0).await;
    assert_eq!(queue_of(data.path(), "events-dead"), [Value::Null; 0]);
    let path = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z";
    let started = Instant::now();
    while send(&host.url(), "GET", path, &[("authorization", "Bearer a key of the tests")], "").await.json()["rows"][0]
        ["count"]
        != 1
    {
        assert!(started.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_tenant_s_queue_accepts_nothing_and_clients_send_again() {
    // SHA-256 of "a key of the tests".
    let key = "773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1";
    let keys = json!([{ "sha256": key, "tenant": "acme", "scope": "both" }]);
    let config = json!({ "keys": keys, "frozen": ["acme"] }).to_string();
    let options = Options { config, ..options(&built("release", "lambda"), None) };
    let host = Host::start(Platform::Lambda, &options).await.unwrap();
    for (key, status) in [("Bearer another key that is none", 403), ("Bearer a key of the tests", 500)] {
        let headers = [("content-type", "application/json"), ("authorization", key)];
        assert_eq!(send(&host.url(), "POST", "/queue/events", &headers, event_at(0).to_string()).await.status, status);
    }
    host.stop().await.unwrap();
}
