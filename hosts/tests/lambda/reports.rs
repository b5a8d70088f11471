//! Reports on events that reach them through the stream, the event source mapping and `aggregate`.

use std::sync::atomic::Ordering;

use super::proxy::{Fault, behind_a_proxy};
use super::*;

/// The event with this number. Consecutive numbers lie in different hours.
pub(crate) fn event_at(n: usize) -> Value {
    let time = format!("2013-01-{:02}T{:02}:10:00Z", 1 + n / 24 % 28, n % 24);
    json!({ "userId": "u", "eventType": "t", "timestamp": time, "messageId": format!("m{n}"),
        "properties": { "n": n, "one": "1", "two": format!("{}", n % 7) } })
}

pub(crate) async fn send_events(url: &str, numbers: std::ops::Range<usize>) {
    let batch = json!({ "events": numbers.map(event_at).collect::<Vec<_>>() }).to_string();
    let answer = send(url, "POST", "/events/batch", &[("content-type", "application/json")], batch).await;
    assert_eq!((answer.status, &answer.json()["retry"]), (200, &json!(0)), "{:?}", answer.body);
}

/// Waits until a report counts this many events, and returns it. Fails if a report counts more.
pub(crate) async fn counted(url: &str, count: usize) -> Value {
    let path = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&metrics=count,sum:n";
    let started = Instant::now();
    loop {
        let answer = send(url, "GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let report = answer.json();
        let counted = report["rows"][0]["count"].as_u64().unwrap_or_default();
        assert!(counted <= count as u64, "{counted} of {count} events");
        if counted == count as u64 {
            assert_eq!(report["rows"][0]["sum:n"], json!(count * count.saturating_sub(1) / 2));
            return report;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{counted} of {count} events after a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a report that counts this many events is complete up to the time of this call, less 3 s.
pub(crate) async fn complete(url: &str, count: usize) {
    // A later `asOf` may never come: a closed shard whose children have no events is not known yet.
    let (sent, started) = (jiff::Timestamp::now() - Duration::from_secs(3), Instant::now());
    loop {
        let as_of: jiff::Timestamp = counted(url, count).await["asOf"].as_str().unwrap().parse().unwrap();
        if as_of >= sent {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "sent at {sent}, complete to {as_of} only");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_counted_once_though_the_stream_is_read_again() {
    let (artifact, data) = (built("release", "lambda"), tempfile::tempdir().unwrap());
    let host = start(&artifact, Some(data.path())).await;
    send_events(&host.url(), 0..300).await;
    complete(&host.url(), 300).await;
    host.stop().await.unwrap();
    // Continues first from the saved position, slightly before the end, and then from the beginning of the stream.
    for total in [301, 302] {
        let host = start(&artifact, Some(data.path())).await;
        send_events(&host.url(), total - 1..total).await;
        // Records that are delivered again come before the new event.
        counted(&host.url(), total).await;
        host.stop().await.unwrap();
        let _none_yet = std::fs::remove_file(data.path().join("aggregate.positions.json"));
    }
    assert_eq!(queue_of(data.path(), "records-dead"), [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_transaction_events_are_counted_once() {
    // A batch has so many hours and dimensions that it needs several transactions.
    const EVENTS: usize = 60;
    let (artifact, proxy) = behind_a_proxy("aggregate", "TransactWriteItems").await;
    let host = start(artifact.path(), None).await;
    let mut sent = 0;
    let faults =
        [Fault::KilledBefore, Fault::KilledAfter, Fault::FailsBefore, Fault::CancelledBefore, Fault::AnswerIsLost];
    for fault in faults {
        for at in 0.. {
            proxy.requests.store(0, Ordering::SeqCst);
            *proxy.fault.lock().unwrap() = Some((at, fault));
            send_events(&host.url(), sent..sent + EVENTS).await;
            sent += EVENTS;
            // The last transaction ends the window.
            complete(&host.url(), sent).await;
            if proxy.fault.lock().unwrap().take().is_some() {
                assert!(at > 2, "{fault:?}: {at} transactions only");
                break;
            }
        }
    }
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_goes_to_the_dead_letter_queue_and_holds_nothing_up() {
    const DAMAGED: &str = "default#evt_00000000000000000000000001";
    const SHAPELESS: &str = "default#evt_00000000000000000000000002";
    let (artifact, proxy) = behind_a_proxy("aggregate", "TransactWriteItems").await;
    let data = tempfile::tempdir().unwrap();
    let host = start(artifact.path(), Some(data.path())).await;
    send_events(&host.url(), 0..1).await;
    counted(&host.url(), 1).await;
    for item in [
        json!({ "pk": { "S": "default#evt_1" }, "record": { "S": "{}" } }),
        json!({ "pk": { "S": "default#evt_2" } }),
        json!({ "pk": { "S": "what" }, "record": { "S": "ever" } }),
        json!({ "pk": { "S": DAMAGED }, "e": { "B": "AQID" } }),
        // A packed event whose shape is not there.
        json!({ "pk": { "S": SHAPELESS }, "e": { "B": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" } }),
    ] {
        proxy.dynamodb("PutItem", json!({ "TableName": "events", "Item": item })).await;
    }
    send_events(&host.url(), 1..2).await;
    counted(&host.url(), 2).await;
    // Each item may be in its own shard, which proceeds independently.
    let started = Instant::now();
    let letters = loop {
        let letters = queue_of(data.path(), "records-dead");
        let keys: BTreeSet<_> = letters.iter().map(|letter| letter["key"].as_str().unwrap().to_owned()).collect();
        if keys.len() == 5 {
            assert!(keys.iter().eq([DAMAGED, SHAPELESS, "default#evt_1", "default#evt_2", "what"]), "{keys:?}");
            break letters;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{keys:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let letter = letters.iter().find(|letter| letter["key"] == "default#evt_1").unwrap();
    assert!(letter["reason"].as_str().unwrap().contains("no event"), "{letter}");
    assert_eq!(letter["record"], "{}");
    for (key, reason) in [(DAMAGED, "its item is damaged"), (SHAPELESS, "missing, item #shape-0000000000000000")] {
        let letter = letters.iter().find(|letter| letter["key"] == key).unwrap();
        assert!(letter["reason"].as_str().unwrap().ends_with(reason), "{letter}");
        let id = key.split_once('#').unwrap().1;
        assert_eq!(send(&host.url(), "GET", &format!("/events/{id}"), &[], "").await.status, 503, "{key}");
    }
    assert!(letter["sequenceNumber"].as_str().unwrap().len() >= 21, "{letter}");
    host.stop().await.unwrap();
}
