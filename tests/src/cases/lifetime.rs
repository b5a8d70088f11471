//! Hosts that die, hosts that stop, and a release that ignores the test stamp.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use isotherm_core::Seconds;
use isotherm_hosts::{Platform, Up};
use serde_json::{Value, json};

use super::{check, counts, named};
use crate::client::{Ask, send};
use crate::fixture::{Fixture, block_on, start, up};

const DAY: u64 = 24 * 60 * 60;

/// Kills the host with SIGKILL under load. After a restart on the same data every accepted event is there, once.
pub fn what_was_accepted_survives_a_kill(platform: Platform) {
    let data = tempfile::tempdir().unwrap();
    let up = Up { data: Some(data.path().to_owned()), ..up(platform, "test") };
    block_on(async {
        let mut accepted: Vec<(String, String)> = Vec::new();
        for round in 0..3 {
            let (port, remote) = start(&up).await;
            let load = Load::start(port, round);
            load.until_accepted(200).await;
            remote.kill().await.unwrap();
            accepted.extend(load.end().await);
        }
        let (port, remote) = start(&up).await;
        for (name, id) in &accepted {
            let found = send(port, &Ask::get(&format!("/events/{id}"))).await.unwrap();
            assert_eq!((found.status, found.text("messageId").as_str()), (200, name.as_str()), "{name} is lost");
        }
        for names in accepted.chunks(500) {
            let again: Vec<Value> = names.iter().map(|(name, _)| named(name)).collect();
            let answer = send(port, &Ask::batch(&again)).await.unwrap();
            assert_eq!(counts(&answer), [0, names.len() as u64, 0, 0]);
            for (result, (_, id)) in answer.json()["results"].as_array().unwrap().iter().zip(names) {
                assert_eq!(result["eventId"], id.as_str(), "kept a second time");
            }
        }
        remote.stop().await.unwrap();
    });
}

/// Four writers, of single events and of batches. They go on until the host is gone.
struct Load {
    writers: Vec<tokio::task::JoinHandle<()>>,
    accepted: Arc<Mutex<Vec<(String, String)>>>,
    ended: Arc<AtomicBool>,
}

impl Load {
    fn start(port: u16, round: usize) -> Self {
        let accepted: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let ended: Arc<AtomicBool> = Arc::default();
        let count = Arc::new(AtomicUsize::new(0));
        let write = |writer: usize| {
            let (accepted, ended, count) = (accepted.clone(), ended.clone(), count.clone());
            async move {
                let size = [1, 1, 10, 50][writer];
                while !ended.load(Ordering::Relaxed) {
                    let first = count.fetch_add(size, Ordering::Relaxed);
                    let names: Vec<String> =
                        (first..first + size).map(|index| format!("kill-{round}-{index}")).collect();
                    let events: Vec<Value> = names.iter().map(|name| named(name)).collect();
                    // A writer that gets no answer knows nothing about its events, so it claims nothing.
                    let Ok(answer) = send(port, &Ask::batch(&events)).await else { continue };
                    if answer.status != 200 {
                        continue;
                    }
                    let body = answer.json();
                    let kept = body["results"].as_array().unwrap().iter().zip(names);
                    let kept = kept.filter(|(result, _)| result["status"] == "accepted");
                    let kept = kept.map(|(result, name)| (name, result["eventId"].as_str().unwrap().to_owned()));
                    accepted.lock().unwrap().extend(kept);
                }
            }
        };
        let writers = (0..4).map(|writer| tokio::spawn(write(writer))).collect();
        Self { writers, accepted, ended }
    }

