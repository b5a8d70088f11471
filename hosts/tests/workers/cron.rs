//! The cron trigger: what is deleted when it fires, and that nothing else is.

use std::time::SystemTime;

use super::services::{accepted, batch, count, numbered, service, start_with, until, until_backed_up};
use super::*;

/// One fixed moment for every answer, so that equal reports have equal bytes.
const STAMP: (&str, &str) = ("x-isotherm-test-stamp", "1795000000000.00000000000000000000000000000001");
/// An age at which events have expired: a year.
const LONG: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Makes the cron trigger of wrangler.toml fire, as if its time had come.
pub(crate) async fn fire(data: &Path) {
    let clock = service(data, "POST", "/clock/cron?advance=0", Value::Null).await;
    let wait = clock["at"]["EVENTS"].as_i64().unwrap() - clock["now"].as_i64().unwrap();
    // Stop shortly before that moment. At the moment itself, the trigger would be planned for the next hour.
    service(data, "POST", &format!("/clock/cron?advance={}", wait - 200), Value::Null).await;
}

/// Sends a batch that was received long ago, and returns the ids of its events.
pub(crate) async fn accepted_long_ago(url: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    batch_long_ago(url, numbers.clone(), batch(numbers)).await
}

/// Sends a batch of so many events that was received long ago, and returns their ids.
pub(crate) async fn batch_long_ago(url: &str, numbers: std::ops::Range<usize>, batch: String) -> Vec<String> {
    let long_ago = (SystemTime::now() - LONG).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let stamp = format!("{}.{:032x}", long_ago.as_millis(), numbers.start);
    let headers = [("content-type", "application/json"), (STAMP.0, &stamp)];
    let answer = send(url, "POST", "/events/batch", &headers, batch).await.json();
    assert_eq!(answer["accepted"], json!(numbers.len()), "{answer}");
    let id = |result: &Value| result["eventId"].as_str().unwrap().to_owned();
    answer["results"].as_array().unwrap().iter().map(id).collect()
}

async fn found(host: &Host, ids: &[String]) -> usize {
    let mut found = 0;
    for id in ids {
        let answer = send_as(&host.url(), "GET", &format!("/events/{id}"), "", "").await;
        assert!(matches!(answer.status, 200 | 404), "{:?}", answer.body);
        found += usize::from(answer.status == 200);
    }
    found
}

/// The number of events in the shards' tables.
async fn kept(host: &Host) -> u64 {
    host.meters().await.unwrap().events_stored
}

async fn reports(host: &Host) -> Vec<Bytes> {
    let mut reports = Vec::new();
    for path in [
        "/reports/summary?metrics=count,users,sum:n,p95:n",
        "/reports/timeseries?interval=hour&metrics=count,sum:n",
        "/reports/timeseries?interval=day&metrics=count,users,p95:n",
        "/reports/timeseries?interval=day&tz=America/New_York&metrics=count,users",
        "/reports/timeseries?interval=month&groupBy=kind&metrics=count,min:n,max:n",
        "/reports/top?dimension=kind&metrics=count,users,sum:n",
    ] {
        let path = format!("{path}&from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z");
        let answer = send(&host.url(), "GET", &path, &[STAMP], "").await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        reports.push(answer.body);
    }
    reports
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_the_same_after_the_trigger_and_count_what_comes_late() {
    let artifact = built("test", "workers");
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = start_with(&artifact, data.path(), isotherm_hosts::OPEN).await;
    let mut all = Vec::new();
    // The second round adds to days that are already compacted.
    for from in [0, 600] {
        let old = accepted_long_ago(&host.url(), from..from + 300).await;
        let young = accepted(&host.url(), from + 300..from + 600).await;
        all.extend_from_slice(&old);
        all.extend_from_slice(&young);
        assert_eq!(count(&host.url()).await, all.len() as u64);
        until_backed_up(data.path(), all.clone()).await;
        // Expired events are not found, whether they are deleted or not.
        assert_eq!((found(&host, &old).await, found(&host, &young).await), (0, 300));
        let before = reports(&host).await;

        fire(data.path()).await;
        until("what has expired is deleted", async || kept(&host).await == all.len() as u64 / 2).await;
        assert_eq!(found(&host, &young).await, 300);
        assert_eq!(reports(&host).await, before);
        assert_eq!(count(&host.url()).await, all.len() as u64);
    }
    let before = reports(&host).await;
    host.stop().await.unwrap();
    let host = start_with(&artifact, data.path(), isotherm_hosts::OPEN).await;
    assert_eq!(reports(&host).await, before);
    host.stop().await.unwrap();
    assert_eq!(workerds_of(data.path()), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_has_forgotten_all_it_had_counts_what_comes_next() {
    let artifact = built("test", "workers");
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = start_with(&artifact, data.path(), r#"{"open": true, "shards": 1}"#).await;
    let mut ids = accepted_long_ago(&host.url(), 0..20).await;
    until_backed_up(data.path(), ids.clone()).await;
    fire(data.path()).await;
    until("all are deleted", async || kept(&host).await == 0).await;
    ids.extend(accepted(&host.url(), 20..25).await);
    until_backed_up(data.path(), ids).await;
    assert_eq!(count(&host.url()).await, 25);
    let again = send_as(&host.url(), "POST", "/events", "application/json", numbered(25).to_string()).await;
    assert_eq!(again.status, 202);
    assert_eq!(count(&host.url()).await, 26);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_kept_for_less_long_than_those_before_them_are_deleted() {
    let artifact = built("test", "workers");
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let config = r#"{"open": true, "shards": 1, "retention": {"*": 3650, "short": 30}}"#;
    let host = start_with(&artifact, data.path(), config).await;
    // More events than one task looks at.
    let mut ids = Vec::new();
    for from in (0..10_500).step_by(500) {
        ids.extend(accepted_long_ago(&host.url(), from..from + 500).await);
    }
    let short = batch(20_000..20_030).replace(r#""eventType":"t""#, r#""eventType":"short""#);
    let short = batch_long_ago(&host.url(), 20_000..20_030, short).await;
    ids.extend(short.iter().cloned());
    until_backed_up(data.path(), ids.clone()).await;
    assert_eq!((found(&host, &ids[..20]).await, found(&host, &short).await), (20, 0));
    fire(data.path()).await;
    until("what has expired is deleted", async || kept(&host).await == 10_500).await;
    assert_eq!(found(&host, &ids[..20]).await, 20);
    host.stop().await.unwrap();
}
