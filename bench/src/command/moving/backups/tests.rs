//! Folders as platforms lay them down, and objects that are damaged.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

const RECORD: &str = r#"{"eventId":"evt_0000000000000000000000000A","userId":"u","eventType":"t","timestamp":"2025-11-21T01:00:00.000Z","receivedAt":"2025-11-21T01:53:20.000Z","properties":{"n":1}}"#;

fn packed(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn folder(objects: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in objects {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn keys(folder: &Path, tenant: Option<&str>) -> Result<Vec<String>> {
    let backups = Backups::open(folder, tenant)?;
    let keys = backups.all().map(|object| Ok(object?.key)).collect::<Result<Vec<_>>>()?;
    assert_eq!(backups.objects, keys.len() as u64);
    Ok(keys)
}

#[test]
fn objects_of_every_platform_are_found_in_the_order_of_their_names() {
    let one = packed(RECORD);
    let names = [
        "acme/2025-11-21/00000000000000000501.ndjson.gz",
        "acme/2025-11-21/3-0000000001.ndjson.gz",
        "acme/2025-11-21/shardId-00000001-aaaa-100-200.ndjson.gz",
        "acme/2025-11-20/9.ndjson",
        "acme/undated/1.ndjson.gz",
        "acme/2025-11-21/7.ndjson.new",
        "acme/notes/8.ndjson.gz",
        ".bucket.json",
    ];
    let folder = folder(&names.map(|name| (name, one.clone())));
    let expected = [
        "2025-11-20/9.ndjson",
        "2025-11-21/00000000000000000501.ndjson.gz",
        "2025-11-21/3-0000000001.ndjson.gz",
        "2025-11-21/shardId-00000001-aaaa-100-200.ndjson.gz",
        "undated/1.ndjson.gz",
    ];
    for (path, tenant) in [("", None), ("", Some("acme")), ("acme", None)] {
        assert_eq!(keys(&folder.path().join(path), tenant).unwrap(), expected);
    }
    assert_eq!(Backups::open(&folder.path().join("acme"), None).unwrap().tenant, "acme");
}

#[test]
fn a_folder_must_say_whose_backup_it_has() {
    let one = packed(RECORD);
    let two = folder(&[("a/2025-11-21/1.ndjson.gz", one.clone()), ("b/2025-11-21/1.ndjson.gz", one)]);
    let problem = |folder: &Path, tenant| format!("{:#}", keys(folder, tenant).unwrap_err());
    assert!(problem(two.path(), None).ends_with("has the backups of a, b: name one with --tenant"));
    assert_eq!(keys(two.path(), Some("b")).unwrap(), ["2025-11-21/1.ndjson.gz"]);
    assert!(problem(two.path(), Some("c")).starts_with("there is no folder "));
    let empty = folder(&[("a/2025-11-21/1.txt", Vec::new())]);
    assert!(problem(empty.path(), None).contains("has no raw backups: they are named DAY/BATCH.ndjson.gz"));
    assert!(problem(folder(&[]).path(), None).contains("has no raw backups: they are named TENANT/DAY/"));
    assert!(problem(&empty.path().join("x"), None).starts_with("cannot read "));
}

#[test]
fn members_are_joined_and_damage_is_found_before_a_line_is_used() {
    let lines = |bytes: Vec<u8>| -> io::Result<Vec<String>> {
        let folder = folder(&[("2025-11-21/1.ndjson.gz", bytes)]);
        let object = Backups::open(folder.path(), None).unwrap().all().next().unwrap().unwrap();
        object.check()?;
        object.lines()?.collect()
    };
    let two = [packed("a\n"), packed(" b\n\nc")].concat();
    assert_eq!(lines(two.clone()).unwrap(), ["a", "b", "c"]);
    assert_eq!(lines(b"a\nb".to_vec()).unwrap(), ["a", "b"]);
    assert!(lines(two[..two.len() - 1].to_vec()).is_err(), "cut off");
    let mut flipped = packed(&"abcdefgh".repeat(100));
    let at = flipped.len() - 8;
    flipped[at] ^= 1;
    assert!(lines(flipped).is_err(), "a wrong checksum");
    assert!(lines([packed("a\n"), b"xx".to_vec()].concat()).is_err(), "something behind the members");
    assert!(lines(packed(&"x".repeat(2 << 20))).is_err(), "a line without an end");
    assert!(lines(vec![0xff]).is_err(), "no UTF-8");
}

#[test]
fn a_record_is_an_event_again() {
    let configured = |text: &str| Service::from_text(Some(text));
    let event = event_of(&Service::from_text(None), RECORD).unwrap();
    assert_eq!((event.id.to_string().as_str(), event.record.as_str()), ("evt_0000000000000000000000000A", RECORD));
    assert_eq!(event.expires_at, Seconds(1_763_690_000 + 90 * 24 * 60 * 60));
    let kept = configured(r#"{"version":2,"open":true,"retention":{"t":2}}"#);
    assert_eq!(event_of(&kept, RECORD).unwrap().expires_at, Seconds(1_763_690_000 + 2 * 24 * 60 * 60));
    for no_event in ["", "{}", "x", &RECORD.replace("evt_", "")] {
        assert!(event_of(&kept, no_event).is_none(), "{no_event}");
    }
}