    async fn until_accepted(&self, events: usize) {
        for _ in 0..600 {
            if self.accepted.lock().unwrap().len() >= events {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not {events} events in 30 seconds");
    }

    async fn end(self) -> Vec<(String, String)> {
        self.ended.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.unwrap();
        }
        std::mem::take(&mut *self.accepted.lock().unwrap())
    }
}

/// A host takes its processes with it, whether it stops or is killed. A host that stops also removes its files.
pub fn nothing_is_left_behind(platform: Platform) {
    let temporary = tempfile::tempdir().unwrap();
    // Every process that a host starts has this in its environment, and all its own files are below this folder.
    let marker = temporary.path().to_str().unwrap().to_owned();
    block_on(async {
        for kill in [false, true] {
            let mut up = up(platform, "test");
            up.environment.push(("TMPDIR".to_owned(), marker.clone()));
            let (port, remote) = start(&up).await;
            assert_eq!(send(port, &Ask::event(&named("left"))).await.unwrap().status, 202);
            assert!(!processes(&marker).is_empty(), "the marker marks nothing");
            if kill {
                remote.kill().await.unwrap();
            } else {
                remote.stop().await.unwrap();
                let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
                assert!(left.is_empty(), "files left: {left:?}");
            }
            for _ in 0..50 {
                if processes(&marker).is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(processes(&marker), Vec::<String>::new(), "processes left");
        }
    });
}

fn processes(marker: &str) -> Vec<String> {
    let read = |pid: &Path, file: &str| std::fs::read(pid.join(file)).unwrap_or_default();
    let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    all.filter(|pid| {
        let environment = read(pid, "environ");
        environment.windows(marker.len()).any(|window| window == marker.as_bytes())
    })
    .map(|pid| String::from_utf8_lossy(&read(&pid, "cmdline")).replace('\0', " "))
    // A zombie has no command line: it has ended.
    .filter(|command| !command.is_empty())
    .collect()
}

/// After its retention an event is no longer found, and its messageId is free, even if nothing has deleted the event
/// yet.
pub fn an_event_that_has_expired_is_there_no_more(platform: Platform) {
    block_on(async {
        let (port, remote) = start(&up(platform, "test")).await;
        let mut event = named("expires");
        let id = send(port, &Ask::event(&event)).await.unwrap().text("eventId");
        let find = || Ask::get(&format!("/events/{id}"));
        // Enough events for a fold: an event that is not folded yet keeps its place.
        for part in 0..6 {
            let others: Vec<_> = (0..500).map(|index| named(&format!("fold-{part}-{index}"))).collect();
            assert_eq!(counts(&send(port, &Ask::batch(&others)).await.unwrap()), [500, 0, 0, 0]);
        }
        assert_eq!(send(port, &find()).await.unwrap().status, 200);
        check(&send(port, &find().after_retention()).await.unwrap(), 404, "not_found");
        event["userId"] = "another".into();
        check(&send(port, &Ask::event(&event)).await.unwrap(), 409, "conflict");
        let deadline = Instant::now() + Duration::from_secs(60);
        let answer = loop {
            let answer = send(port, &Ask::event(&event).after_retention()).await.unwrap();
            if answer.status != 503 || Instant::now() > deadline {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert_eq!((answer.status, answer.text("eventId")), (202, id.clone()), "{answer:?}");
        assert!(answer.json()["duplicate"].is_null(), "{answer:?}");
        let again = send(port, &Ask::event(&event).after_retention()).await.unwrap();
        assert_eq!((again.status, again.json()["duplicate"].as_bool()), (202, Some(true)), "{again:?}");
        assert_eq!(send(port, &find().after_retention()).await.unwrap().text("userId"), "another");
        remote.stop().await.unwrap();
    });
}

/// Each type of event is kept for as long as the configuration says.
pub fn an_event_is_kept_for_as_long_as_its_type(platform: Platform) {
    let config = r#"{"version":2,"open":true,"retention":{"short":7,"*":200}}"#;
    let host = Fixture::configured(platform, config);
    let event = |event_type: &str, user: &str| json!({"userId": user, "eventType": event_type, "messageId": format!("kept {event_type}"), "properties": {}});
    let ids = ["short", "long"].map(|event_type| host.ask(&Ask::event(&event(event_type, "u"))).text("eventId"));
    // The reference keeps everything for ever.
    let find = |id: &str, days: u64| host.send(&Ask::get(&format!("/events/{id}")).after(Seconds(days * DAY))).status;
    for (days, expected) in [(6, [200, 200]), (7, [404, 200]), (199, [404, 200]), (200, [404, 404])] {
        assert_eq!(ids.each_ref().map(|id| find(id, days)), expected, "after {days} days");
    }
    // Their messageIds become free at the same times.
    let again =
        |event_type: &str, days: u64| host.send(&Ask::event(&event(event_type, "another")).after(Seconds(days * DAY)));
    check(&again("short", 6), 409, "conflict");
    check(&again("long", 199), 409, "conflict");
    for part in 0..6 {
        let others: Vec<_> = (0..500).map(|index| named(&format!("kept-{part}-{index}"))).collect();
        assert_eq!(counts(&host.send(&Ask::batch(&others))), [500, 0, 0, 0]);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while again("short", 7).status != 202 {
        assert!(Instant::now() < deadline, "an expired event keeps its place");
        std::thread::sleep(Duration::from_millis(200));
    }
    check(&again("long", 199), 409, "conflict");
}

/// The header that fixes the stamp in these tests has no effect on release artifacts.
pub fn a_release_takes_no_stamp_from_a_header(platform: Platform) {
    block_on(async {
        let (port, remote) = start(&up(platform, "release")).await;
        let ask = Ask::event(&serde_json::json!({"userId": "u", "eventType": "t", "properties": {}}));
        let first = send(port, &ask).await.unwrap();
        let second = send(port, &ask).await.unwrap();
        assert_eq!((first.status, second.status), (202, 202));
        assert_ne!(first.text("eventId"), second.text("eventId"), "the stamp of the header was taken");
        remote.stop().await.unwrap();
    });
}
