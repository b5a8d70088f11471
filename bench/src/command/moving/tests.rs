//! Exports in files, manifests, and how far a move is.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::file::{self, FileSink};
use super::lines::{EventLine, page_of};
use super::manifest::Manifest;
use super::sink::Sink;
use super::state::State;

const EVENT: &str =
    r#"{"digest":"0f","expiresAt":1772000000,"moved":true,"record":{"receivedAt":"2025-11-21T01:53:20.000Z","n":1}}"#;
const PAGE: &str = r#"{"key":"\u001f0005c07a\u001ft\u001f","page":"AQ=="}"#;

fn event(line: &str) -> EventLine<'_> {
    serde_json::from_str(line).unwrap()
}

/// An export with one event and one page, and its manifest.
async fn export(path: &std::path::Path) -> Manifest {
    let mut manifest = Manifest::default();
    let mut sink = Sink::File(FileSink::create(path, &"https://a.example.com".parse().unwrap()).unwrap());
    manifest.event_line(&event(EVENT)).unwrap();
    sink.event(&event(EVENT)).await.unwrap();
    let page = page_of(PAGE).unwrap();
    manifest.page(&page);
    sink.page(&page).await.unwrap();
    sink.end(&manifest).await.unwrap();
    manifest
}

fn text(path: &std::path::Path) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    text
}

#[tokio::test]
async fn a_file_holds_what_was_exported_and_says_when_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ndjson.gz");
    let manifest = export(&path).await;
    let (whole, lasting) = file::manifest(&path, 1_772_000_001).unwrap();
    assert_eq!((whole.counts(), lasting.counts(), whole), ((1, 1), (0, 1), manifest));
    let whole = text(&path);
    assert_eq!(whole.lines().count(), 4, "{whole}");

    let refused = |text: String| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let path = folder.path().join("b.ndjson.gz");
        std::fs::write(&path, gzip.finish().unwrap()).unwrap();
        format!("{:#}", file::manifest(&path, 0).unwrap_err())
    };
    let name = folder.path().join("b.ndjson.gz").display().to_string();
    let lines: Vec<&str> = whole.lines().collect();
    for (text, expected) in [
        (lines[..3].join("\n"), "was broken off"),
        (lines[1..].join("\n"), "is no export"),
        (whole.replace(r#""n":1"#, r#""n":2"#), "events received on 2025-11-21: as many, with another content"),
        ([lines[0], lines[1], lines[3]].join("\n"), "rollups of 2013-01-01: 1 at the source, 0 here"),
        (whole.replace(r#""version":1"#, r#""version":2"#), "is of version 2"),
        (format!("{whole}{}", lines[1]), "lines follow the manifest"),
        (whole.replace("expiresAt", "expires"), &format!("{name}: line 2 is no line of an export: {{\"event\"")),
        (whole.replace("AQ==", "?"), &format!("{name}: line 3 is no line of an export: a page is no base64")),
        ("a text".to_owned(), &format!("{name}: line 1 is no line of an export: a text")),
    ] {
        let error = refused(text);
        assert!(error.contains(expected), "{error}");
    }
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 12]).unwrap();
    assert!(file::manifest(&path, 0).is_err(), "a file that is cut off");
    for other in ["", "{}\n", "a text"] {
        let path = folder.path().join("c.txt");
        std::fs::write(&path, other).unwrap();
        let error = format!("{:#}", file::manifest(&path, 0).unwrap_err());
        let expected = "c.txt: line 1 is no line of an export: an export is packed with gzip";
        assert!(error.ends_with(expected), "{error}");
    }
    assert!(FileSink::create(&path, &"https://a.example.com".parse().unwrap()).is_err(), "a file that is there stays");
}

#[test]
fn an_order_does_not_show_in_a_manifest_and_a_repetition_does() {
    let other = EVENT.replace(r#""n":1"#, r#""n":2"#);
    let of = |lines: &[&str]| {
        let mut manifest = Manifest::default();
        lines.iter().for_each(|line| manifest.event_line(&event(line)).unwrap());
        manifest
    };
    let (one, two) = (of(&[EVENT, &other]), of(&[&other, EVENT]));
    assert_eq!(one.differences(&two), Vec::<String>::new());
    let twice = of(&[EVENT, EVENT]);
    assert_eq!(one.differences(&twice), ["events received on 2025-11-21: as many, with another content"]);
    assert_eq!(one.differences(&of(&[EVENT])), ["events received on 2025-11-21: 2 at the source, 1 here"]);
    // The mark `moved` is no part of the digest.
    assert_eq!(of(&[EVENT]).differences(&of(&[&EVENT.replace(r#""moved":true,"#, "")])), Vec::<String>::new());
}

#[test]
fn rollups_and_their_days_come_from_another_manifest() {
    let (mut events, mut rollups) = (Manifest::until(1_772_000_000), Manifest::default());
    events.event_line(&event(EVENT)).unwrap();
    assert_eq!(events.last_days(31), Some(("2025-11-21", "2025-11-21")));
    // The first page is two months older than the others.
    for hour in ["0005bada", "0005c07a", "0005c092", "0005c0aa"] {
        rollups.page(&page_of(&PAGE.replace("0005c07a", hour)).unwrap());
    }
    let both = events.with_rollups_of(rollups);
    assert_eq!(both.counts(), (1, 4));
    assert_eq!(both.last_days(31), Some(("2013-01-01", "2013-01-03")));
    assert_eq!(both.last_days(1), Some(("2013-01-03", "2013-01-03")));
    assert_eq!(both.last_days(63), Some(("2012-11-02", "2013-01-03")));
    assert_eq!(both.last_days(2), Some(("2013-01-02", "2013-01-03")));
    assert_eq!(Manifest::default().last_days(2), None);
}

#[test]
fn an_event_says_when_it_was_received() {
    assert_eq!(event(EVENT).received_at().unwrap(), "2025-11-21T01:53:20.000Z");
    assert_eq!(event(EVENT).received_ms().unwrap(), 1_763_690_000_000);
}

#[test]
fn an_event_is_told_to_be_counted_or_not() {
    assert!(
        event(EVENT).to_import(true).starts_with(r#"{"counted":true,"digest":"0f","expiresAt":1772000000,"record":{"#)
    );
    assert!(event(EVENT).to_import(false).starts_with(r#"{"counted":false,"#));
}

#[test]
fn a_state_is_of_one_move() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let mut state = State::of_file(Some(path.clone()), "a", "b", "k").unwrap();
    state.events.insert(3, "17".to_owned());
    state.save().unwrap();
    let known = State::of_file(Some(path.clone()), "a", "b", "k").unwrap();
    assert_eq!(known.events[&3], "17");
    let error = format!("{:#}", State::of_file(Some(path.clone()), "a", "c", "k").unwrap_err());
    assert!(error.contains("a move from a to b"), "{error}");
    assert!(State::of_file(Some(path.clone()), "a", "b", "other keys").is_err());
    known.remove().unwrap();
    known.remove().unwrap();
    assert!(State::of_file(Some(path.clone()), "a", "c", "k").unwrap().events.is_empty());
    std::fs::write(&path, "x").unwrap();
    assert!(State::of_file(Some(path), "a", "b", "k").is_err());
}
