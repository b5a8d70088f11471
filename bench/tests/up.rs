//! Runs `isotherm up` as its users do: people in a terminal, and programs over `--control`.
#![allow(clippy::unwrap_used, reason = "what a helper of a test finds wrong fails the test")]

mod fixture;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use isotherm_hosts::{ColdRequest, Platform, Up};

const ISOTHERM: &str = env!("CARGO_BIN_EXE_isotherm");

fn event(message: &str) -> ColdRequest {
    ColdRequest {
        method: "POST".to_owned(),
        path: "/events".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: format!(r#"{{"userId":"u","eventType":"t","messageId":"{message}","properties":{{}}}}"#),
    }
}

fn send(url: &str, request: &ColdRequest) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    let ColdRequest { method, path, body, .. } = request;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\nconnection: close");
    write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until nothing listens at the URL any more.
fn gone(url: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(url.strip_prefix("http://").unwrap()).is_ok() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn up_says_ready_logs_requests_and_stops_on_either_signal() {
    let artifacts = fixture::artifacts();
    for signal in ["-INT", "-TERM"] {
        // Both streams go into one, as in a terminal. The lines of the program and of its server must not mix.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" "$@" 2>&1"#, ISOTHERM, "up", "native", "--artifacts"]).arg(&artifacts);
        let temporary = tempfile::tempdir().unwrap();
        command.env("TMPDIR", temporary.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut lines = lines.filter(|line| !line.starts_with("isotherm") || line.contains("ready"));
        let ready = lines.next().unwrap();
        let url = ready.strip_prefix("ready ").unwrap();
        assert!(send(url, &event("m")).starts_with("HTTP/1.1 202"));
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        assert_eq!(
            (&line["method"], &line["route"], &line["status"]),
            (&"POST".into(), &"/events".into(), &202.into())
        );
        assert!(line["time"].is_string() && line["ms"].is_number(), "{line}");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert!(child.wait().unwrap().success());
        assert!(gone(url));
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "something stayed in the temporary folder");
    }
}

#[test]
fn up_ends_with_an_error_when_its_runtime_does() {
    let artifacts = fixture::artifacts();
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(ISOTHERM);
    command.args(["up", "native", "--artifacts"]).arg(&artifacts).arg("--data").arg(data.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    let server = std::fs::read_dir("/proc").unwrap().flatten().find(|entry| {
        let command = String::from_utf8(std::fs::read(entry.path().join("cmdline")).unwrap_or_default()).unwrap();
        command.contains(data.path().to_str().unwrap()) && command.contains("isotherm-native")
    });
    let server = server.unwrap().file_name();
    assert!(Command::new("kill").arg("-KILL").arg(server).status().unwrap().success());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(!status.success() && said.contains("native does not listen any more"), "{status} {said}");
}

#[test]
fn bad_input_gets_one_line_and_an_exit_code() {
    let cases: [(&[&str], &str); 6] = [
        (&["up", "lambada"], "invalid value 'lambada'"),
        (&["up"], "required arguments were not provided: <PLATFORM>"),
        (&["up", "native", "--port", "70000"], "'70000'"),
        (&["up", "native", "--config", "/no/such/file"], "cannot read /no/such/file"),
        (&["up", "native", "--artifacts", "/no/such/folder"], "run `cargo xtask build`"),
        (&["up", "native", "--set", "other"], "possible values: release, test, floor"),
    ];
    for (flags, expected) in cases {
        let Output { status, stdout, stderr } =
            Command::new(ISOTHERM).env("ISOTHERM_CONFIG", "").args(flags).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(!status.success(), "{flags:?}");
        assert!(stdout.is_empty(), "{flags:?}");
        assert!(said.starts_with("isotherm: ") && said.contains(expected), "{flags:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{flags:?}: {said}");
    }
}

#[tokio::test]
async fn a_missing_host_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("isotherm");
    std::fs::copy(ISOTHERM, &alone).unwrap();
    let failed = Up::new(&alone, Platform::Native, fixture::artifacts()).start().await;
    let reason = format!("{:#}", failed.err().unwrap());
    assert!(reason.contains("isotherm-host is missing") && reason.contains("cargo xtask build"), "{reason}");
    let Output { status, stderr, .. } = Command::new(&alone).args(["serve"]).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(!status.success() && said.contains("isotherm-host is missing"), "{status} {said}");
}

#[tokio::test]
async fn control_answers_and_the_end_of_input_stops_it() {
    let artifacts = fixture::artifacts();
    let mut remote = Up::new(ISOTHERM, Platform::Native, &artifacts).start().await.unwrap();
    let url = remote.url().to_owned();
    assert!(send(&url, &event("m")).starts_with("HTTP/1.1 202"));
    assert_eq!(remote.runtime().name, "linux");
    let sample = remote.cold(&event("cold")).await.unwrap();
    assert!(sample.status == 202 && sample.init < sample.first_response, "{sample:?}");
    assert!(remote.usage().await.unwrap().peak_rss_bytes > 1 << 20);
    let nobody = ColdRequest { method: "NO METHOD".to_owned(), ..event("m") };
    assert!(remote.cold(&nobody).await.is_err());
    assert!(remote.usage().await.is_ok(), "an error ends the command, not the host");
    remote.stop().await.unwrap();
    assert!(gone(&url));
}

#[tokio::test]
async fn a_killed_host_takes_its_processes_along_and_keeps_what_it_accepted() {
    let artifacts = fixture::artifacts();
    let data = tempfile::tempdir().unwrap();
    let up = Up { data: Some(data.path().to_owned()), ..Up::new(ISOTHERM, Platform::Native, &artifacts) };
    let remote = up.start().await.unwrap();
    let url = remote.url().to_owned();
    assert!(send(&url, &event("m")).starts_with("HTTP/1.1 202"));
    remote.kill().await.unwrap();
    assert!(gone(&url));
    let remote = up.start().await.unwrap();
    assert!(send(remote.url(), &event("m")).contains(r#""duplicate":true"#));
    remote.stop().await.unwrap();
}

#[tokio::test]
async fn control_says_why_it_could_not_start() {
    let nowhere = tempfile::tempdir().unwrap();
    let failed = Up::new(ISOTHERM, Platform::Native, nowhere.path()).start().await;
    let reason = format!("{:#}", failed.err().unwrap());
    assert!(reason.contains("run `cargo xtask build`"), "{reason}");
}
