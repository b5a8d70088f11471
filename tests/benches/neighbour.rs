//! How long one tenant waits beside another's burst, which a limit holds: `cargo bench --package isotherm-conformance --bench
//! neighbour -- [PLATFORM…]`, by default native and Workers.
//!
//! Both send at fixed times, so a request that waits holds up none that comes after it, and its time counts from when it was due.
//! Rounds alone and rounds beside the burst take turns, since the machine is shared with others. The same without a limit
//! shows what the limit is for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark panics to fail")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use isotherm_conformance::fixture::{block_on, start, up};
use isotherm_core::key_entry;
use isotherm_hosts::{Platform, Up};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// The tenant that is looked at: requests a second.
const TRICKLE: u32 = 50;
/// The tenant beside it: requests a second, fewer and more than one process of workerd can answer.
const BURSTS: [u32; 2] = [250, 1000];
/// How many of them its limit lets pass.
const LIMIT: u32 = 50;
/// The length of each half of a round.
const HALF: Duration = Duration::from_secs(8);
const ROUNDS: usize = 5;
/// As many of a tenant's requests may be under way at once.
const CONNECTIONS: u32 = 16;

/// The tenants' keys.
const KEYS: [&str; 2] = ["a key of the tenant that trickles", "a key of the tenant that bursts"];

/// What came back: milliseconds from when each request was due, and how often each status was answered.
#[derive(Default)]
struct Answers {
    times: Vec<f64>,
    statuses: BTreeMap<u16, usize>,
}

/// Sends events of a tenant at a rate, over its connections in turn.
async fn send(port: u16, key: &'static str, rate: u32) -> Answers {
    let answers = Arc::new(Mutex::new(Answers::default()));
    let begin = Instant::now() + Duration::from_millis(50);
    let requests = rate * u32::try_from(HALF.as_secs()).unwrap();
    let sending = (0..CONNECTIONS).map(|connection| {
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            let driver = tokio::spawn(driver);
            for number in (connection..requests).step_by(CONNECTIONS as usize) {
                let due = begin + Duration::from_secs(1) * number / rate;
                sleep_until(due).await;
                let request = hyper::Request::post("/events")
                    .header("host", "localhost")
                    .header("authorization", format!("Bearer {key}"))
                    .header("content-type", "application/json")
                    .body(Full::new(Bytes::from_static(br#"{"userId":"u","eventType":"t","properties":{"n":1}}"#)));
                sender.ready().await.unwrap();
                let answer = sender.send_request(request.unwrap()).await.unwrap();
                let status = answer.status().as_u16();
                answer.into_body().collect().await.unwrap();
                let mut answers = answers.lock().unwrap();
                answers.times.push(due.elapsed().as_secs_f64() * 1000.0);
                *answers.statuses.entry(status).or_default() += 1;
            }
            driver.abort();
        })
    });
    for task in sending.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut answers = std::mem::take(&mut *answers.lock().unwrap());
    answers.times.sort_by(f64::total_cmp);
    answers
}

/// The time that a part of the requests took at most.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[(((sorted.len() - 1) as f64) * part).ceil() as usize]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

async fn measure(platform: Platform, burst_rate: u32, is_limited: bool) {
    let [trickle, burst] = KEYS;
    let keys = [
        key_entry(trickle, Some("trickle"), "calm", "write", None),
        key_entry(burst, Some("burst"), "wild", "write", None),
    ];
    let keys = keys.map(Result::unwrap).join(",");
    let limits =
        if is_limited { format!(r#","limits":{{"tenants":{{"wild":{{"events":{LIMIT}}}}}}}"#) } else { String::new() };
    let config = format!(r#"{{"version":2,"keys":[{keys}]{limits}}}"#);
    let (port, remote) = start(&Up { config, ..up(platform, "release") }).await;
    send(port, trickle, TRICKLE).await;
    let (mut rounds, mut statuses) = (Vec::new(), BTreeMap::new());
    for _round in 0..ROUNDS {
        let alone = send(port, trickle, TRICKLE).await.times;
        let (calm, wild) = tokio::join!(send(port, trickle, TRICKLE), send(port, burst, burst_rate));
        assert!(calm.statuses.keys().eq([&202]), "the tenant beside the burst is answered {:?}", calm.statuses);
        rounds.push((alone, calm.times));
        for (status, count) in wild.statuses {
            *statuses.entry(status).or_insert(0) += count;
        }
    }
    remote.stop().await.unwrap();
    let limit = if is_limited { format!("a limit of {LIMIT}/s") } else { "no limit".to_owned() };
    println!("{platform}, {limit}: {TRICKLE}/s beside {burst_rate}/s, of which were answered {statuses:?}");
    for part in [0.5, 0.95, 0.99] {
        // The disk of a shared machine stops now and then, so a round counts and not a request.
        let alone = median(rounds.iter().map(|(alone, _)| quantile(alone, part)));
        let beside = median(rounds.iter().map(|(_, beside)| quantile(beside, part)));
        println!("  p{:<3} {alone:8.2} ms alone {beside:8.2} ms beside {:6.2} x", part * 100.0, beside / alone);
    }
}

fn main() {
    // Cargo itself passes an option.
    let names = std::env::args().skip(1).filter(|name| !name.starts_with('-'));
    let named: Vec<Platform> =
        names.map(|name| Platform::named(&name).unwrap_or_else(|| panic!("no {name}"))).collect();
    let platforms = if named.is_empty() { vec![Platform::Native, Platform::Workers] } else { named };
    for platform in platforms {
        for (burst_rate, is_limited) in BURSTS.into_iter().flat_map(|rate| [(rate, true), (rate, false)]) {
            block_on(measure(platform, burst_rate, is_limited));
        }
    }
}
