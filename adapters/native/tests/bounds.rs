//! No client holds up the others, by connections, bodies or load. Neither does a full disk.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::common::{Server, answer, event, get, post, send};

/// Two tenants, `flood` and `trickle`; the key of each is `key-of-tenant-` and its name.
const CONFIG: &str = r#"{"keys":[
    {"sha256":"42d97745a49175229cacaef56fa928ba185d3309f41760516bd67f96f7aba075","tenant":"flood","scope":"both"},
    {"sha256":"0446f869ef618bde7d139576eca64dbb73a9a614bdc3c6959cf56210f7ae1e85","tenant":"trickle","scope":"both"}]}"#;

fn with_tenants(data: &Path) -> Server {
    let file = data.join("config.json");
    std::fs::write(&file, CONFIG).unwrap();
    Server::start_with(data, &["--config", file.to_str().unwrap()])
}

/// Sends an event as this tenant and returns the status.
async fn send_as(port: u16, tenant: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let key = format!("host: test\r\nauthorization: Bearer key-of-tenant-{tenant}");
    stream.write_all(post(body).replacen("host: test", &key, 1).as_bytes()).await.unwrap();
    answer(&mut stream).await.unwrap().0
}

/// The resident memory of a process.
fn resident_bytes(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_connection_that_waits_makes_room_for_a_new_one_and_a_request_does_not() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &["--connections", "8"]);
    let mut silent = server.connect().await;
    let mut slow_head = server.connect().await;
    slow_head.write_all(b"GET /healthz HT").await.unwrap();
    let request = post(&event("slow"));
    let (first, rest) = request.as_bytes().split_at(request.len() / 2);
    let mut busy = server.connect().await;
    busy.write_all(first).await.unwrap();
    // These clients do nothing wrong: each sends a request at once, and stays connected.
    let mut idle = Vec::new();
    for number in 0..100 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 100])).await;
        assert!(read.is_ok_and(|read| read.is_ok_and(|bytes| bytes > 12)), "connection {number} got no answer");
        idle.push(stream);
    }
    for closed in [&mut silent, &mut slow_head] {
        let read = tokio::time::timeout(Duration::from_secs(5), closed.read(&mut [0; 100])).await.unwrap();
        assert!(!matches!(read, Ok(1..)), "{read:?}");
    }
    busy.write_all(rest).await.unwrap();
    assert_eq!(answer(&mut busy).await.unwrap().0, 202);
}

/// Opens 16 connections that send `request` and then nothing, and reads nothing of what is answered. Then asks on new
/// connections, which must be accepted at once.
async fn slow_ones_make_room(request: &str) {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("config.json");
    std::fs::write(&file, CONFIG).unwrap();
    let server = Server::start_with(data.path(), &["--config", file.to_str().unwrap(), "--connections", "8"]);
    let mut slow = Vec::new();
    for _ in 0..16 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], server.port).into()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for number in 0..20 {
        // Slow connections would keep their places for at least 30 s.
        let answered = tokio::time::timeout(Duration::from_secs(15), get(server.port, "/healthz")).await;
        assert!(answered.is_ok_and(|(status, _)| status == 200), "connection {number} got no answer");
    }
}

#[tokio::test]
async fn slow_bodies_of_strangers_make_room_for_new_connections() {
    let head =
        "POST /v1/batch HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    slow_ones_make_room(head).await;
}

#[tokio::test]
async fn slow_bodies_of_a_tenant_make_room_for_new_connections() {
    let head = "POST /events HTTP/1.1\r\nhost: test\r\nauthorization: Bearer key-of-tenant-flood\r\n\
        content-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    slow_ones_make_room(head).await;
}

#[tokio::test]
async fn clients_that_do_not_read_make_room_for_new_connections() {
    slow_ones_make_room(&"GET /openapi.json HTTP/1.1\r\nhost: test\r\n\r\n".repeat(200)).await;
}

