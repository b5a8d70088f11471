//! The schedule, which compacts pages of hours into pages of days.

use std::sync::atomic::Ordering;

use super::proxy::{Fault, behind_a_proxy};
use super::reports::{counted, event_at, send_events};
use super::*;

/// The variable with the rate at which the host invokes the function. It applies to a whole process.
const RATE: &str = "ISOTHERM_SCHEDULE_SECONDS";
const REPORTS: [&str; 4] = [
    "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&metrics=count,sum:n,users",
    "/reports/timeseries?from=2013-01-01T00:00:00Z&to=2013-01-08T00:00:00Z&interval=day&metrics=count",
    "/reports/timeseries?from=2013-01-01T00:00:00Z&to=2013-01-03T00:00:00Z&interval=hour&metrics=count",
    "/reports/top?from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&dimension=two&metrics=count,users",
];

/// The reports without their `asOf`, which changes with time.
async fn reports(url: &str) -> Vec<Value> {
    let mut reports = Vec::new();
    for path in REPORTS {
        let answer = send(url, "GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        let mut report = answer.json();
        report.as_object_mut().unwrap().remove("asOf");
        reports.push(report);
    }
    reports
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_changes_no_report_and_late_events_are_counted() {
    let name = "compaction::compaction_changes_no_report_and_late_events_are_counted";
    if !has_variables(name, &[(RATE, "0.2")]) {
        return;
    }
    // The events lie in three days.
    const EVENTS: usize = 70;
    let (artifact, proxy) = behind_a_proxy("schedule", "TransactWriteItems").await;
    let compacted = async |days: usize| {
        let started = Instant::now();
        while proxy.requests.load(Ordering::SeqCst) < days {
            assert!(started.elapsed() < Duration::from_secs(60), "{days} days are not compacted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    *proxy.lasting.lock().unwrap() = Some((0, Fault::CancelledBefore));
    let host = start(artifact.path(), None).await;
    send_events(&host.url(), 0..EVENTS).await;
    counted(&host.url(), EVENTS).await;
    let before = reports(&host.url()).await;
    *proxy.lasting.lock().unwrap() = None;
    proxy.requests.store(0, Ordering::SeqCst);
    compacted(3).await;
    // The last transaction is written when the next run begins.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(reports(&host.url()).await, before);

    // A late event opens its day again, and the day is compacted once more.
    let done = proxy.requests.load(Ordering::SeqCst);
    send_events(&host.url(), EVENTS..EVENTS + 1).await;
    counted(&host.url(), EVENTS + 1).await;
    let late = reports(&host.url()).await;
    assert_ne!(late, before, "{:?}", event_at(EVENTS));
    compacted(done + 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(reports(&host.url()).await, late);

    // Now fold and compact at the same time.
    for start in (EVENTS + 1..EVENTS + 1 + 600).step_by(60) {
        send_events(&host.url(), start..start + 60).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    counted(&host.url(), EVENTS + 1 + 600).await;
    let folded = reports(&host.url()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(reports(&host.url()).await, folded);
    host.stop().await.unwrap();
}

/// Two tenants; the second one's key is [`KEY`].
const TENANTS: &str = r#"{"version": 2, "keys": [
{"sha256": "0000000000000000000000000000000000000000000000000000000000000000", "tenant": "a", "scope": "both"},
{"sha256": "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f", "tenant": "b", "scope": "both"}]}"#;
const KEY: &str = "Bearer 0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_cannot_be_compacted_stops_no_other() {
    let name = "compaction::a_tenant_that_cannot_be_compacted_stops_no_other";
    if !has_variables(name, &[(RATE, "0.2")]) {
        return;
    }
    let (artifact, proxy) = behind_a_proxy("schedule", "TransactWriteItems").await;
    let options = Options { config: TENANTS.to_owned(), ..options(artifact.path(), None) };
    let host = Host::start(Platform::Lambda, &options).await.unwrap();
    let started = Instant::now();
    while !artifact.path().join("endpoint").exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "the schedule does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Something else writes what is no page among the marks of "a", so reading them fails. "a" comes before "b".
    for partition in 0..4 {
        let item = json!({ "pk": { "S": format!("a#{partition}") }, "sk": { "S": "\u{1e}2013-01-01" } });
        proxy.dynamodb("PutItem", json!({ "TableName": "rollups", "Item": item })).await;
    }
    let headers = [("content-type", "application/json"), ("authorization", KEY)];
    let batch = json!({ "events": (0..30).map(event_at).collect::<Vec<_>>() }).to_string();
    assert_eq!(send(&host.url(), "POST", "/events/batch", &headers, batch).await.status, 200);
    let is_of_b = || proxy.last.lock().unwrap().to_string().contains("\"b#");
    while !is_of_b() {
        assert!(started.elapsed() < Duration::from_secs(60), "no day of b is compacted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    host.stop().await.unwrap();
}
