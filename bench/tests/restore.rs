//! A raw backup comes back into another server, and both are compared with it.
#![allow(clippy::unwrap_used, reason = "what a helper of a test finds wrong fails the test")]

mod fixture;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

const ISOTHERM: &str = env!("CARGO_BIN_EXE_isotherm");
const KEYS: [(&str, &str, &str); 3] = [
    ("0123456789-acme-both", "acme", "both"),
    (OPERATES, "acme", "operate"),
    ("0123456789-other-both", "other", "both"),
];
const OPERATES: &str = "0123456789-acme-operates";
const EVENTS: usize = 300;

/// A plain server with its data. It stops when dropped.
struct Server {
    child: Child,
    url: String,
    data: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        use sha2::Digest as _;
        let hash = |key: &str| sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let keys = KEYS.map(|(key, tenant, scope)| json!({"sha256": hash(key), "tenant": tenant, "scope": scope}));
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("config.json");
        fs::write(&config, json!({"version": 2, "keys": keys}).to_string()).unwrap();
        let mut command = Command::new(ISOTHERM);
        command.args(["up", "native", "--artifacts"]).arg(fixture::artifacts()).arg("--config").arg(config);
        command.arg("--data").arg(data.path().join("data")).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.unwrap().strip_prefix("ready ").map(str::to_owned)).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: ready, data }
    }

    fn send(&self, key: &str, method: &str, target: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\nconnection: close");
        write!(stream, "{head}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn batch(&self, key: &str, events: &[Value]) -> Value {
        self.send(key, "POST", "/events/batch", &json!({"events": events}).to_string())
    }

    fn count(&self, query: &str) -> Value {
        let path = format!("/reports/summary?metrics=count,users,sum:n&{query}");
        self.send(KEYS[0].0, "GET", &path, "")["rows"].take()
    }

    /// Waits until the raw backup has everything.
    fn backup(&self) -> PathBuf {
        let folder = self.data.path().join("data/backup");
        let deadline = Instant::now() + Duration::from_secs(60);
        while lines(&folder) < EVENTS + 1 {
            assert!(Instant::now() < deadline, "{} lines", lines(&folder));
            std::thread::sleep(Duration::from_millis(100));
        }
        folder
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _stopped = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ended = self.child.wait();
    }
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    let mut files: Vec<_> = entries.flat_map(|entry| below(entry.unwrap().path())).collect();
    files.sort();
    files
}

fn text(file: &Path) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn lines(folder: &Path) -> usize {
    let whole = |file: &&PathBuf| file.extension().is_some_and(|extension| extension == "gz");
    files(folder).iter().filter(whole).map(|file| text(file).lines().count()).sum()
}