#[tokio::test]
async fn thousands_of_strangers_are_answered_at_the_head() {
    const STRANGERS: usize = 2000;
    // Many machines begin with 1,024 files.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
    let data = tempfile::tempdir().unwrap();
    let server = with_tenants(data.path());
    let before = resident_bytes(server.child.id());
    // The body never comes.
    let head =
        b"POST /events HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 1048576\r\n\r\n{";
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        let mut stranger = server.connect().await;
        stranger.write_all(head).await.unwrap();
        strangers.push(stranger);
    }
    assert_eq!(send_as(server.port, "trickle", &event("m")).await, 202);
    let grown = resident_bytes(server.child.id()).saturating_sub(before);
    assert!(grown < STRANGERS * 64 * 1024, "{grown} bytes");
    for (number, stranger) in strangers.iter_mut().enumerate() {
        let mut status = [0; 12];
        let read = tokio::time::timeout(Duration::from_secs(10), stranger.read_exact(&mut status)).await;
        assert!(read.is_ok_and(|read| read.is_ok()), "stranger {number} got no answer");
        assert_eq!(&status, b"HTTP/1.1 401");
    }
}

#[tokio::test]
async fn the_keep_alive_time_is_a_flag_and_no_limit_of_a_head() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &["--keep-alive", "1"]);
    let mut idle = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\n").await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(5), idle.read(&mut [0; 1])).await;
    assert_eq!(closed.unwrap().unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(500)).await;
    slow.write_all(b"connection: close\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut slow).await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_fills_its_queue_leaves_the_others_theirs() {
    let data = tempfile::tempdir().unwrap();
    let server = with_tenants(data.path());
    let other = Connection::open(data.path().join("events.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // After a task of maintenance, which waits for a second, the writer waits with this event, and all others queue.
    let port = server.port;
    let first = tokio::spawn(async move { send_as(port, "trickle", &event("first")).await });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut flood = JoinSet::new();
    for number in 0..900 {
        let port = server.port;
        flood.spawn(async move { send_as(port, "flood", &event(&number.to_string())).await });
    }
    let mut refused = 0;
    while refused < 100 {
        match flood.join_next().await.unwrap().unwrap() {
            429 => refused += 1,
            // On a slow machine some have waited for as long as a request may, before so many are refused.
            status => assert_eq!(status, 503),
        }
    }
    let mut trickle = JoinSet::new();
    for number in 0..100 {
        let port = server.port;
        trickle.spawn(async move { send_as(port, "trickle", &event(&number.to_string())).await });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(trickle.try_join_next().is_none(), "it waits, and is not refused");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(trickle.join_all().await.iter().all(|status| *status == 202));
    // On a slow machine it has waited for as long as a request may.
    assert!([202, 503].contains(&first.await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_one_tenant_has_filled_makes_the_others_wait_and_refuses_none() {
    let data = tempfile::tempdir().unwrap();
    drop(with_tenants(data.path()));
    // More events than may wait to be folded, from a flood a moment ago.
    let other = Connection::open(data.path().join("events.sqlite")).unwrap();
    let flood = "INSERT INTO events (tenant, id, digest, occurred_at, received_at, expires_at, record)
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 60000)
        SELECT 'flood', 'evt_' || n, zeroblob(16), 1, 1, 4000000000, ?1 FROM numbers";
    let record =
        r#"{"eventId":"evt_1","userId":"u","eventType":"t","properties":{},"timestamp":"2025-01-01T12:00:00.000Z"}"#;
    assert_eq!(other.execute(flood, [record]).unwrap(), 60_000);
    drop(other);
    let server = with_tenants(data.path());
    for number in 0..20 {
        assert_eq!(send_as(server.port, "trickle", &event(&number.to_string())).await, 202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_take_memory_within_a_bound_and_hold_up_nobody() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let before = resident_bytes(server.child.id());
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        1 << 20
    );
    let mut slow = JoinSet::new();
    for _ in 0..400 {
        let (port, head) = (server.port, head.clone());
        slow.spawn(async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let _closed = stream.write_all(&vec![b' '; (1 << 20) - 1]).await;
            std::future::pending::<()>().await;
        });
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let taken = resident_bytes(server.child.id()) - before;
    assert!(taken < 200 << 20, "{} MiB of 400", taken >> 20);
    let started = Instant::now();
    assert_eq!(send(server.port, &event("quick")).await.unwrap().0, 202);
    let events: Vec<_> = (0..400).map(|number| event(&number.to_string())).collect();
    let batch = post(&format!(r#"{{"events":[{}]}}"#, events.join(","))).replacen("/events", "/events/batch", 1);
    let mut stream = server.connect().await;
    stream.write_all(batch.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().0, 200);
    assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
}

/// The time that most of these took: all but one in a hundred.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Sends 200 events as a tenant that sends one after another, and returns how long each took.
async fn trickle(port: u16) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0..200 {
        let started = Instant::now();
        assert_eq!(send_as(port, "trickle", &event(&number.to_string())).await, 202);
        times.push(started.elapsed());
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_tenant_leaves_the_times_of_another_in_their_order_of_magnitude() {
    let data = tempfile::tempdir().unwrap();
    let server = with_tenants(data.path());
    let port = server.port;
    let alone = p99(trickle(port).await);
    let mut flood = JoinSet::new();
    for client in 0..32 {
        flood.spawn(async move {
            for number in 0.. {
                let status = send_as(port, "flood", &event(&format!("{client}-{number}"))).await;
                assert!([202, 429].contains(&status), "{status}");
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let beside = p99(trickle(port).await);
    flood.abort_all();
    // The machine is shared with the flood's clients too, so the bound is generous.
    let bound = 20 * alone.max(Duration::from_millis(10));
    assert!(beside < bound, "{beside:?} beside the flood, {alone:?} alone");
}

/// Stores events of January 2013 that make a report by the hour and 200 values, which takes some 400 ms of one core.
fn fill_with_events(data: &Path) {
    let record = |n: usize| {
        let (day, hour) = (1 + n / 24 % 28, n % 24);
        format!(
            r#"{{"eventId":"evt_{n}","userId":"u{n}","eventType":"t","properties":{{"d":"{:04}","n":{n}.5}},"timestamp":"2013-01-{day:02}T{hour:02}:00:00.000Z"}}"#,
            n / 672 % 200
        )
    };
    let mut connection = Connection::open(data.join("events.sqlite")).unwrap();
    let transaction = connection.transaction().unwrap();
    let insert = "INSERT INTO events (tenant, id, digest, occurred_at, received_at, expires_at, record)
        VALUES ('default', 'evt_' || ?1, zeroblob(16), 1, 1, 4000000000, ?2)";
    for n in 0..60_000 {
        transaction.execute(insert, rusqlite::params![n, record(n)]).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_reports_do_not_hold_up_a_probe() {
    let data = tempfile::tempdir().unwrap();
    drop(Server::start(data.path()));
    fill_with_events(data.path());
    let server = Server::start(data.path());
    let port = server.port;
    let target = "/reports/timeseries?interval=hour&from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&groupBy=d\
        &metrics=count,users,sum:n,p95:n&limit=10000";
    let mut reports = JoinSet::new();
    for _ in 0..2 {
        reports.spawn(async move {
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(3) {
                let (status, _) = get(port, target).await;
                assert!([200, 422].contains(&status), "{status}");
            }
        });
    }
    let mut times = Vec::new();
    while !reports.is_empty() {
        let started = Instant::now();
        assert_eq!(get(port, "/healthz").await.0, 200);
        times.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
        while let Some(done) = reports.try_join_next() {
            done.unwrap();
        }
    }
    // On the threads that answer, two reports at once would hold a probe up for as long as one of them takes.
    let p99 = p99(times);
    assert!(p99 < Duration::from_millis(250), "{p99:?}");
}

/// Starts a server on a disk that is full once a file has `blocks` blocks of 512 bytes. Returns it with the file of
/// its lines for the operator.
fn start_on_disk_that_grows(data: &Path, blocks: u32) -> (Server, PathBuf) {
    let lines = data.join("lines");
    let mut command = Command::new("sh");
    // Sets only the soft limit, so that `prlimit` can raise it.
    let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\" 2>'{}'", lines.display());
    command.args(["-c", &script, env!("CARGO_BIN_EXE_isotherm-native")]);
    (Server::run(command, data), lines)
}

#[tokio::test]
async fn on_a_full_disk_reads_go_on_and_it_recovers_by_itself() {
    let data = tempfile::tempdir().unwrap();
    let (server, lines) = start_on_disk_that_grows(data.path(), 1024);
    let (status, first) = send(server.port, &event("first")).await.unwrap();
    assert_eq!(status, 202);
    let id = first.split(r#""eventId":""#).nth(1).unwrap().split('"').next().unwrap();
    let (mut number, mut refused) = (0, vec![]);
    while refused.len() < 200 {
        number += 1;
        match send(server.port, &event(&number.to_string())).await.unwrap() {
            (202, _) => {}
            (503, answer) => refused.push(answer),
            other => panic!("{other:?}"),
        }
        assert!(number < 10_000, "the disk was never full");
    }
    assert_eq!(get(server.port, &format!("/events/{id}")).await.0, 200);
    let report = "/reports/summary?from=2025-01-01T00:00:00Z&to=2025-02-01T00:00:00Z";
    assert_eq!(get(server.port, report).await.0, 200);
    let printed = std::fs::read_to_string(lines).unwrap();
    let told: Vec<_> = printed.lines().filter(|line| line.contains("events cannot be stored")).collect();
    assert!((1..20).contains(&told.len()), "{} lines of {} failures", told.len(), refused.len());
    let request_id = refused[0].split(r#""requestId":""#).nth(1).unwrap().split('"').next().unwrap();
    assert!(told[0].contains(request_id), "{request_id} is not in {:?}", told[0]);
    let process = server.child.id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited:"]).stderr(Stdio::null()).status();
    assert!(raised.unwrap().success());
    let started = Instant::now();
    while send(server.port, &event("after")).await.unwrap().0 != 202 {
        assert!(started.elapsed() < Duration::from_secs(10), "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.terminate();
    let mut server = server;
    assert!(server.child.wait().unwrap().success());
    let printed = std::fs::read_to_string(data.path().join("lines")).unwrap();
    for answer in refused {
        let request_id = answer.split(r#""requestId":""#).nth(1).unwrap().split('"').next().unwrap();
        assert!(printed.contains(request_id), "{request_id} is not in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_process_holds_the_store_each_request_is_answered_before_its_client_gives_up() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &[]);
    let port = server.port;
    // What is not folded is a task that wants the store too.
    for number in 0..10 {
        assert_eq!(send(port, &event(&format!("before-{number}"))).await.unwrap().0, 202);
    }
    let mut other = Connection::open(data.path().join("events.sqlite")).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Exclusive).unwrap();
    let mut requests = JoinSet::new();
    for number in 0..30 {
        requests.spawn(async move {
            // They come at any moment of what the server does meanwhile.
            tokio::time::sleep(Duration::from_millis(500 * number)).await;
            let started = Instant::now();
            (send(port, &event(&format!("held-{number}"))).await.unwrap().0, started.elapsed())
        });
    }
    while let Some(answered) = requests.join_next().await {
        let (status, time) = answered.unwrap();
        assert!(status == 503 && time < Duration::from_secs(10), "{status} after {time:?}");
    }
    lock.rollback().unwrap();
    assert_eq!(send(port, &event("after")).await.unwrap().0, 202);
}
