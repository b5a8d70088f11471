//! Runs `isotherm soak` for some seconds.
#![allow(clippy::unwrap_used, reason = "what a helper of a test finds wrong fails the test")]

mod fixture;

use std::process::Command;

use serde_json::Value;

const ISOTHERM: &str = env!("CARGO_BIN_EXE_isotherm");

#[test]
fn a_soak_kills_its_host_finds_every_event_and_can_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (state, out) = (folder.path().join("s.json"), folder.path().join("r.md"));
    let soak = || {
        let mut command = Command::new(ISOTHERM);
        // A warm-up and two rounds of three seconds, one in each phase.
        command
            .args(["soak", "native", "--minutes", "0.1", "--round", "3", "--hostile-every", "500", "--json", "--state"])
            .arg(&state);
        command.arg("--out").arg(&out).arg("--artifacts").arg(fixture::artifacts());
        command
    };
    let done = soak().output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&report["lost"], &report["doubled"], &report["rounds"]), (&0.into(), &0.into(), &2.into()), "{report}");
    assert!(report["accepted"].as_u64().unwrap() > 200 && report["looked_up"].as_u64().unwrap() > 10, "{report}");
    let [quiet, hostile] = [0, 1].map(|phase| report["phases"][phase]["requests"].as_object().unwrap().len());
    assert_eq!((quiet, hostile), (4, 13), "kinds of requests: {report}");
    assert!(report["phases"][1]["memory_mean_bytes"].as_f64().unwrap() > 1e6);
    assert!(std::fs::read_to_string(&out).unwrap().starts_with("# Soak: native\n"));
    assert_eq!(std::fs::read_to_string(out.with_extension("json")).unwrap().as_bytes(), done.stdout);

    // All rounds are done. Only the search for every event remains.
    let again = soak().output().unwrap();
    let found: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&found["accepted"], &found["lost"]), (&report["accepted"], &0.into()));
    assert!(!String::from_utf8_lossy(&again.stderr).contains("round"), "a round was done again");
}