fn packed(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn event(n: usize) -> Value {
    let mut event = json!({"messageId": format!("m{n}"), "userId": format!("u{}", n % 7), "eventType": "t", "properties": {"n": n}});
    if n.is_multiple_of(2) {
        event["timestamp"] = json!(jiff::Timestamp::now().as_millisecond() - 1000 * n as i64);
    }
    event
}

#[track_caller]
fn isotherm(arguments: &[&str], code: i32) -> Output {
    let output = Command::new(ISOTHERM).args(arguments).env("ISOTHERM_KEY", OPERATES).output().unwrap();
    fixture::check_code(&output, code);
    output
}

#[track_caller]
fn said(arguments: &[&str], code: i32) -> Value {
    let output = isotherm(&[arguments, &["--json"]].concat(), code);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = isotherm(&["schema", arguments[0]], 0);
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    jsonschema::validate(&schema, &said).unwrap();
    said
}

#[track_caller]
fn check(said: &Value, expected: &[(&str, u64)]) {
    for (name, count) in expected {
        assert_eq!(said.pointer(name).unwrap(), *count, "{name} of {said:#}");
    }
}

#[test]
fn a_raw_backup_comes_back_and_is_compared() {
    let source = Server::start();
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    assert_eq!(source.batch(KEYS[0].0, &events)["accepted"], EVENTS);
    assert_eq!(source.batch(KEYS[2].0, &[event(1)])["accepted"], 1);
    let folder = source.backup();
    let folder_name = folder.to_str().unwrap();

    // Whose backup it is has to be said, and where it is.
    let refused = isotherm(&["restore", folder_name, &source.url], 2);
    assert!(fixture::text(&refused.stderr).contains("has the backups of acme, other: name one with --tenant"));
    assert_eq!(
        isotherm(&["verify", &source.url, "/no/such/folder"], 2).stderr.iter().filter(|byte| **byte == b'\n').count(),
        1
    );
    isotherm(&["restore", folder_name, &source.url, "--tenant", "nobody"], 2);
    let same = said(&["verify", &source.url, folder_name, "--tenant", "acme"], 0);
    check(&same, &[("/alike", EVENTS as u64), ("/digest_unchecked", 0), ("/expired", 0)]);

    // Objects that overlap, with two members; an old event; what is damaged; and what is no object.
    let tenant = folder.join("acme");
    let objects: Vec<_> = files(&tenant).into_iter().filter(|file| file.extension().unwrap() == "gz").collect();
    let all: String = objects.iter().map(|object| text(object)).collect();
    let day = objects[0].parent().unwrap();
    let (first, second) = all.split_at(all.find('\n').unwrap() + 1);
    fs::write(day.join("shardId-1-2.ndjson.gz"), [packed(first), packed(second)].concat()).unwrap();
    fs::write(day.join("shardId-1-3.ndjson"), format!(" {first}")).unwrap();
    fs::write(day.join("0-1.ndjson.new"), "unfinished").unwrap();
    let old = r#"{"eventId":"evt_0000000000000000000000000A","userId":"u0","eventType":"t","timestamp":"2024-05-01T10:00:00.000Z","receivedAt":"2024-05-01T10:00:00.000Z","properties":{"n":1}}"#;
    fs::create_dir(tenant.join("2024-05-01")).unwrap();
    fs::write(tenant.join("2024-05-01/1.ndjson.gz"), packed(&format!("{old}\n{{\"x\":1}}\n"))).unwrap();
    let damaged = tenant.join("2024-05-01/2.ndjson.gz");
    fs::write(&damaged, &packed(&all)[..100]).unwrap();

    let target = Server::start();
    let tenant_name = tenant.to_str().unwrap();
    let state = folder.join("state.json");
    let restore = ["restore", tenant_name, &target.url, "--state", state.to_str().unwrap()];
    let restored = said(&restore, 1);
    check(&restored, &[("/new", EVENTS as u64 + 1), ("/there", EVENTS as u64 + 1), ("/expired", 1)]);
    check(&restored, &[("/damaged", 1), ("/unreadable", 1), ("/left_out", 0), ("/otherwise", 0)]);
    assert_eq!(restored["named"][1]["object"], "2024-05-01/2.ndjson.gz");
    assert!(!state.exists());

    // Reports count the old event, too, and clients' retries are duplicates.
    let verify = ["verify", &target.url, tenant_name];
    let same = said(&verify, 1);
    check(&same, &[("/alike", EVENTS as u64 + 1), ("/unreadable", 1), ("/only_in_backup/count", 0)]);
    assert_eq!(same["damaged"].as_object().unwrap().len(), 1);
    assert_eq!(target.count(""), source.count(""));
    assert_eq!(target.count("from=2024-05-01T00:00:00Z&to=2024-05-02T00:00:00Z")[0]["count"], 1);
    assert_eq!(target.batch(KEYS[0].0, &events)["duplicate"], EVENTS);

    // Again, without the damage: nothing is new, and what has expired stays away from rollups that may count it.
    fs::remove_file(damaged).unwrap();
    fs::write(tenant.join("2024-05-01/1.ndjson.gz"), packed(&format!("{old}\n"))).unwrap();
    let again = said(&restore, 0);
    check(&again, &[("/new", 0), ("/there", 2 * EVENTS as u64 + 1), ("/left_out", 1)]);
    let expired = said(&[restore.as_slice(), &["--expired"]].concat(), 0);
    check(&expired, &[("/new", 0), ("/there", 2 * EVENTS as u64 + 2), ("/left_out", 0)]);
    assert_eq!(target.count(""), source.count(""));

    // What differs is named; what is newer is not compared.
    std::thread::sleep(Duration::from_millis(10));
    target.batch(KEYS[0].0, &[event(1000)]);
    let same = said(&verify, 0);
    check(&same, &[("/alike", EVENTS as u64 + 1), ("/not_yet_backed_up", 1)]);
    let (_, more) = first.split_once("evt_").unwrap();
    let changed = first.replace(&more[..26], "0000000000000000000000000B");
    fs::write(day.join("shardId-1-4.ndjson"), changed).unwrap();
    let differs = said(&verify, 1);
    check(&differs, &[("/only_in_backup/count", 1), ("/only_at_service/count", 0)]);
    assert_eq!(differs["only_in_backup"]["ids"][0], "evt_0000000000000000000000000B");
    let words = fixture::text(&isotherm(&verify, 1).stdout);
    assert!(words.contains(" in the backup, ") && words.contains("1 only in the backup: evt_000"), "{words}");
    assert!(words.ends_with("they differ\n"), "{words}");
}

#[test]
fn a_killed_restore_goes_on() {
    let source = Server::start();
    let events: Vec<_> = (0..=EVENTS).map(event).collect();
    source.batch(KEYS[0].0, &events);
    let all: String = files(&source.backup()).iter().map(|file| text(file)).collect();
    let folder = tempfile::tempdir().unwrap();
    let day = folder.path().join("acme/2025-11-21");
    fs::create_dir_all(&day).unwrap();
    for (at, line) in all.lines().enumerate() {
        fs::write(day.join(format!("{at:04}.ndjson.gz")), packed(line)).unwrap();
    }
    let target = Server::start();
    let state = folder.path().join("state.json");
    let restore = ["restore", folder.path().to_str().unwrap(), &target.url, "--state", state.to_str().unwrap()];
    let mut killed =
        Command::new(ISOTHERM).args(restore).args(["--rate", "1"]).env("ISOTHERM_KEY", OPERATES).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !state.exists() {
        assert!(Instant::now() < deadline && killed.try_wait().unwrap().is_none(), "there is no state");
        std::thread::sleep(Duration::from_millis(10));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();

    // As if it had been killed after 100 objects.
    let mut known: Value = serde_json::from_str(&fs::read_to_string(&state).unwrap()).unwrap();
    let mut place: Value = serde_json::from_str(known["events"]["0"].as_str().unwrap()).unwrap();
    place["last"] = json!("2025-11-21/0099.ndjson.gz");
    place["so_far"]["objects"] = json!(100);
    place["so_far"]["records"] = json!(100);
    known["events"]["0"] = json!(place.to_string());
    fs::write(&state, known.to_string()).unwrap();
    let other = isotherm(&[restore.as_slice(), &["--tenant", "acme", "--expired"]].concat(), 1);
    assert!(fixture::text(&other.stderr).contains("name another file with --state"));
    let went_on = said(&restore, 0);
    check(&went_on, &[("/objects", EVENTS as u64 + 1), ("/records", EVENTS as u64 + 1)]);
    assert_eq!(went_on["new"].as_u64().unwrap() + went_on["there"].as_u64().unwrap(), EVENTS as u64 + 1 - 100);

    // Another object that would be passed over: everything is read.
    fs::write(&state, known.to_string()).unwrap();
    fs::write(day.join("0000a.ndjson.gz"), packed(all.lines().next().unwrap())).unwrap();
    let anew = isotherm(&[restore.as_slice(), &["--json"]].concat(), 0);
    assert!(fixture::text(&anew.stderr).contains("beginning anew"));
    let anew: Value = serde_json::from_slice(&anew.stdout).unwrap();
    check(&anew, &[("/objects", EVENTS as u64 + 2), ("/records", EVENTS as u64 + 2)]);
    assert_eq!(target.count("")[0]["count"], EVENTS + 1);
}
