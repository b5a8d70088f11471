//! A store that does not answer.

use std::path::Path;
use std::time::Duration;

use isotherm_hosts::{Platform, Up};
use rusqlite::Connection;

use super::{check, counts, named};
use crate::client::{Ask, send};
use crate::fixture::{block_on, start, up};

/// While another process holds the store's lock, nothing is accepted, and 503 and `retry` say so. Nothing is lost:
/// afterwards the same events are taken.
///
/// On Workers no other process can take the lock, because workerd keeps its databases to itself. There the case shows
/// that an attempt to take it changes nothing.
pub fn a_store_that_does_not_answer_loses_nothing(platform: Platform) {
    let data = tempfile::tempdir().unwrap();
    block_on(async {
        let (port, remote) = start(&Up { data: Some(data.path().to_owned()), ..up(platform, "test") }).await;
        // These events open every database there is.
        let before: Vec<_> = (0..100).map(|index| named(&format!("before-{index}"))).collect();
        assert_eq!(counts(&send(port, &Ask::batch(&before)).await.unwrap()), [100, 0, 0, 0]);

        let locks = lock_all(data.path());
        assert!(!locks.is_empty(), "no database below the data folder");
        let held: Vec<_> = locks.iter().map(|lock| lock.execute_batch("BEGIN IMMEDIATE").is_ok()).collect();
        if held.iter().all(|held| *held) {
            let one = send(port, &Ask::event(&named("later"))).await.unwrap();
            check(&one, 503, "unavailable");
            assert!(one.headers.iter().any(|(name, value)| name == "retry-after" && value == "1"), "{one:?}");
            // A client of another protocol is told so in its way.
            let message = send(port, &message()).await.unwrap();
            check(&message, 503, "unavailable");
            assert!(message.headers.iter().any(|(name, _)| name == "x-ratelimit-reset"), "{message:?}");
            let events = [named("later-2"), serde_json::json!({}), named("before-1")];
            // A shard on Workers remembers which events it has, so it may tell a repetition without its store.
            let [accepted, duplicate, invalid, retry] = counts(&send(port, &Ask::batch(&events)).await.unwrap());
            assert_eq!((accepted, invalid, duplicate + retry), (0, 1, 2));
            assert!(duplicate == 0 || (duplicate == 1 && platform == Platform::Workers), "{duplicate} duplicates");
        } else {
            assert_eq!(platform, Platform::Workers, "the lock could not be taken");
        }
        drop(locks);

        tokio::time::sleep(Duration::from_millis(100)).await;
        let events = [named("later"), named("later-2"), named("before-1")];
        assert_eq!(counts(&send(port, &Ask::batch(&events)).await.unwrap()), [2, 1, 0, 0]);
        for kept in ["accepted", "duplicate"] {
            let message = send(port, &message()).await.unwrap();
            assert_eq!((message.status, &message.json()[kept]), (200, &serde_json::json!(1)));
        }
        remote.stop().await.unwrap();
    });
}

/// A message of Segment's protocol.
fn message() -> Ask {
    let message = serde_json::json!({"event": "t", "userId": "u", "messageId": "later-3"});
    Ask::new("POST", "/v1/track").json(message.to_string())
}

fn lock_all(folder: &Path) -> Vec<Connection> {
    let mut locks = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let header = || std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"));
        if path.is_dir() {
            locks.extend(lock_all(&path));
        } else if header() {
            let connection = Connection::open(&path).unwrap();
            connection.busy_timeout(Duration::from_secs(2)).unwrap();
            locks.push(connection);
        }
    }
    locks
}
