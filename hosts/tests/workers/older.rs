//! A shard that an older version has filled. That version kept each event in a row of its own.
//!
//! The fixture is the database of a tenant's only shard. It has 20 events `k…` and 5 that have expired, `x…`, all folded,
//! and 5 that are not folded, `u…`. All but the expired ones were received in 2100, so that they outlast every test.

use super::cron::fire;
use super::rows;
use super::services::{start_with, until};
use super::*;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workers/data/version-1.sqlite");
/// The file of the object `default/0`.
const OBJECT: &str = "isotherm-shard/2aa479a47e0e47407b0e3e66198371d3846ac0edd5233d04827b49fe639c33bc.sqlite";
const STAMP: &str = "x-isotherm-test-stamp";

/// An event of the fixture. `number` makes its content.
fn event_of(name: &str, number: usize) -> Value {
    json!({ "messageId": name, "userId": "u1", "eventType": "t", "properties": { "n": number } })
}

/// Sends an event as if it were 2100.
async fn send_late(host: &Host, event: &Value) -> Answer {
    let headers = [("content-type", "application/json"), (STAMP, "4102444800000.00000000000000000000000000000009")];
    send(&host.url(), "POST", "/events", &headers, event.to_string()).await
}

async fn find(host: &Host, id: &str) -> Answer {
    send_as(&host.url(), "GET", &format!("/events/{id}"), "", "").await
}

async fn count(host: &Host) -> u64 {
    let path = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-01-02T00:00:00Z&metrics=count";
    let mut counts = 0;
    for path in [path.to_owned(), path.replace("2013-", "2100-")] {
        let answer = send_as(&host.url(), "GET", &path, "", "").await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        counts += answer.json()["rows"][0]["count"].as_u64().unwrap_or_default();
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_version_has_kept_is_there() {
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    std::fs::create_dir(data.path().join("isotherm-shard")).unwrap();
    std::fs::copy(FIXTURE, data.path().join(OBJECT)).unwrap();
    let host = start_with(&built("test", "workers"), data.path(), r#"{"open": true, "shards": 1}"#).await;
    assert_eq!(count(&host).await, 30);
    let names =
        |prefix: &'static str, count: usize| (0..count).map(move |number| (format!("{prefix}{number}"), number));
    // Repetitions and conflicts are told, folded or not; who has expired makes way.
    for (name, number) in names("k", 20).chain(names("u", 5)) {
        let again = send_late(&host, &event_of(&name, number)).await;
        assert_eq!((again.status, &again.json()["duplicate"]), (202, &json!(true)), "{name}");
        assert_eq!(send_late(&host, &event_of(&name, number + 1)).await.status, 409, "{name}");
        let found = find(&host, again.json()["eventId"].as_str().unwrap()).await;
        assert_eq!((found.status, &found.json()["messageId"]), (200, &json!(name)));
        assert_eq!(found.json()["receivedAt"], json!("2100-01-01T00:00:00.000Z"));
    }
    let mut renewed = Vec::new();
    for (name, number) in names("x", 2) {
        let new = send_late(&host, &event_of(&name, number + 7)).await;
        assert_eq!((new.status, &new.json()["duplicate"]), (202, &Value::Null), "{name}");
        renewed.push((new.json()["eventId"].as_str().unwrap().to_owned(), number + 7));
    }
    assert_eq!(count(&host).await, 32);
    until("all is folded", async || rows::unfolded(data.path()) == 0).await;
    assert_eq!(count(&host).await, 32);
    fire(data.path()).await;
    until("rows that have expired are deleted", async || host.meters().await.unwrap().events_stored == 27).await;
    for (id, number) in renewed {
        assert_eq!(find(&host, &id).await.json()["properties"]["n"], json!(number));
    }
    assert_eq!(count(&host).await, 32);
    host.stop().await.unwrap();
}
