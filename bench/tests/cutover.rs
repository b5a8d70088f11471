//! Clients that write all the time change from one server to another, and back. No event is lost or counted twice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper of a test finds wrong fails the test")]

mod fixture;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

const ISOTHERM: &str = env!("CARGO_BIN_EXE_isotherm");
const WRITES: &str = "0123456789-acme-both";
const OPERATES: &str = "0123456789-acme-operates";
const WRITERS: usize = 2;
const BATCH: usize = 50;
/// Time between two batches of a writer.
const PACE: Duration = Duration::from_millis(20);

/// A plain server that keeps its port and its data over a restart.
struct Server {
    child: Option<Child>,
    port: u16,
    data: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { child: None, port, data: tempfile::tempdir().unwrap() };
        server.configure(false);
        server
    }

    /// Restarts it with a configuration in which the tenant is frozen, or not.
    fn configure(&mut self, is_frozen: bool) {
        use sha2::Digest as _;
        self.stop();
        let hash = |key: &str| sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let keys = [(WRITES, "both"), (OPERATES, "operate")]
            .map(|(key, scope)| json!({"sha256": hash(key), "tenant": "acme", "scope": scope}));
        let frozen = if is_frozen { json!(["acme"]) } else { json!([]) };
        let config = self.data.path().join("config.json");
        fs::write(&config, json!({"version": 2, "keys": keys, "frozen": frozen}).to_string()).unwrap();
        let mut command = Command::new(ISOTHERM);
        command.args(["up", "native", "--port", &self.port.to_string(), "--artifacts"]).arg(fixture::artifacts());
        command.arg("--config").arg(config).arg("--data").arg(self.data.path().join("data"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("ready ")), "the server does not start");
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _stopped = Command::new("kill").arg(child.id().to_string()).status();
            let _ended = child.wait();
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The counts of all events and of their numbers.
    fn totals(&self) -> Value {
        let path = "/reports/summary?metrics=count,users,sum:n&from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z";
        let (status, answer) = send(self.port, "GET", path, "").unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["rows"][0].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a request. It fails while the server restarts.
fn send(port: u16, method: &str, target: &str, body: &str) -> anyhow::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let length = body.len();
    let head =
        format!("{method} {target} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {WRITES}\r\nconnection: close");
    write!(stream, "{head}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, serde_json::from_str(answer.split_once("\r\n\r\n").context("no head")?.1)?))
}

/// The batch of a number. Each event has a messageId, so that it can be sent again.
fn batch(number: usize) -> String {
    let event = |n: usize| {
        let time = format!("2013-01-{:02}T{:02}:30:00Z", 1 + n % 7, n % 24);
        json!({"messageId": format!("m{n}"), "userId": format!("u{}", n % 50), "eventType": format!("t{}", n % 3),
            "timestamp": time, "properties": {"n": n, "to": format!("x{}", n % 11)}})
    };
    json!({"events": (number * BATCH..(number + 1) * BATCH).map(event).collect::<Vec<_>>()}).to_string()
}

/// What all clients know.
struct Clients {
    /// The port that DNS names.
    port: Mutex<u16>,
    next: AtomicUsize,
    is_over: AtomicBool,
    /// How often an answer said that the tenant is frozen.
    frozen: AtomicUsize,
    /// The longest time from one batch that was taken to the next, whoever sent it.
    gap: Mutex<(Instant, Duration)>,
}

impl Clients {
    /// Sends batches, each again and again until all of its events are accepted, or are there already.
    fn write(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            let body = batch(self.next.fetch_add(1, Ordering::SeqCst));
            loop {
                let port = *self.port.lock().unwrap();
                match send(port, "POST", "/events/batch", &body) {
                    Ok((200, answer)) if answer["retry"] == 0 => {
                        assert_eq!(answer["invalid"], 0, "{answer}");
                        break;
                    }
                    Ok((503, answer)) if answer["code"] == "frozen" => drop(self.frozen.fetch_add(1, Ordering::SeqCst)),
                    Ok((200 | 429 | 503, _)) | Err(_) => {}
                    Ok((status, answer)) => panic!("{status} {answer}"),
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let mut gap = self.gap.lock().unwrap();
            *gap = (Instant::now(), gap.1.max(gap.0.elapsed()));
            drop(gap);
            std::thread::sleep(PACE);
        }
    }

    /// How many events there are, and what a report says of them.
    fn totals(&self) -> Value {
        let events = self.next.load(Ordering::SeqCst) * BATCH;
        json!({"count": events, "sum:n": events * (events - 1) / 2})
    }
}

fn moving(command: &str, from: &Server, to: &Server, more: &[&str]) -> Command {
    let mut moving = Command::new(ISOTHERM);
    moving.args([command, "--from", &from.url(), "--to", &to.url(), "--from-key", OPERATES, "--to-key", OPERATES]);
    moving.args(more);
    moving
}

/// Runs a cutover from one server to another, freezes the source when it says so, and lets the clients follow.
fn cut_over(clients: &Clients, from: &mut Server, to: &Server, more: &[&str]) -> Value {
    let keys = ["--from-read-key", WRITES, "--to-read-key", WRITES, "--settle", "1", "--json"];
    let mut command = moving("cutover", from, to, &[&keys, more].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut heard = Vec::new();
    for line in said.by_ref() {
        let is_ready = line.contains("Freeze the source now");
        heard.push(line);
        if is_ready {
            from.configure(true);
        }
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", heard.join("\n"));
    *clients.port.lock().unwrap() = to.port;
    let switched: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = Command::new(ISOTHERM).args(["schema", "cutover"]).output().unwrap();
    jsonschema::validate(&serde_json::from_slice(&schema.stdout).unwrap(), &switched).unwrap();
    assert!(switched["pause"].as_f64().unwrap() >= 1.0, "it settles first: {switched}");
    println!("{switched}");
    switched
}

#[track_caller]
fn check(clients: &Clients, at: &Server) {
    let (expected, deadline) = (clients.totals(), Instant::now() + Duration::from_secs(30));
    loop {
        let found = at.totals();
        if found["count"] == expected["count"] && found["sum:n"] == expected["sum:n"] {
            break;
        }
        assert!(Instant::now() < deadline, "{found}, not {expected}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(at.totals()["users"], 50);
    // What clients sent is there, each event once.
    for number in 0..clients.next.load(Ordering::SeqCst) {
        let (_, answer) = send(at.port, "POST", "/events/batch", &batch(number)).unwrap();
        assert_eq!((&answer["accepted"], &answer["duplicate"]), (&json!(0), &json!(BATCH)), "{number}: {answer}");
    }
    assert_eq!(at.totals()["count"], expected["count"]);
}

/// Stops a follower amid its work.
fn follow_and_kill(from: &Server, to: &Server, state: &Path) {
    let more = ["--follow", "--state", state.to_str().unwrap()];
    let mut follow = moving("move", from, to, &more).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follow.stderr.take().unwrap()).lines().map_while(Result::ok);
    let rounds =
        lines.filter(|line| line.starts_with("following: ")).take(2).inspect(|line| println!("{line}")).count();
    assert_eq!(rounds, 2, "it has ended");
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert!(state.exists());
}

#[test]
fn clients_that_write_all_the_time_change_servers_and_come_back() {
    let (mut first, mut second) = (Server::start(), Server::start());
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("move.json");
    let clients = Clients {
        port: Mutex::new(first.port),
        next: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        frozen: AtomicUsize::new(0),
        gap: Mutex::new((Instant::now(), Duration::ZERO)),
    };
    let began = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..WRITERS {
            threads.spawn(|| clients.write());
        }
        let _over = Over(&clients.is_over);
        std::thread::sleep(Duration::from_secs(1));
        follow_and_kill(&first, &second, &state);
        let there = cut_over(&clients, &mut first, &second, &["--state", state.to_str().unwrap()]);
        assert!(!state.exists(), "a cutover that is done leaves no state");
        assert_eq!(there["reports"], 3, "{there}");
        assert!(clients.frozen.load(Ordering::SeqCst) > 0, "clients were told to wait");
        std::thread::sleep(Duration::from_secs(2));
        let back = cut_over(&clients, &mut second, &first, &["--events-only"]);
        assert_eq!(back["reports"], 3, "{back}");
        // The first server is frozen since the cutover.
        first.configure(false);
        std::thread::sleep(Duration::from_secs(1));
    });
    let (seconds, events) = (began.elapsed().as_secs_f64(), clients.totals()["count"].clone());
    println!(
        "{events} events in {seconds:.1} s; the longest time without one: {:.1} s",
        clients.gap.lock().unwrap().1.as_secs_f64()
    );
    check(&clients, &first);
}

/// Ends the clients, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
