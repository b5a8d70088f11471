//! Damage in a shard's database: it costs what the damaged bytes hold, and nothing else.

use rusqlite::Connection;

use super::services::{start_with, until};
use super::*;
use crate::rows::unfolded;

const CONFIG: &str = r#"{"open": true, "shards": 1}"#;
const ALL: &str = "from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z";

/// Sends a batch of these events, and returns how many of them have each status.
async fn statuses(host: &Host, numbers: std::ops::Range<usize>) -> [usize; 3] {
    let event = |n: usize| {
        let kind = ["a", "b"][n % 2];
        json!({ "messageId": format!("m{n}"), "userId": "u", "eventType": "t", "timestamp": "2013-01-01T00:10:00Z",
            "properties": { "kind": kind } })
    };
    let batch = json!({ "events": numbers.map(event).collect::<Vec<_>>() }).to_string();
    let answer = send_as(&host.url(), "POST", "/events/batch", "application/json", batch).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let results = answer.json()["results"].as_array().unwrap().clone();
    ["accepted", "duplicate", "retry"].map(|status| results.iter().filter(|one| one["status"] == status).count())
}

async fn report(host: &Host, path: &str) -> Value {
    let answer = send_as(&host.url(), "GET", &format!("/reports/{path}{ALL}"), "", "").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()
}

async fn until_folded(data: &Path) {
    until("all is folded", async || unfolded(data) == 0).await;
}

/// Changes rows of the stopped host's only shard. Returns how many. workerd's own database beside it has no such table.
fn damage(data: &Path, statement: &str) -> usize {
    let files = std::fs::read_dir(data.join("isotherm-shard")).unwrap().map(|file| file.unwrap().path());
    let databases = files.filter(|file| file.extension().is_some_and(|extension| extension == "sqlite"));
    databases.filter_map(|file| Connection::open(file).unwrap().execute(statement, []).ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_rows_cost_their_own_series_and_ids_alone() {
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let artifact = built("release", "workers");
    let host = start_with(&artifact, data.path(), CONFIG).await;
    for from in [0, 20] {
        assert_eq!(statuses(&host, from..from + 20).await, [20, 0, 0]);
        until_folded(data.path()).await;
    }
    host.stop().await.unwrap();
    let page = "UPDATE rollups SET page = x'00' WHERE key LIKE 'kind' || char(31) || '%'";
    assert!(damage(data.path(), page) > 0);
    let block = "UPDATE blocks SET bytes = substr(bytes, 1, 10) WHERE seq = (SELECT min(seq) FROM blocks)";
    assert_eq!(damage(data.path(), block), 1);

    let host = start_with(&artifact, data.path(), CONFIG).await;
    // The store can't tell whether it has the events of the damaged block, so it must not count them again.
    assert_eq!(statuses(&host, 0..20).await, [0, 0, 20]);
    assert_eq!(statuses(&host, 20..40).await, [0, 20, 0]);
    assert_eq!(statuses(&host, 10..60).await, [20, 20, 10]);
    until_folded(data.path()).await;
    let summary = report(&host, "summary?").await;
    assert_eq!((&summary["rows"][0]["count"], &summary["incomplete"]), (&json!(60), &Value::Null), "{summary}");
    let top = report(&host, "top?dimension=kind&").await;
    let rows = json!([{ "value": "a", "count": 10 }, { "value": "b", "count": 10 }]);
    assert_eq!((&top["rows"], &top["incomplete"]), (&rows, &json!(true)), "{top}");
    host.stop().await.unwrap();
}
