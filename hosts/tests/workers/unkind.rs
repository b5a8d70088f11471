//! Objects that are as unkind as Cloudflare's: they lose their memory between two requests, their alarms ring twice, and
//! an alarm may end early or never be heard.

use std::collections::BTreeMap;
use std::time::Instant;

use super::rows::unfolded;
use super::services::{start_with, until_backed_up};
use super::*;
use crate::common::{has_variables, try_send};

const UNKIND: &str = "ISOTHERM_UNKIND_OBJECTS";

/// The event with this number. Consecutive numbers lie in different hours.
fn numbered(n: usize) -> Value {
    json!({ "messageId": format!("m{n}"), "userId": format!("u{}", n % 7), "eventType": "t",
        "timestamp": format!("2013-01-{:02}T{:02}:10:00Z", 1 + n / 24 % 28, n % 24), "properties": { "n": n } })
}

/// What became of one messageId.
#[derive(Default)]
struct Known {
    accepted: usize,
    id: Option<String>,
}

/// What clients were told, by the number of the event.
type Told = BTreeMap<usize, Known>;

fn tell(told: &mut Told, n: usize, status: &str, id: &Value) {
    let known = told.entry(n).or_default();
    match status {
        "accepted" => known.accepted += 1,
        "duplicate" => {}
        _ => panic!("event {n} is {status}"),
    }
    let id = id.as_str().unwrap().to_owned();
    assert_eq!(*known.id.get_or_insert_with(|| id.clone()), id, "event {n} has two ids");
}

/// How long a client tries to deliver, and how long it waits between two tries.
const DELIVER: (Duration, Duration) = (Duration::from_secs(20), Duration::from_millis(20));

/// Sends a request until its answer is none of 503: an object may have ended while it was under way.
async fn ask(url: &str, method: &str, path: &str, body: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let headers = [("content-type", "application/json")];
        let answer = try_send(url, method, path, &headers, body.to_owned()).await.unwrap();
        if answer.status != 503 {
            return answer;
        }
        assert!(begun.elapsed() < DELIVER.0, "{path}: {:?}", answer.body);
        tokio::time::sleep(DELIVER.1).await;
    }
}

async fn deliver_one(url: &str, n: usize, told: &mut Told) {
    let answer = ask(url, "POST", "/events", &numbered(n).to_string()).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let answer = answer.json();
    let status = if answer["duplicate"] == true { "duplicate" } else { "accepted" };
    tell(told, n, status, &answer["eventId"]);
}

/// Sends a batch until every event of it is in the store.
async fn deliver(url: &str, mut numbers: Vec<usize>, told: &mut Told) {
    let begun = Instant::now();
    while !numbers.is_empty() {
        assert!(begun.elapsed() < DELIVER.0, "not delivered: {numbers:?}");
        let batch = json!({ "events": numbers.iter().copied().map(numbered).collect::<Vec<_>>() });
        let answer = ask(url, "POST", "/events/batch", &batch.to_string()).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let answer = answer.json();
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), numbers.len());
        let mut again = Vec::new();
        for (n, result) in numbers.into_iter().zip(results) {
            match result["status"].as_str().unwrap() {
                "retry" => again.push(n),
                status => tell(told, n, status, &result["eventId"]),
            }
        }
        numbers = again;
    }
}

