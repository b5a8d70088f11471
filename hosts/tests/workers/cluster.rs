//! workerd's own cluster under load, while its instances die, stop and come.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use isotherm_hosts::{Host, Options, Platform};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{alone, workerds_of};
use crate::common::{built, try_send};

const INSTANCES: u32 = 3;
const CLIENTS: usize = 4;
/// How long a client tries to deliver a batch: longer than the lease of an instance that died, which is 20 s.
const DELIVER_WITHIN: Duration = Duration::from_secs(60);
/// How long requests may fail after an instance died. workerd's lease takes 20 s, and taking over some more.
const RECOVERS_WITHIN: Duration = Duration::from_secs(40);
const BATCH: usize = 20;

/// What the clients saw.
#[derive(Default)]
struct Seen {
    accepted: AtomicUsize,
    /// Milliseconds of the longest wait for an answer other than 5xx.
    longest: AtomicUsize,
    is_over: AtomicBool,
}

async fn start(artifact: &Path, data: &Path) -> Host {
    let options = Options {
        artifact: artifact.to_owned(),
        port: 0,
        data: Some(data.to_owned()),
        config: isotherm_hosts::OPEN.to_owned(),
        cluster: Some(INSTANCES),
        log_requests: false,
    };
    Host::start(Platform::Workers, &options).await.unwrap()
}

/// Sends batches until the test is over, each until every event of it is in the store.
async fn client(url: String, name: usize, seen: Arc<Seen>) {
    for batch in 0.. {
        if seen.is_over.load(Ordering::Relaxed) {
            return;
        }
        let lines: Vec<String> = (0..BATCH)
            .map(|n| json!({ "userId": "u", "eventType": "load", "properties": {}, "messageId": format!("{name}-{batch}-{n}") }).to_string())
            .collect();
        let begun = Instant::now();
        while !deliver(&url, &lines).await {
            assert!(begun.elapsed() < DELIVER_WITHIN, "client {name} can't deliver batch {batch}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        seen.accepted.fetch_add(BATCH, Ordering::Relaxed);
        seen.longest.fetch_max(begun.elapsed().as_millis() as usize, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether every event of the batch is in the store now. A connection that breaks says nothing of its events.
async fn deliver(url: &str, lines: &[String]) -> bool {
    let headers = [("content-type", "application/x-ndjson")];
    let sent = try_send(url, "POST", "/events/batch", &headers, lines.join("\n"));
    let Ok(sent) = tokio::time::timeout(DELIVER_WITHIN, sent).await else { return false };
    sent.is_ok_and(|answer| {
        answer.status == 200 && {
            let counts = answer.json();
            counts["accepted"].as_u64().unwrap() + counts["duplicate"].as_u64().unwrap() == lines.len() as u64
        }
    })
}

async fn counted(url: &str) -> u64 {
    let begun = Instant::now();
    loop {
        if let Ok(answer) = try_send(url, "GET", "/reports/summary", &[], String::new()).await
            && answer.status == 200
        {
            return answer.json()["rows"][0]["count"].as_u64().unwrap_or_default();
        }
        assert!(begun.elapsed() < RECOVERS_WITHIN, "no report");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// The instances that run, by process id.
fn instances(data: &Path) -> BTreeSet<u32> {
    workerds_of(data).into_iter().collect()
}

/// How many databases of Durable Objects an instance has open.
fn objects(pid: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let files = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "sqlite")).count()
}

async fn ends(data: &Path, pid: u32) {
    let begun = Instant::now();
    while instances(data).contains(&pid) {
        assert!(begun.elapsed() < Duration::from_secs(15), "an instance does not stop");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_event_once_while_instances_die_stop_and_come() {
    let (artifact, data) = (built("release", "workers"), tempfile::tempdir().unwrap());
    let _turn = alone().await;
    let host = start(&artifact, data.path()).await;
    let (url, seen) = (host.url(), Arc::new(Seen::default()));
    let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(client(url.clone(), n, Arc::clone(&seen)))).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let longest = |what: &str| {
        let ms = seen.longest.swap(0, Ordering::Relaxed);
        println!("{what}: {} events accepted, the longest wait was {ms} ms", seen.accepted.load(Ordering::Relaxed));
        Duration::from_millis(ms as u64)
    };
    longest("three instances");

    // A rolling upgrade: a new instance for each of the old ones, which hands its objects over when it stops.
    for old in instances(data.path()) {
        host.add_instance().await.unwrap();
        signal(old, Signal::TERM);
        ends(data.path(), old).await;
    }
    assert_eq!(instances(data.path()).len(), 3);
    let upgrade = longest("a rolling upgrade");
    assert!(upgrade < Duration::from_secs(15), "{upgrade:?}");

    // The instance that owns most objects dies.
    let killed = instances(data.path()).into_iter().max_by_key(|pid| objects(*pid)).unwrap();
    println!(
        "{} of {} objects are the killed instance's",
        objects(killed),
        instances(data.path()).into_iter().map(objects).sum::<usize>()
    );
    signal(killed, Signal::KILL);
    host.add_instance().await.unwrap();
    tokio::time::sleep(RECOVERS_WITHIN).await;
    let kill = longest("one killed, one added");
    assert!(kill < RECOVERS_WITHIN, "{kill:?}");

    seen.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(counted(&url).await, seen.accepted.load(Ordering::Relaxed) as u64);
    let meters = host.meters().await.unwrap();
    println!("{:?}", meters.store);
    assert!(meters.store["bucket/write"][&0] > 0);
    host.stop().await.unwrap();
}
