//! Tests `isotherm compare --repeat` with real runs of the native platform. A platform compared with itself must be a
//! tie.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper of a test finds wrong fails the test")]

mod fixture;

use std::path::Path;
use std::process::{Command, Stdio};

use fixture::{EVENTS, Fixture, check_code, check_schema, text};
use serde_json::Value;

const RUNS: usize = 3;

fn isotherm(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_isotherm")).current_dir(folder).args(arguments).output().unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Takes two results of the same platform, measured at the same time. Other work on the machine affects both alike, so
/// each run of one could be a run of the other. `isotherm diff` then calls anything changed in one of 20 comparisons at
/// most (`stats::FALSE_DISCOVERIES`), if 5 % and the floor's own change did not make it rarer still. The verdict calls
/// anything different once in 1,000 times (`stats::FAMILY_ERROR`).
#[test]
fn a_platform_compared_with_itself_is_a_tie() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path();
    let runs = RUNS.to_string();
    let start = |out: &str| {
        let flags = ["--platform", "native", "--repeat", &runs, "--format", "csv", "--out", out];
        let mut compare = fixture.compare(&fixture.artifacts, &flags);
        compare.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    // A busy neighbour: it affects both.
    let mut neighbour = Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
    let both = ["a", "b"].map(start);
    let outputs = both.map(|child| child.wait_with_output());
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    let outputs = outputs.map(Result::unwrap);
    for output in &outputs {
        check_code(output, 0);
        for run in 1..=RUNS {
            let phase = format!("[2/7] run {run}/{RUNS}: cold starts");
            assert!(text(&output.stderr).contains(&phase), "{}", text(&output.stderr));
        }
    }
    let mut results = ["a", "b"].map(|name| read(&folder.join(name).join("result.json")));
    for result in &results {
        check_schema(result);
        let native = &result["platforms"][0];
        let values: Vec<f64> =
            native["runs"].as_array().unwrap().iter().map(|run| run["figures"]["warm_p50"].as_f64().unwrap()).collect();
        assert_eq!(values.len(), RUNS);
        let p50 = |bound: &str| native["warm"]["latency"]["p50"][bound].as_f64().unwrap();
        let (least, most) =
            values.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(*value), most.max(*value)));
        assert!(least <= p50("value") && p50("value") <= most && p50("low") < p50("value"), "{values:?}, {native}");
        assert_eq!((&native["cold"]["init"]["n"], &native["warm"]["latency"]["n"]), (&9.into(), &150.into()));
        assert_eq!(native["replay"]["verified"], EVENTS);
    }

    let output = isotherm(folder, &["diff", "a/result.json", "b/result.json", "--json", "--fail-if", "any>0%"]);
    let diff: Value = serde_json::from_slice(&output.stdout).unwrap();
    let changes = diff["changes"].as_array().unwrap();
    assert!(changes.len() > 15, "{diff}");
    let told: Vec<&Value> = changes.iter().filter(|change| change["verdict"] != "tie").collect();
    assert!(told.is_empty() && output.status.success(), "a platform differs from itself: {told:#?}");
    let output = isotherm(folder, &["diff", "a/result.json", "b/result.json"]);
    assert!(text(&output.stdout).contains("\n0 of "), "{}", text(&output.stdout));

    // The verdict tells platforms apart by name, so the second one gets another name.
    let mut second = results[1]["platforms"][0].take();
    second["platform"] = "spin".into();
    // Both have native's scopes.
    results[0]["platforms"].as_array_mut().unwrap().push(second);
    std::fs::write(folder.join("twice.json"), results[0].to_string()).unwrap();
    let output = isotherm(folder, &["report", "twice.json", "--format", "markdown"]);
    check_code(&output, 0);
    let verdict = text(&output.stdout);
    for question in ["Cold start, until ready", "Cold start, first answer", "Warm latency", "Throughput", "CPU time"] {
        let answer = verdict.lines().find(|line| line.starts_with(&format!("- {question}: "))).unwrap();
        assert!(answer.contains("can't be told apart") && !answer.contains("is ahead"), "{answer}");
    }
    // Other programs are seen, and told of.
    assert!(verdict.contains("These figures are not sound: other programs took"), "{verdict}");
}
