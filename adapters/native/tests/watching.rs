//! What an operator sees of the server: lines, metrics and whether it is ready.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use std::io::BufRead as _;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::common::{Server, answer, event, get, send};

/// The SHA-256 of `a key of the tests`, as an operator's key.
const OPERATOR: &str = r#"{"version":2,"keys":[{"id":"prometheus","sha256":"773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1","tenant":"a","scope":"operate"}]}"#;

async fn metrics(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request =
        "GET /metrics HTTP/1.1\r\nhost: test\r\nauthorization: Bearer a key of the tests\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream).await.unwrap().1
}

#[tokio::test]
async fn each_request_and_each_fold_has_a_line_if_the_flag_is_there() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(data.path(), &["--log-requests"]);
    assert_eq!(send(server.port, &event("a")).await.unwrap().0, 202);
    let mut line = String::new();
    server.output.read_line(&mut line).unwrap();
    for part in [r#""kind":"request""#, r#""route":"/events""#, r#""status":202"#, r#""faas.coldstart":true"#] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains("xxx"), "{line}");
    line.clear();
    server.output.read_line(&mut line).unwrap();
    for part in [r#""kind":"fold""#, r#""isotherm_folded_events_total":1"#, r#""isotherm_fold_lag_seconds":"#] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn a_configured_level_goes_before_the_flag() {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm-native"));
    command.arg("--log-requests").env("ISOTHERM_CONFIG", r#"{"open":true,"log":{"level":"warn"}}"#);
    let mut server = Server::run(command, data.path());
    assert_eq!(get(server.port, "/healthz").await.0, 200);
    assert_eq!(get(server.port, "/nothing").await.0, 404);
    let mut line = String::new();
    server.output.read_line(&mut line).unwrap();
    assert!(line.contains(r#""status":404"#) && line.contains(r#""level":"warn""#), "{line}");
}

#[tokio::test]
async fn a_process_counts_its_requests_and_says_what_its_store_holds() {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm-native"));
    command.env("ISOTHERM_CONFIG", OPERATOR);
    let server = Server::run(command, data.path());
    assert_eq!(get(server.port, "/readyz").await.0, 200);
    assert_eq!(get(server.port, "/metrics").await.0, 401);
    let text = metrics(server.port).await;
    for line in [
        r#"isotherm_requests_total{route="/readyz",class="2xx"} 1"#,
        r#"isotherm_rejections_total{code="unauthorized"} 1"#,
        r#"isotherm_request_seconds_count{route="/metrics"} 1"#,
        "isotherm_cold_starts_total 1",
        "isotherm_dead_letters_total 0",
        "isotherm_unfolded_events 0",
        "isotherm_full_stores 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
}

/// A server whose folds fail takes events until too many wait, and then says that it is not ready.
#[tokio::test]
async fn a_store_that_refuses_events_is_not_ready() {
    let data = tempfile::tempdir().unwrap();
    // The backup comes before each fold, and here it can't be written.
    let backup = data.path().join("backup");
    std::fs::write(&backup, "no folder").unwrap();
    let server = Server::start_with(data.path(), &["--backup", backup.to_str().unwrap()]);
    let padding = "x".repeat(30_000);
    let batch = |n: usize| {
        let event = |m: usize| {
            format!(r#"{{"userId":"u","eventType":"t","messageId":"m{n}-{m}","properties":{{"text":"{padding}"}}}}"#)
        };
        let body = format!(r#"{{"events":[{}]}}"#, (0..30).map(event).collect::<Vec<_>>().join(","));
        common::post(&body).replacen("POST /events ", "POST /events/batch ", 1)
    };
    let started = Instant::now();
    for n in 0.. {
        let (status, body) = get(server.port, "/readyz").await;
        if status == 503 {
            assert!(body.contains(r#""code":"not_ready""#) && body.contains("too many events wait"), "{body}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it is ready whatever waits: {status} {body}");
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        stream.write_all(batch(n).as_bytes()).await.unwrap();
        answer(&mut stream).await.unwrap();
    }
    assert_eq!(get(server.port, "/healthz").await.0, 200);
}
