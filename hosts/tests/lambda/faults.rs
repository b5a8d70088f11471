//! The store with a DynamoDB that throttles, fails and loses answers.

use std::sync::atomic::Ordering;

use super::proxy::{Fault, behind_a_proxy, behind_a_proxy_for};
use super::reports::event_at;
use super::*;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
/// What the put of an event contains, and no other put.
const EVENT: &str = "evt_";

async fn post(url: &str, event: &Value) -> Answer {
    send(url, "POST", "/events", &JSON, event.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_fails_is_made_again_and_is_no_duplicate_of_itself() {
    let (artifact, proxy) = behind_a_proxy_for("ingest", "PutItem", EVENT).await;
    let host = start(artifact.path(), None).await;
    for (n, fault) in [Fault::Throttled, Fault::FailsBefore, Fault::AnswerIsLost].into_iter().enumerate() {
        proxy.requests.store(0, Ordering::SeqCst);
        *proxy.fault.lock().unwrap() = Some((0, fault));
        let answer = post(&host.url(), &event_at(n)).await;
        assert_eq!((answer.status, &answer.json()["duplicate"]), (202, &Value::Null), "{fault:?}: {:?}", answer.body);
        assert_eq!(proxy.requests.load(Ordering::SeqCst), 2, "{fault:?}");
        assert_eq!(post(&host.url(), &event_at(n)).await.json()["duplicate"], true, "{fault:?}");
    }
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_succeed_is_tried_once_more_and_no_longer() {
    let (artifact, proxy) = behind_a_proxy_for("ingest", "PutItem", EVENT).await;
    let host = start(artifact.path(), None).await;
    *proxy.lasting.lock().unwrap() = Some((0, Fault::Denied));
    assert_eq!(post(&host.url(), &event_at(0)).await.status, 503);
    // The SDK's client, which makes the second attempt, knows what can't succeed.
    assert_eq!(proxy.requests.load(Ordering::SeqCst), 2);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_deadline_what_is_not_known_is_for_later() {
    let (artifact, proxy) = behind_a_proxy_for("ingest", "PutItem", EVENT).await;
    let host = start(artifact.path(), None).await;
    *proxy.lasting.lock().unwrap() = Some((1, Fault::Throttled));
    let batch = json!({ "events": (0..3).map(event_at).collect::<Vec<_>>() }).to_string();
    let answer = send(&host.url(), "POST", "/events/batch", &JSON, batch.clone()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let counts = |answer: &Value| ["accepted", "duplicate", "retry"].map(|name| answer[name].as_u64().unwrap());
    assert_eq!(counts(&answer.json()), [1, 0, 2], "{:?}", answer.body);
    assert!(proxy.requests.load(Ordering::SeqCst) > 5, "it went on trying");
    *proxy.lasting.lock().unwrap() = None;
    let again = send(&host.url(), "POST", "/events/batch", &JSON, batch).await;
    assert_eq!(counts(&again.json()), [2, 1, 0], "{:?}", again.body);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_put_in_parallel_up_to_a_bound() {
    let (artifact, proxy) = behind_a_proxy_for("ingest", "PutItem", EVENT).await;
    let host = start(artifact.path(), None).await;
    let batch = json!({ "events": (0..500).map(event_at).collect::<Vec<_>>() }).to_string();
    assert_eq!(send(&host.url(), "POST", "/events/batch", &JSON, batch).await.json()["accepted"], 500);
    assert_eq!(proxy.requests.load(Ordering::SeqCst), 500);
    let most = proxy.most_under_way.load(Ordering::SeqCst);
    assert!((2..=32).contains(&most), "{most} at once");
    let put = proxy.last.lock().unwrap().clone();
    let ttl: i64 = put["Item"]["ttl"]["N"].as_str().unwrap().parse().unwrap();
    // 90 days, in seconds.
    assert!((0..60).contains(&(jiff::Timestamp::now().as_second() + 7_776_000 - ttl)), "{put}");
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_found_as_it_was_written_last() {
    let (artifact, proxy) = behind_a_proxy("read", "GetItem").await;
    let host = start(artifact.path(), None).await;
    let id = post(&host.url(), &event_at(0)).await.json()["eventId"].as_str().unwrap().to_owned();
    let find = async || send(&host.url(), "GET", &format!("/events/{id}"), &[], "").await;
    *proxy.fault.lock().unwrap() = Some((0, Fault::Throttled));
    assert_eq!(find().await.status, 200);
    assert_eq!(proxy.requests.load(Ordering::SeqCst), 2);
    assert_eq!(proxy.last.lock().unwrap()["ConsistentRead"], true);
    *proxy.lasting.lock().unwrap() = Some((0, Fault::Denied));
    assert_eq!(find().await.status, 503);
    *proxy.lasting.lock().unwrap() = None;
    // A foreign item in the event's place is neither the event nor a repetition of it.
    let item = json!({ "pk": { "S": format!("default#{id}") }, "of": { "S": "someone else" } });
    proxy.dynamodb("PutItem", json!({ "TableName": "events", "Item": item })).await;
    assert_eq!((find().await.status, post(&host.url(), &event_at(0)).await.status), (503, 503));
    host.stop().await.unwrap();
}