/// Sends events from this number on, each twice or more, alone and in batches, and looks some up, until the time is over.
async fn client(url: String, from: usize, until: Instant) -> Told {
    let (mut told, mut next) = (Told::new(), from);
    while Instant::now() < until {
        deliver(&url, (next..next + 15).chain(next..next + 3).collect::<Vec<_>>(), &mut told).await;
        deliver_one(&url, next + 15, &mut told).await;
        // Again what was sent just now, and what was sent long ago.
        deliver(&url, (next + 5..next + 16).collect(), &mut told).await;
        deliver_one(&url, from + (next - from) / 2, &mut told).await;
        look_up(&url, &told, next + 7).await;
        next += 16;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    told
}

/// An event that was delivered is found. Its messageId with other properties is a conflict.
async fn look_up(url: &str, told: &Told, n: usize) {
    let id = told[&n].id.as_deref().unwrap();
    let found = ask(url, "GET", &format!("/events/{id}"), "").await;
    assert_eq!((found.status, &found.json()["properties"]["n"]), (200, &json!(n)), "{:?}", found.body);
    let mut other = numbered(n);
    other["properties"]["n"] = json!(n + 1);
    assert_eq!(ask(url, "POST", "/events", &other.to_string()).await.status, 409);
}

/// How often something has happened to an object.
async fn times(host: &Host, what: &str) -> u64 {
    host.meters().await.unwrap().functions.get(what).map_or(0, |function| function.count)
}

/// Waits until no event is behind a watermark, and returns how long that took.
async fn folded(data: &Path, within: u64) -> Duration {
    let begun = Instant::now();
    while unfolded(data) > 0 {
        assert!(begun.elapsed().as_secs() < within, "{} events are not folded within {within} s", unfolded(data));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    begun.elapsed()
}

/// Checks that a report counts each event once.
async fn counts_once(url: &str, numbers: impl Iterator<Item = usize>) {
    let path = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-03-01T00:00:00Z&metrics=count,sum:n,users";
    let answer = ask(url, "GET", path, "").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let (count, sum) = numbers.fold((0, 0), |(count, sum), n| (count + 1, sum + n));
    assert_eq!(answer.json()["rows"][0], json!({ "count": count, "sum:n": sum, "users": 7 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_counts_once_while_objects_are_evicted_and_alarms_ring_twice() {
    const CLIENTS: usize = 3;
    const OF_CLIENT: usize = 100_000;
    let name = "unkind::every_event_counts_once_while_objects_are_evicted_and_alarms_ring_twice";
    if !has_variables(name, &[(UNKIND, "evict=3 rings=2")]) {
        return;
    }
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = start_with(&built("release", "workers"), data.path(), r#"{"open": true, "shards": 2}"#).await;
    let until = Instant::now() + Duration::from_secs(25);
    // Each range of events has two clients, so that a messageId is sent twice at once.
    let clients: Vec<_> =
        (0..2 * CLIENTS).map(|n| tokio::spawn(client(host.url(), n / 2 * OF_CLIENT, until))).collect();
    let mut all = Told::new();
    for client in clients {
        for (n, known) in client.await.unwrap() {
            let told = all.entry(n).or_default();
            told.accepted += known.accepted;
            assert_eq!(*told.id.get_or_insert_with(|| known.id.clone().unwrap()), known.id.unwrap());
        }
    }
    let more_than_once = all.iter().filter(|(_, known)| known.accepted > 1).map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(more_than_once, Vec::<&usize>::new(), "accepted more than once");
    let unheard = all.values().filter(|known| known.accepted == 0).count();
    let evicted = times(&host, "shard/evicted").await;
    println!("{} events, of {unheard} no client heard that they were accepted; {evicted} evictions", all.len());
    assert!(evicted > 50, "{evicted} evictions");

    let counts = async || counts_once(&host.url(), all.keys().copied()).await;
    counts().await;
    folded(data.path(), 60).await;
    counts().await;
    until_backed_up(data.path(), all.values().map(|known| known.id.clone().unwrap()).collect()).await;
    for n in all.keys().step_by(all.len() / 50 + 1) {
        look_up(&host.url(), &all, *n).await;
    }
    let mut again = Told::new();
    for numbers in all.keys().copied().collect::<Vec<_>>().chunks(400) {
        deliver(&host.url(), numbers.to_vec(), &mut again).await;
    }
    assert_eq!(again.values().map(|known| known.accepted).sum::<usize>(), 0);
    counts().await;
    host.stop().await.unwrap();
}

/// Starts a host with one shard, which keeps 40 events.
async fn kept_by_one_shard(data: &Path) -> Host {
    let host = start_with(&built("release", "workers"), data, r#"{"open": true, "shards": 1}"#).await;
    deliver(&host.url(), (0..40).collect(), &mut Told::new()).await;
    host
}

/// Sends another event each second until all are folded.
async fn folded_beside_requests(host: &Host, data: &Path, within: usize) {
    for n in 40..40 + within {
        deliver_one(&host.url(), n, &mut Told::new()).await;
        counts_once(&host.url(), 0..n + 1).await;
        // The first of them is folded: its block is closed.
        if unfolded(data) < n as u64 {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("nothing is folded within {within} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_alarm_was_given_up_folds_after_the_next_request() {
    let name = "unkind::an_object_whose_alarm_was_given_up_folds_after_the_next_request";
    if !has_variables(name, &[(UNKIND, "lost=1")]) {
        return;
    }
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = kept_by_one_shard(data.path()).await;
    // workerd evicts an object that has had nothing to do for 10 s.
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!((times(&host, "shard/alarm-lost").await, unfolded(data.path())), (1, 40));
    counts_once(&host.url(), 0..40).await;
    deliver_one(&host.url(), 40, &mut Told::new()).await;
    folded(data.path(), 30).await;
    counts_once(&host.url(), 0..41).await;
    host.stop().await.unwrap();
}

/// Its requests keep this object in memory. There it knows of an alarm, which never rings.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_object_whose_alarm_was_given_up_folds_once_that_is_overdue() {
    let name = "unkind::a_busy_object_whose_alarm_was_given_up_folds_once_that_is_overdue";
    if !has_variables(name, &[(UNKIND, "lost=1")]) {
        return;
    }
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = kept_by_one_shard(data.path()).await;
    folded_beside_requests(&host, data.path(), 90).await;
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_that_throws_is_rung_again_and_folds() {
    let name = "unkind::an_alarm_that_throws_is_rung_again_and_folds";
    if !has_variables(name, &[(UNKIND, "throws=2")]) {
        return;
    }
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = kept_by_one_shard(data.path()).await;
    folded(data.path(), 40).await;
    assert_eq!(times(&host, "shard/alarm-thrown").await, 2);
    counts_once(&host.url(), 0..40).await;
    host.stop().await.unwrap();
}

/// Nobody asks this object again. Its alarm was set for a minute later before the work began.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_ends_in_its_alarm_is_woken_by_the_guard() {
    let name = "unkind::an_object_that_ends_in_its_alarm_is_woken_by_the_guard";
    if !has_variables(name, &[(UNKIND, "ends=1")]) {
        return;
    }
    let (_turn, data) = (beside().await, tempfile::tempdir().unwrap());
    let host = kept_by_one_shard(data.path()).await;
    let waited = folded(data.path(), 100).await;
    assert!(waited > Duration::from_secs(50), "not the guard has woken it: folded after {waited:?}");
    assert_eq!(times(&host, "shard/alarm-ended").await, 1);
    counts_once(&host.url(), 0..40).await;
    host.stop().await.unwrap();
}
