//! Records in a store, which may be any text. Each record is judged by itself whether it is an event, and no order of
//! folding changes a byte.

use std::collections::{BTreeMap, BTreeSet};

use isotherm_core::WriteLimits;
use isotherm_fuzz::{Folded, Pages, SERVICE, report};
use serde_json::{Map, Value, json};

/// Further lines are not read, so that an input is quick.
const LINES: usize = 12;
/// Limits of a store that takes little at once.
const LITTLE: WriteLimits = WriteLimits { pages: 40, ..WriteLimits::NONE };

/// The first byte says what else is done with the records, and where they are cut in two. Then each line is a record:
/// in full if it begins with `{`, otherwise in the short form `hour|eventType|userId|name=value|…`.
pub(crate) fn run(input: &[u8]) {
    let Some((cut, rest)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let lines: Vec<&str> = text.lines().take(LINES).collect();
    let records: Vec<String> = lines.iter().map(|line| record(line)).collect();
    let all: Vec<&str> = records.iter().map(String::as_str).collect();
    let mut whole = Pages::default();
    let Folded { damaged, rejected } = whole.fold(&SERVICE, all.iter().copied(), WriteLimits::NONE);
    assert!(damaged.is_empty(), "nothing is stored, and {damaged:?} can't be read");
    let unreadable: BTreeMap<usize, String> =
        rejected.into_iter().map(|record| (record.index, record.reason)).collect();
    for (at, record) in all.iter().enumerate() {
        let alone = SERVICE.observe(record).err().map(|why| why.to_string());
        assert_eq!(alone.as_ref(), unreadable.get(&at), "{record}");
        assert!(alone.is_none_or(|why| why.len() < 1024), "a long reason: {record}");
    }
    let of = |batches: &[&[&str]], limits| {
        let mut pages = Pages::default();
        for batch in batches {
            let Folded { damaged, .. } = pages.fold(&SERVICE, batch.iter().copied(), limits);
            assert!(damaged.is_empty(), "{damaged:?} can't be read");
        }
        pages
    };
    let (one, two) = all.split_at(usize::from(*cut / 3) % (all.len() + 1));
    match cut % 3 {
        0 if is_below_caps(&records) => assert_eq!(of(&[one, two], LITTLE), whole, "batches change pages"),
        1 if is_below_caps(&records) => {
            assert_eq!(of(&[two, one], WriteLimits::NONE), whole, "the order changes pages")
        }
        2 => check_report(&whole, &lines, unreadable.len()),
        _ => {}
    }
}

/// Checks that a report counts all the events, before compaction and after.
fn check_report(whole: &Pages, lines: &[&str], unreadable: usize) {
    let mut compacted = whole.clone();
    assert!(compacted.compact(&SERVICE).is_empty(), "what is written can be read");
    if lines.iter().all(|line| !line.starts_with('{')) {
        for pages in [whole, &compacted] {
            let query = "from=2013-01-01T00:00:00Z&to=2013-01-12T00:00:00Z&interval=month&metrics=count,users,sum:n";
            let reply = report(&SERVICE, &[(pages, &[])], "/reports/timeseries", query).reply;
            let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(body["rows"][0]["count"], lines.len() - unreadable, "{body}");
        }
    }
}

fn record(line: &str) -> String {
    if line.starts_with('{') {
        return line.to_owned();
    }
    let mut fields = line.split('|');
    let hour = fields.next().and_then(|hour| hour.parse::<u32>().ok()).unwrap_or_default() % 240;
    let (event_type, user) = (fields.next().unwrap_or("t"), fields.next().unwrap_or("u"));
    let properties = fields.take(40).map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, "1"));
        (name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_text| Value::from(value)))
    });
    let properties: Map<String, Value> = properties.collect();
    let timestamp = format!("2013-01-{:02}T{:02}:30:00.000Z", 1 + hour / 24, hour % 24);
    json!({"userId": user, "eventType": event_type, "timestamp": timestamp, "properties": properties}).to_string()
}

/// Whether no type has more than 8 dimensions on a day, and no day more than 500. Beyond these caps, the dimensions
/// that come first stay.
fn is_below_caps(records: &[String]) -> bool {
    let mut names: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for record in records {
        let Ok(record) = serde_json::from_str::<Value>(record) else { continue };
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let hour = text("timestamp").get(..10).unwrap_or_default().to_owned();
        let known = names.entry((text("eventType"), hour)).or_default();
        let members = record["properties"].as_object().into_iter().flatten();
        known.extend(members.filter(|(_, value)| value.is_string()).map(|(name, _)| name.clone()));
    }
    names.values().all(|names| names.len() <= 8) && names.values().map(BTreeSet::len).sum::<usize>() <= 500
}
