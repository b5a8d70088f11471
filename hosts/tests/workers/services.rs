//! The bucket and the queue that the platform has beside the artifact. The cron trigger is in `cron.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use super::*;

/// How long a test waits for something before it fails.
const WITHIN: Duration = Duration::from_secs(60);
const ALL: &str = "from=2013-01-01T00:00:00Z&to=2013-03-01T00:00:00Z&metrics=count,sum:n,users";

/// The event with this number. Consecutive numbers lie in different hours. It has no message id, so its stamp alone
/// determines its id.
pub(crate) fn numbered(n: usize) -> Value {
    let time = format!("2013-01-{:02}T{:02}:10:00Z", 1 + n / 24 % 28, n % 24);
    let kind = ["a", "b", "c"][n % 3];
    json!({ "userId": format!("u{}", n % 7), "eventType": "t", "timestamp": time,
        "properties": { "n": n, "kind": kind } })
}

pub(crate) fn batch(numbers: std::ops::Range<usize>) -> String {
    json!({ "events": numbers.map(numbered).collect::<Vec<_>>() }).to_string()
}

/// Sends a batch that must be accepted, and returns the ids of its events.
pub(crate) async fn accepted(url: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    let answer = send_as(url, "POST", "/events/batch", "application/json", batch(numbers.clone())).await.json();
    assert_eq!(answer["accepted"], json!(numbers.len()), "{answer}");
    let id = |result: &Value| result["eventId"].as_str().unwrap().to_owned();
    answer["results"].as_array().unwrap().iter().map(id).collect()
}

pub(crate) async fn summary(url: &str) -> Value {
    let answer = send_as(url, "GET", &format!("/reports/summary?{ALL}"), "", "").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()["rows"][0].clone()
}

pub(crate) async fn count(url: &str) -> u64 {
    summary(url).await["count"].as_u64().unwrap_or_default()
}

/// The address at which the host's services answer. services.rs of the host writes it to this file.
fn services(data: &Path) -> String {
    std::fs::read_to_string(data.join("services.url")).unwrap()
}

pub(crate) async fn service(data: &Path, method: &str, path: &str, body: Value) -> Value {
    let answer = send_as(&services(data), method, path, "application/json", body.to_string()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()
}

/// Sends a message to the queue.
async fn message(data: &Path, body: &str) {
    let message = json!({ "body": { "path": "/events", "contentType": "application/json", "body": body } });
    assert_eq!(service(data, "POST", "/messages", message).await["success"], json!(true));
}

/// The number of messages in the queue, and in its dead-letter queue.
async fn backlog(data: &Path) -> [u64; 2] {
    let queues = service(data, "GET", "/queues", Value::Null).await;
    ["queue", "dead"].map(|queue| queues[queue]["backlogCount"].as_u64().unwrap())
}

/// Polls until `is_so` holds.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < WITHIN, "not within {WITHIN:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The records of each object in the bucket, unpacked by gzip, by key.
pub(crate) fn objects(data: &Path) -> BTreeMap<String, Vec<Value>> {
    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }
    let bucket = data.join("backup");
    let mut found = Vec::new();
    files(&bucket, &mut found);
    // The bucket writes a temporary file beside an object before it moves it there.
    found.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
    let object = |path: PathBuf| {
        let unpacked = Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
        assert!(unpacked.status.success(), "{}: {unpacked:?}", path.display());
        let lines = String::from_utf8(unpacked.stdout).unwrap();
        let records = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (path.strip_prefix(&bucket).unwrap().display().to_string(), records)
    };
    found.into_iter().map(object).collect()
}

