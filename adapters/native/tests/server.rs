//! The server as a process. Every event that it answered with 202 is there after any death, exactly once. Nothing
//! slow holds up the rest.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::common::{Server, answer, event, get, post, send};

/// The body of a batch: events of January 2013, 12 hours apart.
fn batch(numbers: std::ops::Range<usize>) -> String {
    let event = |n: usize| {
        let time = format!("2013-01-{:02}T{:02}:00:00Z", 1 + n / 2 % 28, n % 2 * 12);
        format!(
            r#"{{"userId":"u{n}","eventType":"t","messageId":"m{n}","timestamp":"{time}","properties":{{"n":{n},"odd":"{}"}}}}"#,
            n % 2
        )
    };
    format!(r#"{{"events":[{}]}}"#, numbers.map(event).collect::<Vec<_>>().join(","))
}

async fn send_batch(port: u16, numbers: std::ops::Range<usize>) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = post(&batch(numbers)).replacen("POST /events ", "POST /events/batch ", 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream).await.unwrap().0
}

const TOP: &str =
    "/reports/top?dimension=odd&from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&metrics=count,sum:n,users";

/// The rows of a report on the month.
async fn rows(port: u16) -> String {
    let (status, body) = get(port, TOP).await;
    assert_eq!(status, 200, "{body}");
    body.split(r#","from""#).next().unwrap().to_owned()
}

/// Waits until a query of the database gives this number.
async fn wait_for(data: &Path, query: &str, expected: u64) {
    let started = Instant::now();
    loop {
        let found: u64 =
            Connection::open(data.join("events.sqlite")).unwrap().query_row(query, [], |row| row.get(0)).unwrap();
        if found == expected {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{query} gives {found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const UNFOLDED: &str =
    "SELECT count(*) FROM events WHERE seq > coalesce((SELECT page FROM rollups WHERE tenant = '' AND key = ''), 0)";

/// The messageIds in all files of a backup, sorted, and the number of files.
fn backed_up(folder: &Path) -> (Vec<String>, usize) {
    let mut messages = Vec::new();
    let mut files = 0;
    for day in std::fs::read_dir(folder.join("default")).unwrap() {
        for file in std::fs::read_dir(day.unwrap().path()).unwrap() {
            files += 1;
            let mut text = String::new();
            let bytes = std::fs::File::open(file.unwrap().path()).unwrap();
            flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
            let message = |line: &str| Some(line.split_once(r#""messageId":""#)?.1.split_once('"')?.0.to_owned());
            messages.extend(text.lines().map(|line| message(line).unwrap()));
        }
    }
    messages.sort();
    (messages, files)
}

/// How often the database has an event with each of these messageIds.
fn times_kept(data: &Path, messages: &[String]) -> Vec<u64> {
    let database = Connection::open(data.join("events.sqlite")).unwrap();
    let mut count =
        database.prepare("SELECT record ->> 'messageId' AS message, count(*) FROM events GROUP BY message").unwrap();
    let counts: BTreeMap<String, u64> =
        count.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
    messages.iter().map(|message| counts.get(message).copied().unwrap_or_default()).collect()
}

#[tokio::test]
async fn one_of_100_writers_of_the_same_event_is_accepted() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let mut writers = JoinSet::new();
    for _ in 0..100 {
        let port = server.port;
        writers.spawn(async move { send(port, &event("same")).await.unwrap() });
    }
    let answers = writers.join_all().await;
    assert!(answers.iter().all(|(status, _)| *status == 202));
    let duplicates = answers.iter().filter(|(_, body)| body.contains(r#""duplicate":true"#)).count();
    assert_eq!(duplicates, 99);
    assert_eq!(times_kept(data.path(), &["same".to_owned()]), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_survives_a_kill_under_load_once() {
    let data = tempfile::tempdir().unwrap();
    let mut accepted = Vec::new();
    for round in 0..3 {
        let server = Server::start(data.path());
        let mut writers = JoinSet::new();
        for writer in 0..32 {
            let port = server.port;
            writers.spawn(async move {
                let mut accepted = Vec::new();
                for number in 0.. {
                    let message = format!("{round}-{writer}-{number}");
                    match send(port, &event(&message)).await {
                        Some((202, _)) => accepted.push(message),
                        Some((status, body)) => panic!("{status} {body}"),
                        None => break,
                    }
                }
                accepted
            });
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        drop(server);
        accepted.extend(writers.join_all().await.into_iter().flatten());
    }
    assert!(accepted.len() > 100, "only {} events were accepted", accepted.len());
    let server = Server::start(data.path());
    let (status, body) = send(server.port, &event(&accepted[0])).await.unwrap();
    assert!(status == 202 && body.contains(r#""duplicate":true"#), "{body}");
    drop(server);
    assert!(times_kept(data.path(), &accepted).iter().all(|times| *times == 1));
}

#[tokio::test]
async fn a_full_disk_loses_and_doubles_nothing() {
    let data = tempfile::tempdir().unwrap();
    let messages: Vec<String> = (0..4000).map(|number| number.to_string()).collect();
    let server = Server::start_on_small_disk(data.path(), 1024);
    let mut accepted = Vec::new();
    let mut refused = 0;
    for message in &messages {
        match send(server.port, &event(message)).await {
            Some((202, _)) => accepted.push(message.clone()),
            Some((503, _)) => refused += 1,
            other => panic!("{other:?}"),
        }
        if refused > 20 {
            break;
        }
    }
    assert!(refused > 20, "the disk was never full");
    drop(server);
    let server = Server::start(data.path());
    for message in &messages[..accepted.len() + refused] {
        let (status, body) = send(server.port, &event(message)).await.unwrap();
        assert_eq!(status, 202);
        assert!(
            !accepted.contains(message) || body.contains(r#""duplicate":true"#),
            "{message} was accepted and is gone"
        );
    }
    drop(server);
    assert!(times_kept(data.path(), &messages[..accepted.len() + refused]).iter().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_the_rest_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let other = Connection::open(data.path().join("events.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writers = JoinSet::new();
    let mut write = |number: u32| {
        let port = server.port;
        writers.spawn(async move {
            let message = number.to_string();
            let (status, _) = send(port, &event(&message)).await.unwrap();
            (message, status)
        });
    };
    // A task of maintenance may hold the writer for a second. Then it waits with this event, and all others queue.
    write(0);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    (1..700).for_each(write);
    let mut answers = Vec::new();
    while answers.len() < 100 {
        answers.push(writers.join_next().await.unwrap().unwrap());
    }
    let statuses: Vec<u16> = answers.iter().map(|(_, status)| *status).collect();
    assert!(statuses.contains(&429) && !statuses.contains(&202), "nothing can be kept yet: {statuses:?}");
    other.execute_batch("ROLLBACK").unwrap();
    answers.extend(writers.join_all().await);
    let (refused, waited): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, status)| *status == 429);
    // One is refused only while so many wait. On a slow machine the first have waited for as long as requests may.
    assert!(waited.len() >= 512, "{} have waited", waited.len());
    assert!(waited.iter().all(|(_, status)| [202, 503].contains(status)), "{waited:?}");
    let accepted: Vec<String> = waited.into_iter().filter(|(_, status)| *status == 202).map(|(name, _)| name).collect();
    assert!(!accepted.is_empty());
    assert!(times_kept(data.path(), &accepted).iter().all(|times| *times == 1));
    let refused: Vec<String> = refused.into_iter().map(|(name, _)| name).collect();
    assert!(times_kept(data.path(), &refused).iter().all(|times| *times == 0), "what was refused is kept");
}

#[tokio::test]
async fn bodies_that_never_come_hold_up_nobody() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let request = post(&event("slow"));
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut stream = server.connect().await;
        stream.write_all(&request.as_bytes()[..request.len() - 1]).await.unwrap();
        slow.push(stream);
    }
    let started = Instant::now();
    assert_eq!(send(server.port, &event("quick")).await.unwrap().0, 202);
    assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
    drop(slow);
    // A body that broke off does not count as an event.
    assert_eq!(times_kept(data.path(), &["slow".to_owned(), "quick".to_owned()]), [0, 1]);
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_server_stops() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path());
    let request = post(&event("last"));
    let (first, rest) = request.as_bytes().split_at(request.len() / 2);
    let mut stream = server.connect().await;
    stream.write_all(first).await.unwrap();
    let idle = server.connect().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.terminate();
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(("127.0.0.1", server.port)).await.is_ok() {
        assert!(Instant::now() < deadline, "it still accepts connections");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stream.write_all(rest).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().0, 202);
    assert!(server.child.wait().unwrap().success());
    drop(idle);
    assert_eq!(times_kept(data.path(), &["last".to_owned()]), [1]);
    assert!(!data.path().join("events.sqlite-wal").exists(), "the database was not closed");
}

#[tokio::test]
async fn what_is_folded_is_in_the_backup_once_however_often_it_is_folded() {
    let (data, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let flags = ["--backup", backup.path().to_str().unwrap()];
    let mut expected: Vec<String> = (0..900).map(|n| format!("m{n}")).collect();
    expected.sort();
    let server = Server::start_with(data.path(), &flags);
    assert_eq!(send_batch(server.port, 0..450).await, 200);
    wait_for(data.path(), UNFOLDED, 0).await;
    assert_eq!(send_batch(server.port, 450..900).await, 200);
    wait_for(data.path(), UNFOLDED, 0).await;
    let first = backed_up(backup.path());
    assert_eq!(first.0, expected);
    let report = rows(server.port).await;
    drop(server);
    // As if the server had been killed before it committed the last fold, and more events had come since.
    let database = Connection::open(data.path().join("events.sqlite")).unwrap();
    database.execute("UPDATE rollups SET page = 450 WHERE tenant = '' AND key = ''", []).unwrap();
    database.execute("DELETE FROM rollups WHERE key <> ''", []).unwrap();
    drop(database);
    let server = Server::start_with(data.path(), &flags);
    wait_for(data.path(), UNFOLDED, 0).await;
    assert_eq!(backed_up(backup.path()), first);
    assert_ne!(rows(server.port).await, report, "the pages of the first half were deleted");
}

#[tokio::test]
async fn hours_are_compacted_to_days_and_expired_events_go() {
    const DAYS: &str = "SELECT count(*) FROM rollups WHERE key LIKE '%' || char(31) || 'c%' || char(31) || '%'";
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &["--schedule", "1"]);
    assert_eq!(send_batch(server.port, 0..500).await, 200);
    wait_for(data.path(), UNFOLDED, 0).await;
    let report = rows(server.port).await;
    // 28 days, each with two pages: one of all events, and one by the one dimension.
    wait_for(data.path(), DAYS, 56).await;
    assert_eq!(rows(server.port).await, report);
    let database = Connection::open(data.path().join("events.sqlite")).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database.execute("UPDATE events SET expires_at = 1", []).unwrap();
    wait_for(data.path(), "SELECT count(*) FROM events", 0).await;
    assert_eq!(rows(server.port).await, report);
    // Events that come now are not mistaken for folded ones, and their days are opened again.
    assert_eq!(send_batch(server.port, 500..600).await, 200);
    let fresh = rows(server.port).await;
    assert!(fresh.contains(r#""count":300"#), "{fresh}");
    wait_for(data.path(), UNFOLDED, 0).await;
    assert_eq!(rows(server.port).await, fresh);
}

#[tokio::test]
async fn when_folding_fails_the_tail_has_a_bound_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("backup");
    std::fs::write(&folder, "no folder").unwrap();
    let server = Server::start_with(data.path(), &["--backup", folder.to_str().unwrap()]);
    let mut sent = 0;
    let refused = loop {
        match send_batch(server.port, sent..sent + 500).await {
            200 => sent += 500,
            status => break status,
        }
        assert!(sent < 100_000, "it takes ever more");
    };
    assert_eq!(refused, 429);
    let all = rows(server.port).await;
    assert!(all.contains(&format!(r#""count":{}"#, sent / 2)), "{all}");
    std::fs::remove_file(&folder).unwrap();
    wait_for(data.path(), UNFOLDED, 0).await;
    assert_eq!(rows(server.port).await, all);
    assert_eq!(send_batch(server.port, sent..sent + 500).await, 200);
}

/// Sends these bytes and nothing more. Returns the head and body of the answer.
async fn raw(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

fn keyed(data: &Path, config: &str) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm-native"));
    let file = data.join("config.json");
    std::fs::write(&file, config).unwrap();
    command.arg("--config").arg(file);
    Server::run(command, data)
}

#[tokio::test]
async fn a_server_without_a_whole_configuration_is_closed() {
    let data = tempfile::tempdir().unwrap();
    for config in ["", "{", r#"{"keys":[]}"#] {
        let server = keyed(data.path(), config);
        assert_eq!(get(server.port, "/healthz").await.0, 200);
        let (status, body) = get(server.port, "/reports/summary").await;
        assert!(status == 503 && body.contains("not_configured"), "{body}");
        assert_eq!(send(server.port, &event("closed")).await.unwrap().0, 503);
    }
    let server = Server::start_with(data.path(), &["--config", "/no/such/file"]);
    assert_eq!(send(server.port, &event("closed")).await.unwrap().0, 503);
    assert_eq!(times_kept(data.path(), &["closed".to_owned()]), [0]);
}

#[tokio::test]
async fn a_closed_server_goes_on_folding() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    assert_eq!(send_batch(server.port, 0..100).await, 200);
    drop(server);
    let database = Connection::open(data.path().join("events.sqlite")).unwrap();
    database.execute("DELETE FROM rollups", []).unwrap();
    drop(database);
    let _closed = keyed(data.path(), "");
    wait_for(data.path(), UNFOLDED, 0).await;
}

#[tokio::test]
async fn a_body_is_not_waited_for_when_the_head_decides() {
    let data = tempfile::tempdir().unwrap();
    // The SHA-256 of `a key of the tests`.
    let hash = "773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1";
    let server = keyed(data.path(), &format!(r#"{{"keys":[{{"sha256":"{hash}","tenant":"a","scope":"write"}}]}}"#));
    let key = "authorization: Bearer a key of the tests\r\n";
    for (head, status) in [
        ("POST /events HTTP/1.1\r\ncontent-length: 1000000\r\n".to_owned(), 401),
        ("POST /nowhere HTTP/1.1\r\ncontent-length: 1000000\r\n".to_owned(), 404),
        ("PUT /events HTTP/1.1\r\ntransfer-encoding: chunked\r\n".to_owned(), 405),
        ("POST /schedule HTTP/1.1\r\ncontent-length: 1000000\r\n".to_owned(), 401),
        (format!("POST /events HTTP/1.1\r\n{key}content-length: 1048577\r\n"), 413),
        (format!("POST /events HTTP/1.1\r\n{key}content-type: text/plain\r\ncontent-length: 9\r\n"), 415),
        (format!("POST /events HTTP/1.1\r\n{key}{key}content-length: 9\r\n"), 401),
    ] {
        let started = Instant::now();
        let answered = raw(server.port, format!("{head}host: test\r\n\r\n").as_bytes()).await;
        assert!(answered.starts_with(&format!("HTTP/1.1 {status} ")), "{head}{answered}");
        assert!(answered.contains("connection: close\r\n"), "{answered}");
        assert!(started.elapsed() < Duration::from_secs(8), "{head}");
    }
    // A client that sends everything before it reads gets its answer too.
    let head = "POST /events HTTP/1.1\r\nhost: test\r\ncontent-length: 8000000\r\n\r\n";
    let request = [head.as_bytes(), &vec![b' '; 8_000_000]].concat();
    assert!(raw(server.port, &request).await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn repeated_headers_are_one_value() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let body = event("twice");
    let twice = |types: &[u8]| {
        let head =
            format!("POST /events HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        [head.as_bytes(), types, b"\r\n", body.as_bytes()].concat()
    };
    let json = b"content-type: application/json\r\n".as_slice();
    assert!(raw(server.port, &twice(json)).await.starts_with("HTTP/1.1 202 "));
    let answered = raw(server.port, &twice(&[json, json].concat())).await;
    assert!(
        answered.starts_with("HTTP/1.1 415 ") && answered.contains("application/json, application/json"),
        "{answered}"
    );
    // A value that is not UTF-8 is not left out.
    assert!(raw(server.port, &twice(b"content-type: \xff\r\n")).await.starts_with("HTTP/1.1 415 "));
}

#[test]
fn a_schedule_that_would_keep_expired_events_for_longer_than_a_day_is_refused() {
    let mut native = std::process::Command::new(env!("CARGO_BIN_EXE_isotherm-native"));
    let refused = native.args(["--port", "0", "--schedule", "604800"]).output().unwrap();
    let says = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && says.contains("1..=43200"), "{says}");
}
