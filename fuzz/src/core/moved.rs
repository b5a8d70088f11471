//! Lines of another service's export. What is taken in comes out again, lies beside the store's own pages, and harms none of
//! them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::{
    Admission, ExportOutcome, Millis, NewEvent, Place, Plan, Request, StoreOutcome, StoredPage, union,
    union_of_manifests,
};
use isotherm_fuzz::{OPERATORS_KEY, SERVICE, STAMP, check_reply};
use serde_json::{Value, json};

use crate::pages::{self, RIGHT};

/// The first byte says what is imported. Events are lines of JSON; of rollups the rest says what is damaged.
pub(crate) fn run(input: &[u8]) {
    match input.split_first() {
        Some((first, lines)) if first % 2 == 0 => events(lines),
        Some((_, damage)) => rollups(damage),
        None => {}
    }
}

fn ask(method: &str, path: &str, body: &[u8]) -> Admission {
    let headers =
        [("authorization", format!("Bearer {OPERATORS_KEY}")), ("content-type", "application/x-ndjson".to_owned())];
    SERVICE.admit(&Request { method, path, query: "", headers: &headers, body }, STAMP)
}

/// The events that these lines bring.
fn imported(lines: &[u8]) -> Vec<NewEvent> {
    match ask("POST", "/import/events", lines) {
        Admission::Plan(Plan::Store(plan)) => {
            let events = plan.events().to_vec();
            check_reply("POST", &plan.respond(vec![StoreOutcome::Stored; events.len()]));
            events
        }
        Admission::Plan(other) => panic!("another plan: {other:?}"),
        Admission::Reply(reply) => {
            check_reply("POST", &reply);
            Vec::new()
        }
    }
}

fn events(lines: &[u8]) {
    let events = imported(lines);
    let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), events.len(), "an id twice");
    let Admission::Plan(Plan::Export(plan)) = ask("GET", "/export/events", b"") else { panic!("no export") };
    for event in &events {
        let mut export = plan.asked().begin();
        export.event(event, 1);
        let text = export.end(Place { parts: 1, folded_to: Millis(1), is_ordered: true, more: None });
        let (line, end) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
        let end: Value = serde_json::from_str(end).expect("JSON");
        assert!(line.is_empty() || !line.contains('\n'), "two lines of one event");
        if line.is_empty() {
            assert!(event.expires_at.0 <= STAMP.received_at.0 / 1000 || end["leftOut"] == 1, "left out: {event:?}");
            continue;
        }
        let read: Value = serde_json::from_str(line).expect("JSON");
        // An event that moved rollups count is counted by those of the next service, too.
        let line = if read["moved"] == true { line.replacen('{', r#"{"counted":true,"#, 1) } else { line.to_owned() };
        assert_eq!(imported(line.as_bytes()), std::slice::from_ref(event), "what came in does not come out");
    }
}

fn rollups(input: &[u8]) {
    let Ok((from, _damaged)) = pages::damage(&mut arbitrary::Unstructured::new(input)) else { return };
    let line = |(key, bytes): (&String, &Vec<u8>)| json!({"key": key, "page": STANDARD.encode(bytes)}).to_string();
    let mut target = RIGHT.clone();
    // One bad line refuses all, so each page comes by itself.
    for page in &from.0 {
        match ask("POST", "/import/rollups", line(page).as_bytes()) {
            Admission::Plan(Plan::Import(plan)) => {
                target.write(plan.pages().cloned());
                check_reply("POST", &plan.respond(true));
            }
            Admission::Reply(reply) => check_reply("POST", &reply),
            Admission::Plan(other) => panic!("another plan: {other:?}"),
        }
    }
    assert!(RIGHT.0.iter().all(|page| target.0.get_key_value(page.0) == Some(page)), "an import replaces own pages");
    let brought: Vec<StoredPage> = target
        .0
        .iter()
        .filter(|(key, _)| !RIGHT.0.contains_key(*key))
        .map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() })
        .collect();
    pages::check_reports(&target);
    unite(&brought);
    let mut own = RIGHT.clone();
    assert_eq!(target.compact(&SERVICE), own.compact(&SERVICE), "an import spoils a compaction");
    target.0.retain(|key, _| brought.iter().all(|page| page.key != *key));
    assert_eq!(target, own, "an import changes own pages");
    export(&brought);
}

/// Makes one of pages of the same series, as the next move does. What can't be read is named.
fn unite(pages: &[StoredPage]) {
    for page in pages {
        let one = std::slice::from_ref(page);
        let (_series, _manifest) = (union(one, &BTreeSet::new()), union_of_manifests(one));
    }
    let _all = union(pages, &BTreeSet::new());
}

/// What lies in the store can be exported again.
fn export(pages: &[StoredPage]) {
    let Admission::Plan(Plan::Export(plan)) = ask("GET", "/export/rollups", b"") else { panic!("no export") };
    let mut export = plan.asked().begin();
    pages.iter().for_each(|page| export.page(page, &page.key));
    let lines = export.end(Place { parts: 1, folded_to: Millis(1), is_ordered: true, more: None });
    check_reply("GET", &plan.respond(ExportOutcome::Read(lines)));
}
