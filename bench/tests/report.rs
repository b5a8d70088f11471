//! Runs `isotherm report` on a result of all four platforms, as its users do, and opens its page in a real browser.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper of a test finds wrong fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A result of `isotherm compare --quick`.
const RESULT: &str = include_str!("data/result.json");
/// The parts of a result that come from prices and a simulation.
const PRICED: &str = include_str!("data/priced.json");

fn report(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isotherm")).arg("report").args(arguments).output().unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

/// A folder that contains `result.json`, and the path of that file.
fn written(result: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    std::fs::write(&path, result).unwrap();
    (folder, path)
}

fn priced() -> String {
    let mut result: Value = serde_json::from_str(RESULT).unwrap();
    let Value::Object(parts) = serde_json::from_str(PRICED).unwrap() else { panic!("{PRICED}") };
    result.as_object_mut().unwrap().extend(parts);
    result.to_string()
}

#[test]
fn the_page_is_written_beside_the_result_or_where_it_is_asked_for() {
    let (folder, path) = written(RESULT);
    let output = report(&[path.to_str().unwrap()]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stderr));
    let page = folder.path().join("report.html");
    assert_eq!(text(&output.stderr).trim_end(), page.to_str().unwrap());
    let content = std::fs::read_to_string(&page).unwrap();
    assert!(content.starts_with("<!doctype html>") && content.len() < 1_000_000, "{} bytes", content.len());
    assert!(content.contains("No winner, since scopes differ: "));

    let elsewhere = folder.path().join("page.html");
    assert!(report(&[path.to_str().unwrap(), "--out", elsewhere.to_str().unwrap()]).status.success());
    assert_eq!(std::fs::read_to_string(elsewhere).unwrap(), content);
}

#[test]
fn without_a_result_the_sample_is_rendered_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let sample = |arguments: &[&str]| {
        let mut report = Command::new(env!("CARGO_BIN_EXE_isotherm"));
        let output = report.current_dir(folder.path()).arg("report").args(arguments).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.success() && said.contains("these are the figures of the sample of 20"), "{said}");
        output
    };
    sample(&[]);
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>"));
    let committed = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sample/result.json")).unwrap();
    let [printed, committed]: [Value; 2] =
        [sample(&["--format", "json"]).stdout, committed].map(|json| serde_json::from_slice(&json).unwrap());
    assert_eq!(printed, committed);
}

#[test]
fn text_goes_to_standard_output_or_to_a_file() {
    let (folder, path) = written(RESULT);
    let path = path.to_str().unwrap();
    for (format, part) in [
        ("table", "\nWarm latency: Isotherm adds "),
        ("markdown", "4.00\u{a0}ms (3.76–4.24) 1.68×"),
        ("csv", "\nspin,cold_init_p50,ms,20,0.097191,0.095263,"),
        ("json", "{\"schema\":\"isotherm.compare/2\","),
        ("bencher", "\"spin/cold_init_p50\": {\n    \"latency\": {\n      \"lower_value\": 95263."),
        ("openmetrics", "\n# UNIT isotherm_time_seconds seconds\n"),
    ] {
        let output = report(&[path, "--format", format]);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        let written = text(&output.stdout);
        assert!(written.contains(part) && written.ends_with('\n'), "{format}: {written}");
        let file = folder.path().join(format);
        assert!(report(&[path, "--format", format, "--out", file.to_str().unwrap()]).status.success());
        assert_eq!(std::fs::read_to_string(file).unwrap(), written);
    }
    let (_folder, beside) = written(&priced());
    for (format, part) in
        [("table", " baseline "), ("markdown", "Lambda, single events"), ("csv", "\nbaseline,cold_init_p50,ms,20,")]
    {
        let written = text(&report(&[beside.to_str().unwrap(), "--format", format]).stdout);
        assert!(written.contains(part), "{format}: {written}");
    }
    let output = report(&[path, "--format", "json"]);
    let [read, given]: [Value; 2] = [&text(&output.stdout), RESULT].map(|text| serde_json::from_str(text).unwrap());
    for field in ["machine", "workload", "not_started"] {
        assert_eq!(read[field], given[field], "a result of version 1 is read whole");
    }
    assert_eq!(read["platforms"][2]["cold"], given["platforms"][2]["cold"]);
    assert_eq!(read["platforms"][2]["scopes"]["warm"]["store"], "in");
}

#[test]
fn what_is_no_result_is_refused_on_one_line() {
    let (folder, path) = written("{\"schema\":\"isotherm.cost/1\"}");
    let nowhere = folder.path().join("nowhere.json");
    let no_json = folder.path().join("no.json");
    std::fs::write(&no_json, "<html>").unwrap();
    let old = folder.path().join("old.json");
    std::fs::write(&old, "{\"schema\":\"isotherm.compare/1\"}").unwrap();
    for (path, expect) in [
        (
            &path,
            "is no result of `isotherm compare`: its schema is isotherm.cost/1, not isotherm.compare/2 or isotherm.compare/1",
        ),
        (&nowhere, "cannot read "),
        (&no_json, "is not JSON"),
        (&old, "measure again with `isotherm compare`: missing field"),
    ] {
        let output = report(&[path.to_str().unwrap()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expect) && said.contains(path.to_str().unwrap()) && said.lines().count() == 1, "{said}");
        assert!(!folder.path().join("report.html").exists());
    }
}

/// Node.js drives Chromium. `dashboard/test/report.test.mjs` says what must be visible.
#[test]
fn a_browser_shows_the_pages() {
    let (folder, plain) = written(RESULT);
    let priced_result = folder.path().join("priced.json");
    std::fs::write(&priced_result, priced()).unwrap();
    let pages = [(&plain, "report.html"), (&priced_result, "priced.html")].map(|(result, page)| {
        let page = folder.path().join(page);
        let output = report(&[result.to_str().unwrap(), "--out", page.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        page
    });
    let mut node = Command::new("node");
    node.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboard"))
        .args(["--test", "test/report.test.mjs"]);
    node.env("REPORT", &pages[0]).env("PRICED", &pages[1]);
    let output = node.output().unwrap_or_else(|error| panic!("cannot start node: {error}"));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
