//! A configuration that is in a KV namespace.

use super::services::{objects, start_with, until};
use super::*;
use crate::common::run_apart;

const NAMESPACE: (&str, &str) = ("ISOTHERM_CONFIG_KV", "namespace");
/// It has the SHA-256 of "a key of the tests".
const KEYED: &str = r#"{"version":2,"keys":[{"sha256":"773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1","tenant":"acme","scope":"both"}],
    "dimensions":{"flight":["carrier"]}}"#;

async fn ask(host: &Host, method: &str, path: &str, key: &str, body: &str) -> Answer {
    let headers = [("content-type", "application/json"), ("authorization", key)];
    send(&host.url(), method, path, &headers, body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_cannot_be_read_is_tried_again_and_then_kept() {
    if std::env::var(NAMESPACE.0).is_err() {
        let name = "configuration::a_namespace_that_cannot_be_read_is_tried_again_and_then_kept";
        let printed = run_apart(name, &[NAMESPACE]);
        let reasons =
            ["ISOTHERM_CONFIG_KV has no key", "cannot read ISOTHERM_CONFIG_KV", "configuration: there are no keys"];
        assert!(reasons.iter().all(|reason| printed.contains(reason)), "{printed}");
        return;
    }
    let (artifact, data) = (built("release", "workers"), tempfile::tempdir().unwrap());
    let value = data.path().join("namespace/config");
    // The host passes a text as well, and it opens the service. The namespace goes before it.
    let host = start_with(&artifact, data.path(), isotherm_hosts::OPEN).await;
    let key = "Bearer a key of the tests";
    let event = json!({ "userId": "u", "eventType": "flight", "timestamp": "2013-01-01T00:00:00Z",
        "properties": { "carrier": "UA", "dest": "ATL" } });
    let status = async |key: &str| ask(&host, "POST", "/events", key, &event.to_string()).await.status;
    assert_eq!(ask(&host, "GET", "/healthz", key, "").await.status, 200);
    assert_eq!(status(key).await, 503);
    // The key's value can't be read: the namespace answers neither 200 nor 404.
    std::os::unix::fs::symlink("/dev/null", &value).unwrap();
    assert_eq!(status(key).await, 503);
    std::fs::remove_file(&value).unwrap();
    std::fs::write(&value, r#"{"keys":[]}"#).unwrap();
    assert_eq!(status(key).await, 503);
    std::fs::write(&value, KEYED).unwrap();
    assert_eq!(status(key).await, 202);
    assert_eq!(status("Bearer another key that is none").await, 401);
    // The isolate has read it and does not read it again.
    std::fs::remove_file(&value).unwrap();
    assert_eq!(status(key).await, 202);
    // The shards go by it, too: of this event type they fold no other dimension.
    let top = async |dimension: &str| {
        let path = format!("/reports/top?dimension={dimension}&from=2013-01-01T00:00:00Z&to=2013-01-02T00:00:00Z");
        ask(&host, "GET", &path, key, "").await.json()["rows"].clone()
    };
    until("both events are backed up", async || objects(data.path()).values().flatten().count() == 2).await;
    // The fold that has backed them up writes its pages right after that.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(top("carrier").await, json!([{ "value": "UA", "count": 2 }]));
    assert_eq!(top("dest").await, json!([]));
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_folds_nothing_while_the_namespace_cannot_be_read() {
    if std::env::var(NAMESPACE.0).is_err() {
        let name = "configuration::a_shard_folds_nothing_while_the_namespace_cannot_be_read";
        let printed = run_apart(name, &[NAMESPACE]);
        assert!(printed.contains("events cannot be folded: the configuration could not be read"), "{printed}");
        return;
    }
    let (artifact, data) = (built("release", "workers"), tempfile::tempdir().unwrap());
    let value = data.path().join("namespace/config");
    let host = start_with(&artifact, data.path(), isotherm_hosts::OPEN).await;
    let keyed = KEYED.replacen("{", r#"{"shards":1,"#, 1);
    std::fs::write(&value, &keyed).unwrap();
    let key = "Bearer a key of the tests";
    let event = json!({ "userId": "u", "eventType": "flight", "timestamp": "2013-01-01T00:00:00Z",
        "properties": { "carrier": "UA", "dest": "ATL" } });
    let status = async |host: &Host| ask(host, "POST", "/events", key, &event.to_string()).await.status;
    assert_eq!(status(&host).await, 202);
    host.stop().await.unwrap(); // before the alarm
    std::fs::remove_file(&value).unwrap();
    std::os::unix::fs::symlink("/dev/null", &value).unwrap();
    let host = start_with(&artifact, data.path(), isotherm_hosts::OPEN).await;
    // The alarm is due 10 s after the event.
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!(status(&host).await, 503);
    assert_eq!(objects(data.path()).len(), 0);
    std::fs::remove_file(&value).unwrap();
    std::fs::write(&value, keyed).unwrap();
    // The shard is the same one as before, and its alarm tries again.
    until("the event is backed up", async || objects(data.path()).values().flatten().count() == 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (dimension, rows) in [("carrier", json!([{ "value": "UA", "count": 1 }])), ("dest", json!([]))] {
        let path = format!("/reports/top?dimension={dimension}&from=2013-01-01T00:00:00Z&to=2013-01-02T00:00:00Z");
        assert_eq!(ask(&host, "GET", &path, key, "").await.json()["rows"], rows);
    }
    host.stop().await.unwrap();
}
