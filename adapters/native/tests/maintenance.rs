//! What is stored decides what is folded, compacted and deleted. Damage to another tenant's data does not change
//! that, and neither does a missing key.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::io::AsyncWriteExt as _;

use crate::common::{Server, answer, event, get, post, send};

const UNFOLDED: &str =
    "SELECT count(*) FROM events WHERE seq > coalesce((SELECT page FROM rollups WHERE tenant = '' AND key = ''), 0)";
const SUMMARY: &str = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-01-02T00:00:00Z";
const TOP: &str = "/reports/top?dimension=to&from=2013-01-01T00:00:00Z&to=2013-01-02T00:00:00Z";

/// The tenant of an open service, with the hash of `a key of the tests`.
const OPERATED: &str = r#"{"version":2,"keys":[{"id":"a","tenant":"default","scope":"operate",
    "sha256":"773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1"}]}"#;

fn flight(to: &str) -> String {
    format!(
        r#"{{"userId":"u","eventType":"t","timestamp":"2013-01-01T10:00:00Z","properties":{{"to":"{to}","via":"x"}}}}"#
    )
}

fn store(data: &Path) -> Connection {
    let store = Connection::open(data.join("events.sqlite")).unwrap();
    store.busy_timeout(Duration::from_secs(10)).unwrap();
    store
}

