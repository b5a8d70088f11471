//! A stream whose shards close and split while events flow.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::proxy::behind_a_proxy;
use super::*;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const REPORT: &str = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-01-02T00:00:00Z&metrics=count,users";

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

async fn send_some(url: &str, count: usize) {
    let event = json!({ "userId": "u", "eventType": "t", "timestamp": "2013-01-01T10:00:00Z", "properties": {} });
    let batch = json!({ "events": vec![event; count] }).to_string();
    let answer = send(url, "POST", "/events/batch", &JSON, batch).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (200, &json!(count)), "{:?}", answer.body);
}

/// The number of events that a report counts, and the time up to which it says that it is complete.
async fn report(url: &str) -> (usize, jiff::Timestamp) {
    let answer = send(url, "GET", REPORT, &[], "").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let report = answer.json();
    let count = report["rows"][0]["count"].as_u64().unwrap_or_default() as usize;
    (count, report["asOf"].as_str().unwrap().parse().unwrap())
}

/// Waits until all events are counted and `asOf` has passed the time of this call, less 3 s. A later `asOf` may never
/// come: a closed shard whose children have no events is not known yet.
async fn complete(url: &str, count: usize) {
    let (sent, started) = (now() - Duration::from_secs(3), Instant::now());
    loop {
        let (counted, as_of) = report(url).await;
        assert!(counted <= count, "{counted} of {count}");
        if counted == count && as_of >= sent {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{counted} of {count}, as of {as_of}, sent at {sent}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn shards(data: &Path) -> Vec<Value> {
    let kept: Value = serde_json::from_slice(&std::fs::read(data.join("shards.json")).unwrap()).unwrap();
    kept["shards"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_say_how_far_they_are_complete_while_shards_close_and_split() {
    let name = "shards::reports_say_how_far_they_are_complete_while_shards_close_and_split";
    if !has_variables(name, &[("ISOTHERM_SHARD_SECONDS", "3"), ("ISOTHERM_SHARDS", "6")]) {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let host = start(&built("release", "lambda"), Some(data.path())).await;
    // Pairs of a time and the number of events that had been accepted by then.
    let accepted: Arc<Mutex<Vec<(jiff::Timestamp, usize)>>> = Arc::default();
    let (url, sender) = (host.url(), Arc::clone(&accepted));
    let sending = tokio::spawn(async move {
        for round in 1..=300 {
            send_some(&url, 10).await;
            sender.lock().unwrap().push((now(), 10 * round));
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    });
    let mut lags = Vec::new();
    let started = Instant::now();
    while !sending.is_finished() {
        let asked = now();
        let (counted, as_of) = report(&host.url()).await;
        let covered = accepted.lock().unwrap().iter().rfind(|(at, _)| *at < as_of).map_or(0, |(_, count)| *count);
        assert!(counted >= covered, "{counted} of {covered} events that were accepted before {as_of}");
        // Nothing is folded during the first seconds.
        if started.elapsed() > Duration::from_secs(4) {
            lags.push(asked.duration_since(as_of).as_millis());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    sending.await.unwrap();
    lags.sort_unstable();
    let (median, most) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    let of_20 = lags[lags.len() * 19 / 20];
    let came = shards(data.path()).len();
    println!(
        "asOf behind now: median {median} ms, 19 of 20 within {of_20} ms, at most {most} ms, of {} reports; {came} shards",
        lags.len()
    );
    assert!(came > 12, "{came} shards");
    // Windows are a second long, and a record's time is in whole seconds. Runs have shown medians of 0.7 to 0.9 s and at
    // most 1.4 to 6.9 s. The bounds allow for a machine that is four times as busy.
    assert!(median < 4_000 && most < 28_000, "{lags:?}");
    complete(&host.url(), 3000).await;
    assert_eq!(queue_of(data.path(), "records-dead"), [Value::Null; 0]);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_and_compactions_read_no_more_because_shards_have_come_and_gone() {
    let name = "shards::reports_and_compactions_read_no_more_because_shards_have_come_and_gone";
    let variables = [("ISOTHERM_SHARD_SECONDS", "0.7"), ("ISOTHERM_SHARDS", "4"), ("ISOTHERM_SCHEDULE_SECONDS", "0.5")];
    if !has_variables(name, &variables) {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (artifact, proxy) = behind_a_proxy("schedule", "Query").await;
    let host = start(artifact.path(), Some(data.path())).await;
    // Returns the queries and the read units of one report, and the queries of one run of the schedule.
    let reads = async || {
        let schedules = |meters: &isotherm_hosts::Meters| meters.functions.get("schedule").map_or(0, |runs| runs.count);
        let mut least = (u64::MAX, u64::MAX);
        // Some reports run while the schedule queries. Only the others count.
        for _ in 0..30 {
            let (before, others) = (host.meters().await.unwrap(), proxy.requests.load(Ordering::SeqCst));
            report(&host.url()).await;
            let others = proxy.requests.load(Ordering::SeqCst) - others;
            let since = host.meters().await.unwrap().since(&before);
            let sizes = &since.store["rollups/query"];
            if others == 0 {
                least = least
                    .min((sizes.values().sum(), sizes.iter().map(|(size, count)| size.div_ceil(4096) * count).sum()));
            }
            tokio::time::sleep(Duration::from_millis(35)).await;
        }
        assert!(least.0 < u64::MAX, "the schedule ran beside each report");
        let (before, queries) = (host.meters().await.unwrap(), proxy.requests.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_secs(5)).await;
        let runs = schedules(&host.meters().await.unwrap()) - schedules(&before);
        let queries = proxy.requests.load(Ordering::SeqCst) - queries;
        (least, queries as f64 / runs as f64)
    };
    let mut sent = 0;
    while sent < 200 {
        send_some(&host.url(), 20).await;
        sent += 20;
    }
    complete(&host.url(), sent).await;
    let before = reads().await;
    let known =
        |all: &mut BTreeSet<String>| all.extend(shards(data.path()).iter().map(|shard| shard["id"].to_string()));
    let (mut came, started) = (BTreeSet::new(), Instant::now());
    while came.len() < 104 {
        assert!(started.elapsed() < Duration::from_secs(180), "{} shards", came.len());
        send_some(&host.url(), 20).await;
        sent += 20;
        known(&mut came);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    complete(&host.url(), sent).await;
    let after = reads().await;
    println!(
        "after {} shards: ((queries of a report, its read units), queries of a compaction) {before:?}, then {after:?}",
        came.len()
    );
    assert!(after.0.0 <= before.0.0 && after.0.1 <= before.0.1 + 1, "reports: {before:?}, then {after:?}");
    assert!(after.1 <= before.1 * 1.3 + 2.0, "compactions: {before:?}, then {after:?}");
    host.stop().await.unwrap();
}
