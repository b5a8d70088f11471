//! The server as a process: what it answered 202 is there after any death, once; and nothing slow holds up the rest.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A running server; killed when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(data: &Path) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_isotherm-native")), data)
    }

    /// A server that can't write files beyond `blocks` of 512 bytes: to SQLite that is a full disk.
    fn start_on_small_disk(data: &Path, blocks: u32) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_isotherm-native"));
        Self::run(command, data)
    }

    fn run(mut command: Command, data: &Path) -> Self {
        command.args(["--port", "0", "--data"]).arg(data).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("ready http://127.0.0.1:").unwrap().parse().unwrap();
        Self { child, port }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn event(message: &str) -> String {
    format!(r#"{{"userId":"u","eventType":"t","messageId":"{message}","properties":{{"text":"{}"}}}}"#, "x".repeat(200))
}

/// The bytes of one request whose connection ends with it.
fn post(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /events HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Status and body, or `None` when the server died on it.
async fn send(port: u16, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(post(body).as_bytes()).await.ok()?;
    answer(&mut stream).await
}

async fn answer(stream: &mut TcpStream) -> Option<(u16, String)> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// How often an event with each of these messageIds is in the database.
fn times_kept(data: &Path, messages: &[String]) -> Vec<u64> {
    let database = Connection::open(data.join("events.sqlite")).unwrap();
    let mut count =
        database.prepare("SELECT record ->> 'messageId' AS message, count(*) FROM events GROUP BY message").unwrap();
    let counts: BTreeMap<String, u64> =
        count.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
    messages.iter().map(|message| counts.get(message).copied().unwrap_or_default()).collect()
}

#[tokio::test]
async fn one_of_100_writers_of_the_same_event_is_accepted() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let mut writers = JoinSet::new();
    for _ in 0..100 {
        let port = server.port;
        writers.spawn(async move { send(port, &event("same")).await.unwrap() });
    }
    let answers = writers.join_all().await;
    assert!(answers.iter().all(|(status, _)| *status == 202));
    let duplicates = answers.iter().filter(|(_, body)| body.contains(r#""duplicate":true"#)).count();
    assert_eq!(duplicates, 99);
    assert_eq!(times_kept(data.path(), &["same".to_owned()]), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_survives_a_kill_under_load_once() {
    let data = tempfile::tempdir().unwrap();
    let mut accepted = Vec::new();
    for round in 0..3 {
        let server = Server::start(data.path());
        let mut writers = JoinSet::new();
        for writer in 0..32 {
            let port = server.port;
            writers.spawn(async move {
                let mut accepted = Vec::new();
                for number in 0.. {
                    let message = format!("{round}-{writer}-{number}");
                    match send(port, &event(&message)).await {
                        Some((202, _)) => accepted.push(message),
                        Some((status, body)) => panic!("{status} {body}"),
                        None => break,
                    }
                }
                accepted
            });
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        drop(server);
        accepted.extend(writers.join_all().await.into_iter().flatten());
    }
    assert!(accepted.len() > 100, "only {} events were accepted", accepted.len());
    let server = Server::start(data.path());
    let (status, body) = send(server.port, &event(&accepted[0])).await.unwrap();
    assert!(status == 202 && body.contains(r#""duplicate":true"#), "{body}");
    drop(server);
    assert!(times_kept(data.path(), &accepted).iter().all(|times| *times == 1));
}

#[tokio::test]
async fn a_full_disk_loses_and_doubles_nothing() {
    let data = tempfile::tempdir().unwrap();
    let messages: Vec<String> = (0..4000).map(|number| number.to_string()).collect();
    let server = Server::start_on_small_disk(data.path(), 1024);
    let mut accepted = Vec::new();
    let mut refused = 0;
    for message in &messages {
        match send(server.port, &event(message)).await {
            Some((202, _)) => accepted.push(message.clone()),
            Some((503, _)) => refused += 1,
            other => panic!("{other:?}"),
        }
        if refused > 20 {
            break;
        }
    }
    assert!(refused > 20, "the disk was never full");
    drop(server);
    let server = Server::start(data.path());
    for message in &messages[..accepted.len() + refused] {
        let (status, body) = send(server.port, &event(message)).await.unwrap();
        assert_eq!(status, 202);
        assert!(
            !accepted.contains(message) || body.contains(r#""duplicate":true"#),
            "{message} was accepted and is gone"
        );
    }
    drop(server);
    assert!(times_kept(data.path(), &messages[..accepted.len() + refused]).iter().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_the_rest_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let other = Connection::open(data.path().join("events.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap(); // the writer waits for this one
    let mut writers = JoinSet::new();
    for number in 0..700 {
        let port = server.port;
        writers.spawn(async move {
            let message = number.to_string();
            let (status, _) = send(port, &event(&message)).await.unwrap();
            (message, status)
        });
    }
    let mut answers = Vec::new();
    while answers.len() < 100 {
        answers.push(writers.join_next().await.unwrap().unwrap());
    }
    assert!(answers.iter().all(|(_, status)| *status == 503), "nothing can be kept yet");
    other.execute_batch("ROLLBACK").unwrap();
    answers.extend(writers.join_all().await);
    let accepted: Vec<String> =
        answers.iter().filter(|(_, status)| *status == 202).map(|(name, _)| name.clone()).collect();
    assert!(accepted.len() >= 512, "{} were accepted", accepted.len());
    assert!(times_kept(data.path(), &accepted).iter().all(|times| *times == 1));
}

#[tokio::test]
async fn bodies_that_never_come_hold_up_nobody() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let request = post(&event("slow"));
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut stream = server.connect().await;
        stream.write_all(&request.as_bytes()[..request.len() - 1]).await.unwrap();
        slow.push(stream);
    }
    let started = Instant::now();
    assert_eq!(send(server.port, &event("quick")).await.unwrap().0, 202);
    assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
    drop(slow);
    // A body that broke off is no event.
    assert_eq!(times_kept(data.path(), &["slow".to_owned(), "quick".to_owned()]), [0, 1]);
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_server_stops() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path());
    let request = post(&event("last"));
    let (first, rest) = request.as_bytes().split_at(request.len() / 2);
    let mut stream = server.connect().await;
    stream.write_all(first).await.unwrap();
    let idle = server.connect().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.terminate();
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(("127.0.0.1", server.port)).await.is_ok() {
        assert!(Instant::now() < deadline, "it still accepts connections");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stream.write_all(rest).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().0, 202);
    assert!(server.child.wait().unwrap().success());
    drop(idle);
    assert_eq!(times_kept(data.path(), &["last".to_owned()]), [1]);
    assert!(!data.path().join("events.sqlite-wal").exists(), "the database was not closed");
}
