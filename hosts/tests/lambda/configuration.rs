//! A configuration that is an object in S3.

use super::*;

const OBJECT: (&str, &str) = ("ISOTHERM_CONFIG_S3", "s3://config/isotherm.json");
/// It has the SHA-256 of "a key of the tests".
const KEYED: &str = r#"{"version":2,"keys":[{"sha256":"773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1","tenant":"acme","scope":"both"}]}"#;

async fn status(host: &Host, key: &str) -> u16 {
    let headers = [("content-type", "application/json"), ("authorization", key)];
    let event = r#"{"userId":"u","eventType":"t","properties":{}}"#;
    send(&host.url(), "POST", "/events", &headers, event).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_is_tried_again_and_then_kept() {
    if std::env::var(OBJECT.0).is_err() {
        let name = "configuration::an_object_that_cannot_be_read_is_tried_again_and_then_kept";
        let printed = run_apart(name, &[OBJECT]);
        let reasons = ["the object that ISOTHERM_CONFIG_S3 names does not exist", "configuration: there are no keys"];
        assert!(reasons.iter().all(|reason| printed.contains(reason)), "{printed}");
        return;
    }
    let (artifact, data) = (built("release", "lambda"), tempfile::tempdir().unwrap());
    let bucket = data.path().join("backup/config");
    std::fs::create_dir_all(&bucket).unwrap();
    // The host passes a text as well, and it opens the service. The object goes before it.
    let host = start(&artifact, Some(data.path())).await;
    let key = "Bearer a key of the tests";
    assert_eq!(send(&host.url(), "GET", "/healthz", &[], "").await.status, 200);
    assert_eq!(status(&host, key).await, 503);
    std::fs::write(bucket.join("isotherm.json"), r#"{"keys":[]}"#).unwrap();
    assert_eq!(status(&host, key).await, 503);
    std::fs::write(bucket.join("isotherm.json"), KEYED).unwrap();
    assert_eq!(status(&host, key).await, 202);
    assert_eq!(status(&host, "Bearer another key that is none").await, 401);
    // The environment has read it and does not read it again.
    std::fs::remove_file(bucket.join("isotherm.json")).unwrap();
    assert_eq!(status(&host, key).await, 202);
    host.stop().await.unwrap();
}
