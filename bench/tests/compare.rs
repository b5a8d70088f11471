//! Runs `isotherm compare` as its users do, with a small but real workload. It runs on the native platform, and on
//! Lambda for its special parts.
#![allow(clippy::unwrap_used, reason = "what a helper of a test finds wrong fails the test")]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

mod fixture;

use fixture::{EVENTS, Fixture, check_code, check_schema, text};

#[test]
fn a_run_prints_a_table_and_keeps_its_result() {
    let fixture = Fixture::new();
    let [table, progress] = fixture.table(&["--platform", "native"]);
    let [page, path] = fixture.page_and_result();
    assert!(table.trim_end().ends_with("/result.json") && path.ends_with(table.lines().last().unwrap()), "{table}");
    for (number, phase) in (2..).zip(["cold starts", "warm latency", "throughput", "meters", "reports", "checking"]) {
        let phase = format!("[{number}/7] {phase}");
        assert!(progress.contains(&phase), "{progress}");
    }
    let content = std::fs::read_to_string(&page).unwrap();
    assert!(
        content.contains("Isotherm adds") && !content.contains("No winner"),
        "one platform has its floor: {content}"
    );
    assert!(page.ends_with(progress.lines().last().unwrap()), "{progress}");

    let result: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    check_schema(&result);
    let native = &result["platforms"][0];
    assert_eq!((&native["platform"], &native["errors"]), (&"native".into(), &0.into()));
    let replay = &native["replay"];
    assert!(replay["sent"].as_u64().unwrap() >= EVENTS as u64 && replay["accepted"] == replay["sent"], "{replay}");
    assert_eq!(replay["verified"], EVENTS);
    assert_eq!(native["cold"]["init"]["samples"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&native["scopes"]["warm"]["flush"], &native["scopes"]["cold_init"]["process_start"]),
        (&"in".into(), &"in".into())
    );
    assert!(native["cpu"]["deferred_seconds"].as_f64().unwrap() >= 0.0);
    let noise = &result["noise"];
    assert!(noise["disk"]["flush_ms_p50"].as_f64().unwrap() > 0.0 && noise["busy_meanwhile"][0].is_number(), "{noise}");
    assert_eq!(native["floor"]["cold"]["init"]["n"], 3);
    assert_eq!(native["warm"]["latency"]["n"], 50);
    assert_eq!(
        (&native["reports"]["latency"]["all"]["n"], &native["reports"]["freshness"]["n"]),
        (&3.into(), &2.into())
    );
    assert!(native["ratio"]["requests_per_second"]["value"].as_f64().unwrap() > 0.0);
}

#[test]
fn with_json_standard_output_is_the_result_and_nothing_else() {
    let fixture = Fixture::new();
    let flags = ["--platform", "native", "--json", "--quick", "--seed", "9", "--out", "here"];
    let output = fixture.compare(&fixture.artifacts, &flags).output().unwrap();
    check_code(&output, 0);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    check_schema(&result);
    assert_eq!(std::fs::read(fixture.folder.path().join("here/result.json")).unwrap(), output.stdout);
    assert!(text(&output.stderr).trim_end().ends_with("here/result.json\nhere/report.html"));
    // What the service and its floor log is no progress of a comparison.
    let logs = fixture.folder.path().join("here/logs");
    assert!(["native.log", "floor-of-native.log"].iter().all(|log| logs.join(log).is_file()));
    assert_eq!((&result["workload"]["seed"], &result["workload"]["cold"]["samples"]), (&9.into(), &2.into()));
    assert_eq!(
        (&result["workload"]["events"], &result["platforms"][0]["replay"]["verified"]),
        (&100.into(), &100.into())
    );
}

#[test]
fn a_platform_that_cannot_start_is_named_and_the_others_are_measured() {
    let fixture = Fixture::new();
    let artifacts = fixture.native_as("release");
    let output = fixture.compare(&artifacts, &["--platform", "lambda", "--platform", "native"]).output().unwrap();
    check_code(&output, 3);
    assert!(text(&output.stderr).contains("lambda is left out, it can't be started: "), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&std::fs::read(&fixture.written()[1]).unwrap()).unwrap();
    check_schema(&result);
    assert_eq!(
        (&result["not_started"][0]["platform"], &result["platforms"][0]["platform"]),
        (&"lambda".into(), &"native".into())
    );
}

