//! The raw backup in S3.

use std::collections::BTreeMap;

use super::reports::{counted, event_at, send_events};
use super::*;

/// The lines of each object in the bucket, by key.
fn objects(data: &Path) -> BTreeMap<String, Vec<String>> {
    let (bucket, mut objects) = (data.join("backup/events"), BTreeMap::new());
    let mut folders = vec![bucket.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let unpacked = std::process::Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
            assert!(unpacked.status.success(), "{unpacked:?}");
            let lines = String::from_utf8(unpacked.stdout).unwrap().lines().map(str::to_owned).collect();
            objects.insert(path.strip_prefix(&bucket).unwrap().to_str().unwrap().to_owned(), lines);
        }
    }
    objects
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_in_the_backup() {
    let (artifact, data) = (built("release", "lambda"), tempfile::tempdir().unwrap());
    let host = start(&artifact, Some(data.path())).await;
    for start in [0, 400, 800] {
        send_events(&host.url(), start..start + 400).await;
    }
    counted(&host.url(), 1200).await;
    let objects = objects(data.path());
    assert!(objects.keys().all(|key| key.starts_with("default/20") && key.ends_with(".ndjson.gz")), "{objects:?}");
    let mut events = BTreeMap::new();
    for line in objects.into_values().flatten() {
        let id = serde_json::from_str::<Value>(&line).unwrap()["eventId"].as_str().unwrap().to_owned();
        events.insert(id, line);
    }
    assert_eq!(events.len(), 1200);
    // Each line equals the answer to a request for its event.
    for (id, line) in events.into_iter().step_by(100) {
        assert_eq!(send(&host.url(), "GET", &format!("/events/{id}"), &[], "").await.body, line);
    }
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_overwrites_itself() {
    let (artifact, data) = (built("release", "lambda"), tempfile::tempdir().unwrap());
    let host = start(&artifact, Some(data.path())).await;
    for n in 0..3 {
        // Each event gets its own window, so that batches are cut the same way when the stream is read again.
        send_events(&host.url(), n..n + 1).await;
        counted(&host.url(), n + 1).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    host.stop().await.unwrap();
    let before = objects(data.path());
    assert_eq!(before.len(), 3);
    // The replay must put these objects again.
    for key in before.keys() {
        std::fs::remove_file(data.path().join("backup/events").join(key)).unwrap();
    }
    std::fs::remove_file(data.path().join("aggregate.positions.json")).unwrap();
    let host = start(&artifact, Some(data.path())).await;
    send_events(&host.url(), 3..4).await;
    counted(&host.url(), 4).await;
    // Each shard is read again independently.
    let started = Instant::now();
    while before.keys().any(|key| !data.path().join("backup/events").join(key).exists()) {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", objects(data.path()).keys());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    host.stop().await.unwrap();
    let mut after = objects(data.path());
    after.retain(|_, lines| !lines[0].contains(&format!("{:?}", event_at(3)["messageId"].as_str().unwrap())));
    assert_eq!(after, before);
}
