//! The native host with the server and the floor, as built by `cargo xtask build`.
#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper of a test finds wrong fails the test")]

mod common;

use std::path::Path;

use isotherm_hosts::{ColdRequest, Host, Options, Platform};
use tokio::net::TcpListener;

use crate::common::{Answer, built, send};

fn options(artifact: &Path, data: &Path) -> Options {
    let (artifact, data) = (artifact.to_owned(), Some(data.to_owned()));
    Options { artifact, port: 0, data, config: isotherm_hosts::OPEN.to_owned(), cluster: None, log_requests: false }
}

fn event(message: &str) -> ColdRequest {
    ColdRequest {
        method: "POST".to_owned(),
        path: "/events".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: format!(r#"{{"userId":"u","eventType":"t","messageId":"{message}","properties":{{}}}}"#),
    }
}

async fn post(host: &Host, message: &str) -> Answer {
    let ColdRequest { method, path, headers, body } = event(message);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    send(&host.url(), &method, &path, &headers, body).await
}

/// The number of processes whose command line names this folder.
fn processes_of(data: &Path) -> usize {
    let data = data.canonicalize().unwrap();
    let names_it = |entry: &std::fs::DirEntry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(data.to_str().unwrap())
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(names_it).count()
}

#[tokio::test]
async fn a_later_start_finds_the_data() {
    let artifact = built("release", "native");
    let data = tempfile::tempdir().unwrap();
    let host = Host::start(Platform::Native, &options(&artifact, data.path())).await.unwrap();
    assert_eq!(host.runtime().name, "linux");
    let answer = post(&host, "m").await;
    assert!(answer.status == 202 && !answer.text().contains("duplicate"), "{}", answer.text());
    assert!(host.usage().peak_rss_bytes > 1 << 20);
    assert_eq!(processes_of(data.path()), 1);
    host.stop().await.unwrap();
    assert_eq!(processes_of(data.path()), 0);

    let host = Host::start(Platform::Native, &options(&artifact, data.path())).await.unwrap();
    let answer = post(&host, "m").await;
    assert!(answer.text().contains(r#""duplicate":true"#), "{}", answer.text());
    drop(host); // as after an error, which must not leave a process either
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(processes_of(data.path()), 0);
}

#[tokio::test]
async fn a_cold_start_is_a_new_process_and_leaves_the_running_one_alone() {
    for set in ["release", "floor"] {
        let artifact = built(set, "native");
        let data = tempfile::tempdir().unwrap();
        let host = Host::start(Platform::Native, &options(&artifact, data.path())).await.unwrap();
        for number in 0..5 {
            let sample = host.cold(&event(&format!("cold {number}"))).await.unwrap();
            assert!(sample.init < sample.first_response, "{sample:?}");
            assert!(matches!(sample.status, 200 | 202), "{sample:?}");
        }
        // A cold instance has its own store.
        assert!(!post(&host, "cold 0").await.text().contains("duplicate"));
        host.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let artifact = built("release", "native");
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let failed = Host::start(Platform::Native, &Options { port, ..options(&artifact, data.path()) }).await;
    let reason = format!("{:#}", failed.err().unwrap());
    assert!(reason.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{reason}");

    assert_eq!(processes_of(data.path()), 0);

    let empty = tempfile::tempdir().unwrap();
    let failed = Host::start(Platform::Native, &options(empty.path(), data.path())).await;
    let reason = format!("{:#}", failed.err().unwrap());
    assert!(reason.contains("isotherm-native is missing: run `cargo xtask build`"), "{reason}");
}
