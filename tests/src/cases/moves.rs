//! Data leave for another service and come back.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use isotherm_hosts::Platform;
use serde_json::{Value, json};

use super::{check, counts};
use crate::client::Ask;
use crate::fixture::{Fixture, program};

const BOTH: &str = "Bearer acme does both of it";
const OPERATES: &str = "acme operates it all";
const DAYS: &str = "from=2025-11-01T00:00:00Z&to=2025-11-08T00:00:00Z";
/// How long a platform may take until its reports count what it accepted.
const FRESH_WITHIN: Duration = Duration::from_secs(240);

/// A plain server moves to the platform, which takes events of its own, and moves on to another plain server. Then what
/// is new goes back to where it came from. Reports, look-ups and duplicates are the same everywhere.
pub fn data_leave_for_another_service_and_come_back(platform: Platform) {
    let [first, there, last] = [Platform::Native, platform, Platform::Native].map(Fixture::with_keys);
    let events: Vec<Value> = (0..900).map(event).collect();
    assert_eq!(counts(&send(&first, &events)), [900, 0, 0, 0]);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let state = ["--state", state.to_str().unwrap()];

    move_all(&first, &there, &state);
    assert!(!Path::new(state[1]).exists(), "a move that is done leaves no state");
    assert_same(&first, &there);
    assert_eq!(counts(&send(&there, &events[..100])), [0, 100, 0, 0], "the target knows the events");
    let one = found(&first, &events[5]);
    assert_eq!(found(&there, &events[5]), one);
    assert!(one.starts_with(r#"{"eventId":"evt_"#), "{one}");

    let new: Vec<Value> = (900..1100).map(event).collect();
    assert_eq!(counts(&send(&there, &new)), [200, 0, 0, 0]);
    wait_for(&there, 1100);
    move_all(&there, &last, &[]);
    assert_same(&there, &last);

    // A target with events of its own is refused: they may be the same events.
    let own = Fixture::with_keys(Platform::Native);
    assert_eq!(counts(&send(&own, &events[..10])), [10, 0, 0, 0]);
    wait_until_folded(&own);
    let refused = run(&arguments(&there, &own, &[]));
    assert!(!refused.status.success() && said(&refused).contains("events of its own at the target"), "{refused:?}");

    // The same by a file, into what is there already.
    let file = folder.path().join("acme.ndjson.gz");
    let file = file.to_str().unwrap();
    isotherm(&[&["export", &there.url(), file], ["--key", OPERATES].as_slice()].concat());
    isotherm(&[&["import", file, &last.url()], ["--key", OPERATES].as_slice()].concat());
    assert_same(&there, &last);

    // The way back: only what came since.
    move_all(&there, &first, &["--events-only"]);
    assert_same(&there, &first);
    assert_eq!(counts(&send(&first, &new)), [0, 200, 0, 0]);
}

/// The raw backup of a plain server comes back on the platform, and the platform's own on another plain server. Reports,
/// look-ups and duplicates are the same everywhere.
pub fn a_raw_backup_comes_back_anywhere(platform: Platform) {
    let [first_data, there_data] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Fixture::with_keys_in(Platform::Native, first_data.path());
    let there = Fixture::with_keys_in(platform, there_data.path());
    let events: Vec<Value> = (0..300).map(event).collect();
    assert_eq!(counts(&send(&first, &events)), [300, 0, 0, 0]);
    let first_backup = first_data.path().join("backup");
    verify(&first, &first_backup);
    restore(&first_backup, &there);
    assert_same(&first, &there);
    assert_eq!(counts(&send(&there, &events)), [0, 300, 0, 0], "clients' retries are duplicates");
    assert_eq!(found(&there, &events[5]), found(&first, &events[5]));
    verify(&there, &first_backup);

    let own = match platform {
        Platform::Lambda => there_data.path().join("backup/events"),
        Platform::Workers | Platform::Native => there_data.path().join("backup"),
        Platform::Spin => return,
    };
    if std::env::var_os("ISOTHERM_CLUSTER").is_some() {
        return;
    }
    verify(&there, &own);
    let last = Fixture::with_keys(Platform::Native);
    restore(&own, &last);
    assert_same(&there, &last);
    assert_eq!(counts(&send(&last, &events)), [0, 300, 0, 0]);
}

/// A frozen tenant's clients are told to wait, to the byte. It is read as before, and a cutover to a plain server ends.
pub fn a_frozen_tenant_takes_nothing_and_leaves(platform: Platform) {
    let data = tempfile::tempdir().unwrap();
    let events: Vec<Value> = (0..300).map(event).collect();
    let open = Fixture::with_keys_in(platform, data.path());
    assert_eq!(counts(&send(&open, &events)), [300, 0, 0, 0]);
    drop(open);
    let frozen = Fixture::frozen_in(platform, data.path());
    let segment = json!({"batch": [{"type": "track", "event": "e", "userId": "u", "messageId": "later"}]});
    let requests = [
        (Ask::event(&event(1)), "10"),
        (Ask::batch(&events[..2]), "10"),
        // SDKs that give up after three more requests are told to wait longer.
        (Ask::new("POST", "/v1/batch").json(segment.to_string()), "25"),
        (Ask::new("POST", "/cloudevents").json("{}"), "25"),
        // OTLP's exporters have ten seconds for a request and all of its repetitions.
        (Ask::new("POST", "/v1/logs").json("{}"), "1"),
    ];
    for (ask, seconds) in requests {
        let answer = frozen.ask(&ask.header("authorization", BOTH));
        check(&answer, 503, "frozen");
        let after = answer.headers.iter().filter(|(name, _)| name == "retry-after").map(|(_, value)| value.as_str());
        assert_eq!(after.collect::<Vec<_>>(), [seconds], "{answer:?}");
    }
    let globex = Ask::event(&event(1)).header("authorization", "Bearer globex does both");
    assert_eq!(frozen.send(&globex).status, 202, "the other tenant goes on");
    wait_for(&frozen, 300);
    let target = Fixture::with_keys(Platform::Native);
    let mut cutover = arguments(&frozen, &target, &["--settle", "0"]);
    cutover[0] = "cutover".to_owned();
    let read_key = BOTH.trim_start_matches("Bearer ").to_owned();
    cutover.extend(["--from-read-key".to_owned(), read_key.clone(), "--to-read-key".to_owned(), read_key]);
    let ran = run(&cutover);
    let said = said(&ran);
    println!("{said}");
    assert!(ran.status.success() && said.contains("300 events and") && said.contains("and 3 reports"), "{said}");
    assert_same(&frozen, &target);
    assert_eq!(counts(&send(&target, &events)), [0, 300, 0, 0], "clients' retries are duplicates");
}

#[track_caller]
fn restore(backup: &Path, to: &Fixture) {
    isotherm(&["restore", backup.to_str().unwrap(), &to.url(), "--key", OPERATES]);
}

/// Compares a service with a backup, which is whole once all is folded.
#[track_caller]
fn verify(of: &Fixture, backup: &Path) {
    let deadline = Instant::now() + FRESH_WITHIN;
    loop {
        let ran = run(&["verify", &of.url(), backup.to_str().unwrap(), "--key", OPERATES]);
        if ran.status.success() && said(&ran).contains("300 events alike") {
            return;
        }
        assert!(Instant::now() < deadline, "{}", said(&ran));
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn event(n: u32) -> Value {
    let time = format!("2025-11-{:02}T{:02}:30:00Z", 1 + n % 7, n % 24);
    json!({"messageId": format!("m{n}"), "userId": format!("u{}", n % 50), "eventType": format!("t{}", n % 3),
        "timestamp": time, "properties": {
            "to": format!("x{}", n % 11), "n": n, "f": f64::from(n) / 7.0, "pad": {"of": "x".repeat(700)}}})
}

fn send(host: &Fixture, events: &[Value]) -> crate::client::Answer {
    host.send(&Ask::batch(events).header("authorization", BOTH))
}

fn get(host: &Fixture, target: &str) -> Value {
    let answer = host.send(&Ask::get(target).header("authorization", BOTH));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The record of an event, as it is answered.
fn found(host: &Fixture, event: &Value) -> String {
    let sent = host.send(&Ask::event(event).header("authorization", BOTH)).json();
    let id = sent["eventId"].as_str().unwrap_or_else(|| panic!("{sent}"));
    let answer = host.send(&Ask::get(&format!("/events/{id}")).header("authorization", BOTH));
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn wait_for(host: &Fixture, count: u64) {
    let deadline = Instant::now() + FRESH_WITHIN;
    let summary = format!("/reports/summary?{DAYS}");
    while get(host, &summary)["rows"][0]["count"] != count {
        assert!(Instant::now() < deadline, "{}", get(host, &summary));
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Compares reports of every kind, but for how far they say they reach.
#[track_caller]
fn assert_same(one: &Fixture, other: &Fixture) {
    let metrics = "metrics=count,users,sum:n,min:f,max:n,mean:f,p95:n";
    let count = get(one, &format!("/reports/summary?{DAYS}"))["rows"][0]["count"].as_u64().unwrap();
    wait_for(other, count);
    for report in [
        "summary?",
        "timeseries?interval=hour&limit=1000&",
        "timeseries?interval=day&groupBy=eventType&",
        "timeseries?interval=day&groupBy=to&limit=1000&",
        "top?dimension=to&",
    ] {
        let answers = [one, other].map(|host| {
            let mut answer = get(host, &format!("/reports/{report}{DAYS}&{metrics}"));
            answer.as_object_mut().unwrap().remove("asOf");
            answer.to_string()
        });
        assert_eq!(answers[0], answers[1], "{report}");
    }
}

fn arguments(from: &Fixture, to: &Fixture, more: &[&str]) -> Vec<String> {
    let (from, to) = (from.url(), to.url());
    let arguments = ["move", "--from", &from, "--to", &to, "--from-key", OPERATES, "--to-key", OPERATES];
    arguments.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
}

#[track_caller]
fn move_all(from: &Fixture, to: &Fixture, more: &[&str]) {
    isotherm(&arguments(from, to, more));
}

/// Runs the program, which is to succeed.
#[track_caller]
fn isotherm(arguments: &[impl AsRef<OsStr> + Debug]) {
    let ran = run(arguments);
    assert!(ran.status.success(), "{arguments:?}: {}", said(&ran));
}

fn run(arguments: &[impl AsRef<OsStr>]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

fn said(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr)
}

/// Waits until a plain server has no events behind its watermark.
fn wait_until_folded(host: &Fixture) {
    let deadline = Instant::now() + FRESH_WITHIN;
    let ask = || Ask::get("/export/rollups").header("authorization", &format!("Bearer {OPERATES}"));
    while !String::from_utf8_lossy(&host.send(&ask()).body).contains("page") {
        assert!(Instant::now() < deadline, "nothing is folded");
        std::thread::sleep(Duration::from_millis(200));
    }
}
