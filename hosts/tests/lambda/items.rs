//! The items of events: their size, those of older versions, and the shapes that they refer to.

use std::process::Command;
use std::sync::atomic::Ordering;

use dynoxide::types::{AttributeValue, item_size};

use super::proxy::{Fault, behind_a_proxy, behind_a_proxy_for};
use super::reports::{counted, event_at};
use super::*;

/// What AWS bills for an item besides its content.
const OVERHEAD: usize = 100;

/// All items of the table of events in a data folder.
fn items(data: &Path) -> Vec<dynoxide::types::Item> {
    let database = dynoxide::Database::new(data.join("dynamodb.sqlite").to_str().unwrap()).unwrap();
    let (mut items, mut start) = (Vec::new(), Value::Null);
    loop {
        let mut scan = json!({ "TableName": "events" });
        if !start.is_null() {
            scan["ExclusiveStartKey"] = start;
        }
        let page = database.scan(serde_json::from_value(scan).unwrap()).unwrap();
        items.extend(page.items.unwrap());
        start = serde_json::to_value(page.last_evaluated_key).unwrap();
        if start.is_null() {
            return items;
        }
    }
}

/// The value of one of the assumptions of `isotherm cost`.
fn assumed(name: &str) -> f64 {
    let all = include_str!("../../../bench/assumptions.toml");
    let (_, after) = all.split_once(&format!("name = \"{name}\"\nvalue = ")).unwrap();
    after.lines().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_of_a_flight_is_billed_as_290_bytes_at_most() {
    const FLIGHTS: usize = 3000;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/data/flights-2013-01.ndjson.gz");
    let flights = Command::new("gzip").arg("-dc").arg(file).output().unwrap().stdout;
    let flights: Vec<&str> = std::str::from_utf8(&flights).unwrap().lines().take(FLIGHTS).collect();
    let data = tempfile::tempdir().unwrap();
    let host = start(&built("release", "lambda"), Some(data.path())).await;
    for batch in flights.chunks(100) {
        let batch = format!("{{\"events\":[{}]}}", batch.join(","));
        let answer = send(&host.url(), "POST", "/events/batch", &[("content-type", "application/json")], batch).await;
        assert_eq!(answer.json()["accepted"], 100, "{:?}", answer.body);
    }
    host.stop().await.unwrap();

    let all = items(data.path());
    let is_shape = |item: &&dynoxide::types::Item| item.contains_key("shape");
    // Flights have all properties, or no delays, or no times at all. The put of a rare shape may have failed.
    assert!((1..=3).contains(&all.iter().filter(is_shape).count()));
    let events: Vec<_> = all.iter().filter(|item| item.contains_key("e")).collect();
    assert_eq!(events.len(), FLIGHTS);
    let packed = |item: &dynoxide::types::Item| match &item["e"] {
        AttributeValue::B(packed) => packed.len(),
        other => panic!("{other:?}"),
    };
    let of_shape = events.iter().filter(|item| matches!(&item["e"], AttributeValue::B(packed) if packed[0] == 1));
    assert!(of_shape.count() > FLIGHTS * 9 / 10);
    let mean = |bytes: usize| bytes as f64 / FLIGHTS as f64;
    let billed = mean(events.iter().map(|item| item_size(item) + OVERHEAD).sum());
    println!("{billed} bytes an event");
    assert!(billed <= 290.0, "{billed}");
    let beside = mean(events.iter().map(|item| item_size(item) - packed(item)).sum());
    // AWS bills no trailing zeros of a number, so an expiry that ends in 00 is billed a byte less.
    let saved = assumed("item-bytes") - beside;
    assert!((0.0..=1.0).contains(&saved), "{beside}");
    assert_eq!(OVERHEAD as f64, assumed("item-overhead-bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_older_versions_are_read_as_before() {
    // As version da27c14 stored the first of these events.
    const RECORD: &str = concat!(
        r#"{"eventId":"evt_0C0R7C39HJM606WJGR5Q149TZR","messageId":"m0","userId":"u","eventType":"t","#,
        r#""timestamp":"2013-01-01T00:10:00.000Z","receivedAt":"2026-11-22T09:18:13.000Z","properties":{"n":0,"one":"1","two":"0"}}"#
    );
    let (artifact, proxy) = behind_a_proxy("ingest", "PutItem").await;
    let host = start(artifact.path(), None).await;
    // Starts the function, which tells where DynamoDB is.
    assert_eq!(send(&host.url(), "POST", "/events", &[], "{}").await.status, 400);
    let id = "evt_0C0R7C39HJM606WJGR5Q149TZR";
    let item = json!({
        "pk": { "S": format!("default#{id}") }, "record": { "S": RECORD },
        "digest": { "B": "G/E+Bb0O8R0/onzkZEqTlQ==" }, "putBy": { "B": "AAAAAAAAAAAAAAAAAAAAAA==" }, "occurredAt": { "N": "0" }, "receivedAt": { "N": "0" },
        "ttl": { "N": "9999999999" },
    });
    proxy.dynamodb("PutItem", json!({ "TableName": "events", "Item": item })).await;
    let found = send(&host.url(), "GET", &format!("/events/{id}"), &[], "").await;
    assert_eq!((found.status, found.text()), (200, RECORD));
    let mut event = event_at(0);
    assert_eq!(send_event(host.url(), event.clone()).await.json()["duplicate"], true);
    event["userId"] = json!("another");
    assert_eq!(send_event(host.url(), event).await.status, 409);
    assert_eq!(counted(&host.url(), 1).await["rows"][0]["count"], 1);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shape_that_is_not_stored_stays_in_its_events() {
    let data = tempfile::tempdir().unwrap();
    let (artifact, proxy) = behind_a_proxy_for("ingest", "PutItem", "#shape-").await;
    let host = start(artifact.path(), Some(data.path())).await;
    *proxy.lasting.lock().unwrap() = Some((0, Fault::Throttled));
    for n in 0..3 {
        assert_eq!(send_event(host.url(), event_at(n)).await.status, 202);
    }
    assert_eq!(proxy.requests.load(Ordering::SeqCst), 2, "once for each event but the first, and not again");
    *proxy.lasting.lock().unwrap() = None;
    for n in 3..6 {
        assert_eq!(send_event(host.url(), event_at(n)).await.status, 202);
    }
    assert_eq!(proxy.requests.load(Ordering::SeqCst), 3);
    counted(&host.url(), 6).await;
    host.stop().await.unwrap();
    let all = items(data.path());
    let forms = all.iter().filter_map(|item| match item.get("e")? {
        AttributeValue::B(packed) => Some(packed[0]),
        other => panic!("{other:?}"),
    });
    let mut forms: Vec<u8> = forms.collect();
    forms.sort_unstable();
    assert_eq!(forms, [1, 1, 2, 2, 2, 2]);
    let shape = all.iter().find(|item| item.contains_key("shape")).unwrap();
    let ttl = |item: &dynoxide::types::Item| match &item["ttl"] {
        AttributeValue::N(seconds) => seconds.parse::<u64>().unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(all.iter().all(|item| !item.contains_key("e") || ttl(item) < ttl(shape)), "it outlives its events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shape_that_cannot_be_read_now_is_read_later() {
    let data = tempfile::tempdir().unwrap();
    let (artifact, proxy) = behind_a_proxy("aggregate", "GetItem").await;
    let host = start(artifact.path(), Some(data.path())).await;
    *proxy.lasting.lock().unwrap() = Some((0, Fault::Denied));
    for n in 0..4 {
        let answer = send_event(host.url(), event_at(n)).await;
        let id = answer.json()["eventId"].as_str().unwrap().to_owned();
        assert_eq!(send(&host.url(), "GET", &format!("/events/{id}"), &[], "").await.json()["properties"]["n"], n);
    }
    let started = Instant::now();
    while proxy.requests.load(Ordering::SeqCst) < 3 {
        assert!(started.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    *proxy.lasting.lock().unwrap() = None;
    counted(&host.url(), 4).await;
    host.stop().await.unwrap();
    assert_eq!(queue_of(data.path(), "records-dead"), [Value::Null; 0]);
}