#[test]
fn wrong_answers_fail_the_run() {
    let fixture = Fixture::new();
    // The floor stands in for the platform and answers events with hello.
    let artifacts = fixture.native_as("floor");
    let output = fixture.compare(&artifacts, &["--platform", "native"]).output().unwrap();
    check_code(&output, 1);
    assert!(text(&output.stderr).contains("native: "), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("answered 200"), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty() && fixture.written().is_empty());
}

#[test]
fn an_interrupted_run_leaves_neither_a_result_nor_a_process() {
    let fixture = Fixture::new();
    // The artifacts have a path of their own, so that the test can tell their processes from all others.
    let artifacts = fixture.native_as("release");
    let ours = || {
        let commands = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok());
        let path = fixture.folder.path().to_str().unwrap();
        // Counts each command line once: a process that is about to become another one still has its parent's command
        // line.
        commands.filter(|command| String::from_utf8_lossy(command).contains(path)).collect::<BTreeSet<_>>().len()
    };
    // Interrupts once while the first platform starts, and once when there are isotherm itself, two hosts and their
    // processes.
    for at_least in [2, 5] {
        let mut compare = fixture.compare(&artifacts, &["--platform", "native"]);
        let mut child = compare.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until(|| ours() >= at_least);
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(ours(), 0);
        assert!(fixture.written().is_empty());
    }
}

#[track_caller]
fn wait_until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn bad_input_is_one_line_and_code_2() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("bad.ndjson"),
        "{\"userId\":\"u\",\"eventType\":\"t\",\"properties\":{}}\n{\"userId\":\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("bad.toml"), "name = \"x\"\ncolour = 1\n").unwrap();
    for (flags, expect) in [
        (
            &["--workload", "nowhere"][..],
            "workload nowhere: neither a built-in workload (there is: flights) nor a file",
        ),
        (&["--workload", "bad.toml"], "bad.toml:2: unknown field `colour`"),
        (&["--events", "bad.ndjson"], "bad.ndjson:2: is not JSON"),
        (&["--events", "nowhere.ndjson"], "cannot read the events nowhere.ndjson"),
        (&["--platform", "vercel"], "invalid value 'vercel'"),
        (&["--seed", "-1"], "'-1'"),
        (&["--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
        let output = command.current_dir(folder.path()).arg("compare").args(flags).output().unwrap();
        check_code(&output, 2);
        let stderr = text(&output.stderr);
        assert!(stderr.contains(expect) && stderr.lines().count() == 1, "{stderr}");
        assert!(output.stdout.is_empty());
        assert!(!folder.path().join("target").exists());
    }
}

/// The quick test leaves these out: it builds the native platform alone.
mod every_platform {
    use super::*;

    #[test]
    fn beside_lambda_is_what_a_user_would_have_otherwise() {
        let fixture = Fixture::new();
        let [table, _] = fixture.table(&["--platform", "lambda"]);
        let heads = table.lines().find(|line| line.trim_start().starts_with("baseline "));
        assert!(heads.is_some_and(|line| line.ends_with(" Lambda, single events")), "{table}");
        assert!(table.contains("USD/M events ") && table.contains("It knows no repetition"), "{table}");
        assert!(table.contains("lambda-perf,"), "{table}");
        let [_, path] = fixture.page_and_result();
        let result: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        check_schema(&result);
        let baseline = &result["baseline"];
        for (name, functions) in [("function", &["ingest"][..]), ("isotherm", &["aggregate", "ingest"])] {
            let of = &baseline[name];
            assert_eq!(
                (&of["errors"], &of["cold"]["init"]["n"], &of["warm"]["latency"]["n"]),
                (&0.into(), &3.into(), &50.into())
            );
            let meters = &of["meters"];
            let readings = &meters["readings"];
            let events = meters["events"].as_u64().unwrap();
            // There is one event per request, and all of them are stored.
            assert!(events > 50, "{meters}");
            assert_eq!(
                (&meters["requests"], &meters["batches"], &readings["events_stored"]),
                (&events.into(), &0.into(), &events.into())
            );
            for function in functions {
                assert!(readings["functions"][function]["count"].as_u64().unwrap() > 0, "{readings}");
            }
            assert!(of["cost"]["total"]["value"].as_f64().unwrap() > 0.0, "{of}");
        }
        let readings = &baseline["function"]["meters"]["readings"];
        assert_eq!(readings["objects"], readings["events_stored"]);
        assert_eq!(readings["functions"].as_object().unwrap().len(), 1, "{readings}");
        assert!(baseline["ratio"]["cold_init_p50"]["value"].as_f64().unwrap() > 0.0, "{baseline}");
    }
}