/// Waits until a query's one number is as expected.
async fn until(data: &Path, query: &str, expected: i64) {
    let (store, deadline) = (store(data), Instant::now() + Duration::from_secs(60));
    loop {
        let found: i64 = store.query_row(query, [], |row| row.get(0)).unwrap();
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{query}: {found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_damaged_page_is_set_apart_and_the_rest_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    let damaged = store(data.path())
        .execute("UPDATE rollups SET page = x'00' WHERE tenant = 'default' AND key LIKE 'to' || char(31) || '%'", [])
        .unwrap();
    assert_eq!(damaged, 1);
    let (_, before) = get(server.port, TOP).await;
    assert!(before.contains(r#""incomplete":true"#), "{before}");
    assert_eq!(send(server.port, &flight("JFK")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    let (status, top) = get(server.port, TOP).await;
    assert_eq!(status, 200);
    assert!(top.contains(r#"{"value":"JFK","count":1}"#) && top.contains(r#""incomplete":true"#), "{top}");
    for whole in [SUMMARY.to_owned(), TOP.replace("=to&", "=via&")] {
        let (_, body) = get(server.port, &whole).await;
        assert!(body.contains(r#""count":2"#) && !body.contains("incomplete"), "{body}");
    }
}

#[tokio::test]
async fn a_page_whose_key_is_damaged_stops_no_fold() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    let damaged = "UPDATE rollups SET key = CAST(CAST(key AS BLOB) || x'ff' AS TEXT)
        WHERE tenant = 'default' AND key LIKE 'to' || char(31) || '%'";
    assert_eq!(store(data.path()).execute(damaged, []).unwrap(), 1);
    assert_eq!(send(server.port, &flight("ORD")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    let (status, summary) = get(server.port, SUMMARY).await;
    assert!(status == 200 && summary.contains(r#""count":2"#), "{status} {summary}");
    let (status, top) = get(server.port, TOP).await;
    assert!(
        status == 200 && top.contains(r#""value":"ORD""#) && top.contains(r#""incomplete":true"#),
        "{status} {top}"
    );
}

#[tokio::test]
async fn a_record_that_is_no_text_is_in_no_report_and_stops_none() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    // The writer does not know of these, so they stay behind the watermark.
    let add = "INSERT INTO events (tenant, id, digest, occurred_at, received_at, expires_at, record)
        VALUES ('default', ?1, x'', 0, 0, 9999999999, ?2)";
    store(data.path()).execute(add, params!["evt_1", vec![0xff_u8]]).unwrap();
    store(data.path()).execute(add, params!["evt_2", ""]).unwrap();
    let (status, summary) = get(server.port, SUMMARY).await;
    assert!(status == 200 && summary.contains(r#""count":1"#), "{status} {summary}");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_costs_its_own_event_alone() {
    let data = tempfile::tempdir().unwrap();
    let lines = data.path().join("lines");
    let start = |config: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$0\" \"$@\" 2>>'{}'", lines.display())]);
        command.arg(env!("CARGO_BIN_EXE_isotherm-native")).env("ISOTHERM_CONFIG", config);
        Server::run(command, data.path())
    };
    let server = start(common::OPEN);
    for message in ["digest", "time", "expired", "whole"] {
        assert_eq!(send(server.port, &event(message)).await.unwrap().0, 202);
    }
    until(data.path(), UNFOLDED, 0).await;
    let damage = |seq: i64, set: &str| {
        store(data.path()).execute(&format!("UPDATE events SET {set} WHERE seq = ?1"), [seq]).unwrap();
    };
    damage(1, "digest = 'text'");
    damage(2, "expires_at = 'text'");
    damage(3, "digest = x'00', expires_at = 1");
    let (status, body) = send(server.port, &event("digest")).await.unwrap();
    assert!(status == 503 && body.contains("unavailable"), "{status} {body}");
    // All of them are in one transaction.
    let all = ["digest", "time", "expired", "whole", "new"].map(event).join(",");
    let batch = post(&format!(r#"{{"events":[{all}]}}"#)).replacen("POST /events ", "POST /events/batch ", 1);
    let mut stream = server.connect().await;
    stream.write_all(batch.as_bytes()).await.unwrap();
    let (status, body) = answer(&mut stream).await.unwrap();
    assert_eq!(status, 200, "{body}");
    let statuses: Vec<&str> = body.split(r#""status":""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(statuses, ["retry", "duplicate", "accepted", "duplicate", "accepted"], "{body}");
    assert!(std::fs::read_to_string(&lines).unwrap().contains("has no digest that can be read"));

    until(data.path(), UNFOLDED, 0).await;
    drop(server);
    let server = start(OPERATED);
    let mut stream = server.connect().await;
    let request = "GET /export/events HTTP/1.1\r\nhost: test\r\nauthorization: Bearer a key of the tests\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let (status, export) = answer(&mut stream).await.unwrap();
    assert_eq!((status, export.matches(r#""record""#).count()), (200, 3), "{export}");
    assert!(export.contains(r#""leftOut":2"#), "{export}");
    assert!(std::fs::read_to_string(&lines).unwrap().contains("an export leaves out event 2 of \"default\""));
}

#[tokio::test]
async fn a_watermark_that_is_no_number_stops_folding_and_says_so() {
    let data = tempfile::tempdir().unwrap();
    let lines = data.path().join("lines");
    let mut command = Command::new("sh");
    let script = format!("exec \"$0\" \"$@\" 2>'{}'", lines.display());
    command.args(["-c", &script, env!("CARGO_BIN_EXE_isotherm-native")]);
    let server = Server::run(command, data.path());
    assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    let watermark = "SELECT page FROM rollups WHERE tenant = '' AND key = ''";
    let folded: i64 = store(data.path()).query_row(watermark, [], |row| row.get(0)).unwrap();
    let set = "UPDATE rollups SET page = ?1 WHERE tenant = '' AND key = ''";
    assert_eq!(store(data.path()).execute(set, [vec![0_u8]]).unwrap(), 1);
    assert_eq!(send(server.port, &flight("JFK")).await.unwrap().0, 202);
    let deadline = Instant::now() + Duration::from_secs(30);
    let told = loop {
        let told = std::fs::read_to_string(&lines).unwrap();
        if told.contains("events cannot be folded") {
            break told;
        }
        assert!(Instant::now() < deadline, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(told.contains("Invalid column type Blob at index: 0, name: watermark"), "{told}");
    for refused in [SUMMARY, "/readyz"] {
        let (status, body) = get(server.port, refused).await;
        assert_eq!(status, 503, "{refused}: {body}");
    }
    assert_eq!(store(data.path()).execute(set, [folded]).unwrap(), 1);
    until(data.path(), UNFOLDED, 0).await;
    let (_, summary) = get(server.port, SUMMARY).await;
    assert!(summary.contains(r#""count":2"#), "{summary}");
    assert_eq!(get(server.port, "/readyz").await.0, 200);
}

#[tokio::test]
async fn a_record_that_is_no_event_is_kept_elsewhere_and_the_rest_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
    let add = "INSERT INTO events (tenant, id, digest, occurred_at, received_at, expires_at, record)
        VALUES (?1, ?2, x'', 0, 0, 9999999999, ?3)";
    let records: [&dyn rusqlite::ToSql; 3] = [&"{", &vec![0xff_u8], &""];
    for (n, record) in records.into_iter().enumerate() {
        store(data.path()).execute(add, params!["default", format!("evt_{n}"), record]).unwrap();
    }
    store(data.path()).execute(add, params!["no/tenant", "evt_3", "{}"]).unwrap();
    assert_eq!(send(server.port, &flight("JFK")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    until(data.path(), "SELECT count(*) FROM rejected_events", 4).await;
    let (_, summary) = get(server.port, SUMMARY).await;
    assert!(summary.contains(r#""count":2"#), "{summary}");
}

#[tokio::test]
async fn events_of_a_tenant_without_a_key_are_compacted_and_deleted() {
    let hash = "5dbde737f8598eb030464eb5eb27696837e542c958d536ca388eb6f683097143";
    for config in [format!(r#"{{"keys":[{{"sha256":"{hash}","tenant":"other","scope":"both"}}]}}"#), "{".to_owned()] {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path());
        assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
        until(data.path(), UNFOLDED, 0).await;
        drop(server);
        store(data.path()).execute("UPDATE events SET expires_at = 1", []).unwrap();
        let file = data.path().join("config.json");
        std::fs::write(&file, config).unwrap();
        let _server = Server::start_with(data.path(), &["--schedule", "1", "--config", file.to_str().unwrap()]);
        until(data.path(), "SELECT count(*) FROM events", 0).await;
        let days = "SELECT count(*) > 0 FROM rollups WHERE key LIKE '%' || char(31) || 'c%'";
        until(data.path(), days, 1).await;
    }
}

/// A database written by the server of commit da27c14: 30 events of three days, folded and compacted.
const VERSION_1: &[u8] = include_bytes!("data/version-1.sqlite");

#[tokio::test]
async fn what_an_earlier_version_has_stored_is_read_and_folded_on() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("events.sqlite"), VERSION_1).unwrap();
    let server = Server::start(data.path());
    let top = "/reports/top?dimension=to&from=2013-01-01T00:00:00Z&to=2013-01-05T00:00:00Z&metrics=count,users,sum:n,sum:x,p50:n";
    let rows = |first: &str| {
        format!(
            r#"{{"rows":[{first},{{"value":"JFK","count":10,"users":5,"sum:n":145,"sum:x":150,"p50:n":13}},{{"value":"ORD","count":10,"users":5,"sum:n":155,"sum:x":160,"p50:n":14}}]"#
        )
    };
    let (_, before) = get(server.port, top).await;
    let atlanta = r#"{"value":"ATL","count":10,"users":5,"sum:n":135,"sum:x":140,"p50:n":12}"#;
    assert!(before.starts_with(&rows(atlanta)), "{before}");
    assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    let (_, after) = get(server.port, top).await;
    let atlanta = r#"{"value":"ATL","count":11,"users":6,"sum:n":135,"sum:x":140,"p50:n":12}"#;
    assert!(after.starts_with(&rows(atlanta)), "{after}");
}

/// Deleting an expired event before it is folded would take it out of the reports.
#[tokio::test]
async fn an_expired_event_keeps_its_place_until_it_is_folded() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("backup");
    std::fs::write(&folder, "no folder, so nothing is folded").unwrap();
    let server = Server::start_with(data.path(), &["--backup", folder.to_str().unwrap()]);
    let event = |to: &str| flight(to).replacen('{', r#"{"messageId":"m","#, 1);
    assert_eq!(send(server.port, &event("SFO")).await.unwrap().0, 202);
    store(data.path()).execute("UPDATE events SET expires_at = 1", []).unwrap();
    assert_eq!(send(server.port, &event("LAX")).await.unwrap().0, 503);
    until(data.path(), "SELECT count(*) FROM events WHERE record LIKE '%SFO%'", 1).await;
    std::fs::remove_file(&folder).unwrap();
    until(data.path(), "SELECT count(*) FROM rollups WHERE tenant = ''", 1).await;
    assert_eq!(send(server.port, &event("LAX")).await.unwrap().0, 202);
    let (_, report) = get(server.port, SUMMARY).await;
    assert!(report.contains(r#""count":2"#), "{report}");
}

#[tokio::test]
async fn a_tenant_that_is_no_name_stops_no_backup() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("backup");
    let flags = ["--backup", folder.to_str().unwrap()];
    drop(Server::start_with(data.path(), &flags)); // makes the tables
    for (id, tenant) in [("evt_1", "../outside"), ("evt_2", "\0")] {
        let add = "INSERT INTO events (tenant, id, digest, occurred_at, received_at, expires_at, record)
            VALUES (?1, ?2, x'', 0, 0, 9999999999, '{}')";
        store(data.path()).execute(add, [tenant, id]).unwrap();
    }
    let server = Server::start_with(data.path(), &flags);
    assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    let tenants: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(tenants, ["default"]);
    assert!(!data.path().join("outside").exists());
    until(data.path(), "SELECT count(*) FROM rejected_events", 2).await;
}

#[tokio::test]
async fn an_event_that_is_kept_for_less_long_than_those_before_it_is_deleted() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("config.json");
    std::fs::write(&file, r#"{"version":2,"open":true,"retention":{"t":30}}"#).unwrap();
    let server = Server::start_with(data.path(), &["--config", file.to_str().unwrap()]);
    assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    drop(server);
    let kept: i64 = store(data.path())
        .query_row("SELECT expires_at - received_at / 1000 FROM events", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 30 * 24 * 60 * 60);
    // More events than one task looks at, all older and none expired.
    store(data.path())
        .execute_batch(
            "UPDATE events SET seq = 20000, expires_at = 1; UPDATE rollups SET page = 20000 WHERE key = '';
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10500)
            INSERT INTO events (seq, tenant, id, digest, occurred_at, received_at, expires_at, record)
            SELECT i, 'default', 'evt_' || i, x'', 0, 0, 99999999999, '{}' FROM n",
        )
        .unwrap();
    let server = Server::start_with(data.path(), &["--schedule", "1", "--config", file.to_str().unwrap()]);
    until(data.path(), "SELECT count(*) FROM events WHERE seq = 20000", 0).await;
    until(data.path(), "SELECT count(*) FROM events", 10_500).await;
    drop(server);
    // The events of the older configuration are still at the head, so they must not hide the expired ones behind them.
    store(data.path()).execute("UPDATE events SET expires_at = 1 WHERE seq = 10500", []).unwrap();
    for config in [r#"{"version":2,"open":true}"#, "{"] {
        std::fs::write(&file, config).unwrap();
        let _server = Server::start_with(data.path(), &["--schedule", "1", "--config", file.to_str().unwrap()]);
        until(data.path(), "SELECT count(*) FROM events WHERE expires_at = 1", 0).await;
        store(data.path()).execute("UPDATE events SET expires_at = 1 WHERE seq = 10499", []).unwrap();
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_now_is_read_later_and_nothing_is_folded_before() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("config.json");
    std::fs::write(&file, r#"{"version":2,"open":true,"dimensions":{"t":["via"]}}"#).unwrap();
    let flags = ["--schedule", "1", "--config", file.to_str().unwrap()];
    let server = Server::start_with(data.path(), &flags);
    assert_eq!(send(server.port, &flight("ATL")).await.unwrap().0, 202);
    drop(server); // before it folds
    let text = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap(); // can't be read as a file
    let server = Server::start_with(data.path(), &flags);
    assert_eq!(get(server.port, "/healthz").await.0, 200);
    // Longer than an event waits for a fold.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let (status, body) = send(server.port, &flight("JFK")).await.unwrap();
    assert!(status == 503 && body.contains("not_configured"), "{status} {body}");
    until(data.path(), UNFOLDED, 1).await;
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, text).unwrap();
    until(data.path(), UNFOLDED, 0).await;
    assert_eq!(send(server.port, &flight("JFK")).await.unwrap().0, 202);
    until(data.path(), UNFOLDED, 0).await;
    let (_, other) = get(server.port, TOP).await;
    let (_, named) = get(server.port, &TOP.replace("=to&", "=via&")).await;
    assert!(!other.contains(r#""value""#) && named.contains(r#""count":2"#), "{other} {named}");
}
