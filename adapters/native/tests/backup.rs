//! A copy that `deploy/native/backup.sh` makes while the server runs is of one moment, and a server starts from it.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flate2::read::GzDecoder;

use crate::common::{Server, event, get, send};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/native/backup.sh");

/// Runs the script, and returns the path of the copy, which it prints.
fn back_up(data: &Path, folder: &Path) -> String {
    let output = Command::new("sh").arg(SCRIPT).args([data, folder]).arg("14").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The number of events in all reports.
async fn count(server: &Server) -> usize {
    let (status, summary) = get(server.port, "/reports/summary").await;
    assert_eq!(status, 200, "{summary}");
    let (_, rest) = summary.split_once(r#""count":"#).unwrap();
    rest.split(|sign: char| !sign.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_under_load_is_of_one_moment_and_restores() {
    let (data, copies, restored) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path());
    let (accepted, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let load = {
        let (accepted, is_over, port) = (Arc::clone(&accepted), Arc::clone(&is_over), server.port);
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let number = accepted.load(Ordering::Relaxed);
                assert_eq!(send(port, &event(&number.to_string())).await.unwrap().0, 202);
                accepted.store(number + 1, Ordering::Relaxed);
            }
        })
    };
    while accepted.load(Ordering::Relaxed) < 50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = accepted.load(Ordering::Relaxed);
    let copy = back_up(data.path(), copies.path());
    let after = accepted.load(Ordering::Relaxed);
    assert!(after > before, "nothing was sent while the copy was made");
    is_over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    drop(server);

    let mut database = File::create(restored.path().join("events.sqlite")).unwrap();
    std::io::copy(&mut GzDecoder::new(File::open(&copy).unwrap()), &mut database).unwrap();
    let server = Server::start(restored.path());
    let count = count(&server).await;
    // One more may be stored whose answer had not come yet.
    assert!((before..=after + 1).contains(&count), "{count} events, of {before} before and {after} after the copy");
    for number in [0, count - 1] {
        let (_, answer) = send(server.port, &event(&number.to_string())).await.unwrap();
        assert!(answer.contains(r#""duplicate":true"#), "{number}: {answer}");
    }
    // Nothing but the copy is left.
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 1);
}

#[test]
fn a_database_that_is_not_there_is_not_copied() {
    let (data, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = Command::new("sh").arg(SCRIPT).args([data.path(), copies.path()]).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 0);
}
