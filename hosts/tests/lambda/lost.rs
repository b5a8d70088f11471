//! Reports on events that the stream loses before they are folded.

use super::proxy::{Fault, behind_a_proxy};
use super::*;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Reports on the hours around now, and on a month without events.
async fn reports(url: &str) -> [Value; 2] {
    let hour = jiff::SignedDuration::from_hours(1);
    let from = jiff::Timestamp::now().round(jiff::Unit::Hour).unwrap() - hour;
    let path = |from: &str, to: &str| format!("/reports/summary?from={from}&to={to}&metrics=count");
    let present = path(&from.to_string(), &(from + 3 * hour).to_string());
    let past = path("2013-01-01T00:00:00Z", "2013-02-01T00:00:00Z");
    let mut reports = Vec::new();
    for path in [present, past] {
        let answer = send(url, "GET", &path, &[], "").await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        reports.push(answer.json());
    }
    reports.try_into().unwrap()
}

/// Sends an event with the present time.
async fn send_one(url: &str) {
    let event = json!({ "userId": "u", "eventType": "t", "properties": {} });
    assert_eq!(send(url, "POST", "/events", &JSON, event.to_string()).await.status, 202);
}

/// Waits until the report on the hours around now counts this many events, and returns it.
async fn counted(url: &str, count: u64) -> Value {
    let started = Instant::now();
    loop {
        let [report, _] = reports(url).await;
        if report["rows"][0]["count"] == count {
            return report;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{count} events are not counted: {report}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_hours_that_the_stream_lost_say_that_they_are_incomplete() {
    let name = "lost::reports_of_hours_that_the_stream_lost_say_that_they_are_incomplete";
    if !has_variables(name, &[("ISOTHERM_STREAM_SECONDS", "10")]) {
        return;
    }
    let (artifact, proxy) = behind_a_proxy("aggregate", "TransactWriteItems").await;
    let data = tempfile::tempdir().unwrap();
    let host = start(artifact.path(), Some(data.path())).await;
    send_one(&host.url()).await;
    let report = counted(&host.url(), 1).await;
    assert_eq!((&report["incomplete"], &report["accuracy"]["count"]), (&Value::Null, &json!("exact")));

    // From now on, folding fails for longer than the stream keeps its records.
    *proxy.lasting.lock().unwrap() = Some((0, Fault::Denied));
    for _ in 0..3 {
        send_one(&host.url()).await;
    }
    // Each event's shard gives up independently.
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(14)).await;
    while !queue_of(data.path(), "records-dead").iter().any(|letter| letter["DDBStreamBatchInfo"].is_object()) {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is given up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(queue_of(data.path(), "given-up"), [Value::Null; 0], "the message went on");
    let [present, past] = reports(&host.url()).await;
    assert_eq!((&present["incomplete"], &present["accuracy"]["count"]), (&json!(true), &json!("incomplete")));
    assert_eq!((&past["incomplete"], &past["accuracy"]["count"]), (&Value::Null, &json!("exact")));

    // Folding continues with new events, but lost events stay lost.
    *proxy.lasting.lock().unwrap() = None;
    send_one(&host.url()).await;
    assert_eq!(counted(&host.url(), 2).await["incomplete"], true);
    host.stop().await.unwrap();
}