/// The sorted ids of all events in the bucket. An event that is there twice appears twice.
fn backed_up(data: &Path) -> Vec<String> {
    let mut ids: Vec<String> = objects(data)
        .into_values()
        .flatten()
        .map(|record: Value| record["eventId"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

pub(crate) async fn until_backed_up(data: &Path, mut ids: Vec<String>) {
    ids.sort();
    until("every event is in the bucket", async || backed_up(data).len() >= ids.len()).await;
    assert_eq!(backed_up(data), ids);
}

pub(crate) async fn start_with(artifact: &Path, data: &Path, config: &str) -> Host {
    let config = config.to_owned();
    let (artifact, data) = (artifact.to_owned(), Some(data.to_owned()));
    let options = Options { artifact, port: 0, data, config, cluster: None, log_requests: false };
    Host::start(Platform::Workers, &options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_delivered_again_counts_once() {
    let artifact = built("release", "workers");
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = start(&artifact, Some(data.path())).await;
    let sent =
        |id: &str, body: Value| json!({ "id": id, "timestamp": 1_700_000_000_000_u64, "attempts": 1, "body": body });
    let messages = json!({ "messages": [
        sent("one", json!({ "body": numbered(0).to_string() })),
        sent("text", json!(json!({ "contentType": "application/json", "body": numbered(1).to_string() }).to_string())),
        sent("batch", json!({ "path": "/events/batch", "contentType": "application/json", "body": batch(2..30) })),
        sent("incomplete", json!({ "path": "/events", "contentType": "application/json", "body": "{\"userId\":\"u\"}" })),
        sent("elsewhere", json!({ "path": "/reports/summary", "body": "" })),
        sent("nothing", json!(7)),
        sent("no JSON", json!("{")),
    ] });
    for _ in 0..3 {
        let outcome = service(data.path(), "POST", "/cdn-cgi/handler/queue", messages.clone()).await;
        assert_eq!(outcome["outcome"], "ok", "{outcome}");
        let mut acknowledged: Vec<&str> =
            outcome["explicitAcks"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        acknowledged.sort_unstable();
        assert_eq!(acknowledged, ["batch", "one", "text"], "{outcome}");
        assert_eq!(outcome["retryMessages"].as_array().unwrap().len(), 4, "{outcome}");
        assert_eq!(count(&host.url()).await, 30);
    }
    host.stop().await.unwrap();
    assert_eq!(workerds_of(data.path()), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_ends_in_the_dead_letter_queue_and_others_go_on() {
    let artifact = built("release", "workers");
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = start(&artifact, Some(data.path())).await;
    message(data.path(), "{\"eventType\":\"t\"}").await;
    for n in 0..50 {
        message(data.path(), &numbered(n).to_string()).await;
    }
    until("all but one are counted", async || count(&host.url()).await == 50).await;
    until("all but one are acknowledged", async || backlog(data.path()).await == [1, 0]).await;
    until("the refused one is a dead letter", async || {
        service(data.path(), "POST", "/clock/queue?advance=30000", Value::Null).await;
        backlog(data.path()).await == [0, 1]
    })
    .await;
    assert_eq!(count(&host.url()).await, 50);
    // Each of the fifty messages was written, read and deleted. The refused one was written, read six times, written to
    // the other queue and deleted.
    assert_eq!(host.meters().await.unwrap().queue_operations, 3 * 50 + 9);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_survive_kill_9_and_count_once() {
    const ROUNDS: usize = 4;
    const MESSAGES: usize = 50;
    let artifact = built("release", "workers");
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    for round in 0..ROUNDS {
        let host = start(&artifact, Some(data.path())).await;
        for n in round * MESSAGES..(round + 1) * MESSAGES {
            message(data.path(), &numbered(n).to_string()).await;
        }
        // Each round kills at another moment of the delivery.
        tokio::time::sleep(Duration::from_millis(400 * round as u64)).await;
        kill_all(data.path());
        drop(host);
        until("they are gone", async || workerds_of(data.path()).is_empty()).await;
    }
    let host = start(&artifact, Some(data.path())).await;
    until("all are delivered", async || {
        // A delivery that reached nobody is retried half a minute later.
        service(data.path(), "POST", "/clock/queue?advance=1000", Value::Null).await;
        backlog(data.path()).await[0] == 0
    })
    .await;
    assert_eq!(backlog(data.path()).await, [0, 0]);
    let sum = (0..ROUNDS * MESSAGES).sum::<usize>();
    let row = summary(&host.url()).await;
    assert_eq!((&row["count"], &row["sum:n"]), (&json!(ROUNDS * MESSAGES), &json!(sum)));
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_event_is_backed_up_once_under_kill_9() {
    let artifact = built("release", "workers");
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let mut ids = Vec::new();
    for round in 0..4 {
        let host = start(&artifact, Some(data.path())).await;
        ids.extend(accepted(&host.url(), round * 500..(round + 1) * 500).await);
        // Kill at about the time when the shards fold.
        tokio::time::sleep(Duration::from_millis(9_970 + 20 * round as u64)).await;
        kill_all(data.path());
        drop(host);
        until("they are gone", async || workerds_of(data.path()).is_empty()).await;
    }
    let host = start(&artifact, Some(data.path())).await;
    until_backed_up(data.path(), ids).await;
    assert_eq!(count(&host.url()).await, 2000);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fold_that_is_done_again_overwrites_its_object() {
    let artifact = built("release", "workers");
    let config = r#"{"open": true, "shards": 1}"#;
    let _turn = beside().await;
    for _ in 0..5 {
        let (data, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let host = start_with(&artifact, data.path(), config).await;
        let mut ids = accepted(&host.url(), 0..100).await;
        kill_all(data.path());
        drop(host);
        until("they are gone", async || workerds_of(data.path()).is_empty()).await;
        if !objects(data.path()).is_empty() {
            continue; // This took longer than a fold waits, so try again.
        }
        copy(&data.path().join("isotherm-shard"), before.path());

        let host = start_with(&artifact, data.path(), config).await;
        until_backed_up(data.path(), ids.clone()).await;
        host.stop().await.unwrap();
        let first = objects(data.path());
        assert_eq!(first.len(), 1);

        // This state is as after a kill between the object and the fold. Another event comes before the next fold.
        std::fs::remove_dir_all(data.path().join("isotherm-shard")).unwrap();
        copy(before.path(), &data.path().join("isotherm-shard"));
        let host = start_with(&artifact, data.path(), config).await;
        ids.extend(accepted(&host.url(), 100..101).await);
        until_backed_up(data.path(), ids).await;
        let second = objects(data.path());
        let key = first.keys().next().unwrap();
        assert!(key.starts_with("default/") && key.ends_with(".ndjson.gz"), "{key}");
        assert_eq!(second[key][..100], first[key][..]);
        assert_eq!(count(&host.url()).await, 101);
        host.stop().await.unwrap();
        return;
    }
    panic!("this machine is too slow to stop a shard before it folds");
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success(), "cannot copy {} to {}", from.display(), to.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_fails_delays_folding_and_loses_nothing() {
    let artifact = built("release", "workers");
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    // A file lies where the bucket would make a folder.
    let folder = data.path().join("backup/default");
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::write(&folder, "").unwrap();
    let host = start(&artifact, Some(data.path())).await;
    let mut ids = accepted(&host.url(), 0..300).await;
    // This is longer than a shard delays folding.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(objects(data.path()).is_empty());
    assert_eq!(count(&host.url()).await, 300);
    std::fs::remove_file(&folder).unwrap();
    ids.extend(accepted(&host.url(), 300..400).await);
    until_backed_up(data.path(), ids).await;
    assert_eq!(count(&host.url()).await, 400);
    host.stop().await.unwrap();
}
