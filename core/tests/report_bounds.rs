//! Reports over data that is too large or too damaged to answer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

mod counting;

use std::collections::BTreeMap;

use isotherm_core::{
    Admission, KeyRange, Millis, Plan, ReportData, ReportOutcome, ReportReply, Request, Service, Stamp, StoredPage,
    Unfolded, WriteLimits,
};
use serde_json::{Value, json};

const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };
const YEAR: &str = "from=2024-01-01T00:00:00Z&to=2025-02-01T00:00:00Z";

fn record(user: &str, time: &str, properties: &Value) -> String {
    json!({"userId": user, "eventType": "t", "timestamp": time, "properties": properties}).to_string()
}

fn fold(pages: &mut BTreeMap<String, Vec<u8>>, service: &Service, records: &[String]) {
    let limits = WriteLimits { pages: usize::MAX, bytes: usize::MAX };
    let records: Vec<_> = records.iter().map(|record| Unfolded { tenant: "t", record }).collect();
    let step = service.fold(&records, usize::MAX, limits);
    let stored = step.ranges().map(|(_, ranges)| read(pages, ranges)).collect();
    pages.extend(step.merge(stored).unwrap().pages.into_iter().map(|(_, page)| (page.key, page.bytes)));
}

fn read(pages: &BTreeMap<String, Vec<u8>>, ranges: &[KeyRange]) -> Vec<StoredPage> {
    let read = ranges.iter().flat_map(|KeyRange { from, until }| pages.range(from.clone()..until.clone()));
    read.map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }).collect()
}

/// Reads as a host does, within the budget, and answers it.
fn respond(pages: &BTreeMap<String, Vec<u8>>, tail: &[String], path: &'static str, query: &str) -> ReportReply {
    let service = Service::from_text(Some(r#"{"version":2,"open":true}"#));
    let request = Request { method: "GET", path, query, headers: &[], body: b"" };
    let plan = match service.admit(&request, STAMP) {
        Admission::Plan(Plan::Report(plan)) => plan,
        Admission::Reply(reply) => panic!("{}", String::from_utf8(reply.body).unwrap()),
        Admission::Plan(other) => panic!("{other:?}"),
    };
    let mut budget = plan.reading().budget(1);
    let manifests: Vec<KeyRange> = plan.reading().manifests().into_iter().collect();
    let ranges = plan.reading().ranges(&read(pages, &manifests));
    let mut data = ReportData { tail: tail.to_vec(), ..ReportData::default() };
    let mut is_within = tail.iter().all(|record| budget.takes_record(record));
    for range in ranges {
        for (key, bytes) in pages.range(range.from..range.until) {
            let page = StoredPage { key: key.clone(), bytes: bytes.clone() };
            is_within = is_within && budget.takes_page(&page);
            if is_within {
                data.pages.push(page);
            }
        }
    }
    plan.respond(ReportOutcome::Read(vec![if is_within { data } else { ReportData::too_large() }]))
}

fn report(pages: &BTreeMap<String, Vec<u8>>, path: &'static str, query: &str) -> (u16, Value) {
    let reply = respond(pages, &[], path, query).reply;
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

fn rows<'v>(answer: &'v Value, name: &str) -> Vec<(&'v str, u64)> {
    let rows = answer["rows"].as_array().unwrap().iter();
    rows.map(|row| (row[name].as_str().unwrap(), row["count"].as_u64().unwrap())).collect()
}

/// Everything is in one test, because it measures memory.
#[test]
fn what_is_read_held_and_answered_is_bounded() {
    let service = Service::from_text(Some(r#"{"version":2,"open":true}"#));
    // 100 hours with 1,000 values, and other users in every hour.
    let mut pages = BTreeMap::new();
    for hour in 0..100 {
        let time = format!("2024-03-{:02}T{:02}:00:00.000Z", 1 + hour / 24, hour % 24);
        let records: Vec<String> = (0..4000)
            .map(|n| record(&format!("{hour}-{n}"), &time, &json!({"d": format!("v{}", n % 1000), "n": n})))
            .collect();
        fold(&mut pages, &service, &records);
    }
    let mut peaks = Vec::new();
    let mut measured = |path: &'static str, query: &str| {
        let (answer, most) = counting::most_bytes(|| report(&pages, path, query));
        peaks.push(most / 1_000_000);
        answer
    };
    let (status, body) =
        measured("/reports/timeseries", &format!("{YEAR}&interval=hour&groupBy=d&metrics=users,p50:n"));
    assert_eq!((status, &body["code"]), (422, &json!("report_too_large")), "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("a shorter range") && message.contains("no users"), "{message}");
    let (status, body) = measured("/reports/top", &format!("{YEAR}&dimension=d&metrics=users,p50:n&limit=2"));
    assert!(status == 200 || body["code"] == "report_too_large", "{body}");
    let (status, _) = measured("/reports/summary", &format!("{YEAR}&metrics=users,count"));
    assert_eq!(status, 200);

    // A million short names: the pages have 14 MB, and a report that kept each name would take several times that.
    let mut named = BTreeMap::new();
    for hour in 0..80 {
        let time = format!("2024-03-{:02}T{:02}:00:00.000Z", 1 + hour / 24, hour % 24);
        let records: Vec<String> = (0..500)
            .map(|n| {
                let names = (0..24).map(|at| (format!("{:x}", (hour * 500 + n) * 24 + at), json!(1)));
                let record = record("u", &time, &Value::Object(names.collect()));
                record.replace("\"t\"", &format!("\"{n}\""))
            })
            .collect();
        fold(&mut named, &service, &records);
    }
    let read: usize = named.iter().map(|(key, page)| key.len() + page.len()).sum();
    let (answer, most) = counting::most_bytes(|| report(&named, "/reports/summary", &format!("{YEAR}&metrics=sum:1")));
    println!("{read} bytes of names take {most} bytes");
    assert_eq!((answer.0, &answer.1["rows"]), (200, &json!([{"sum:1": 1}])));
    assert!(read > 8_000_000 && most < 3 * read, "{read} {most}");

    // Without data but with long names: an answer that is too large for Lambda continues with `next`.
    let names = ["\\\"a".repeat(60), "b".repeat(200)].map(|name| name.replace('\\', r"\\"));
    let figures = ["sum", "min", "max", "mean", "p1", "p2", "p3", "p4", "p5", "p6"];
    let metrics: Vec<String> =
        names.iter().flat_map(|name| figures.iter().map(move |figure| format!("{figure}:{name}"))).collect();
    let query = format!("{YEAR}&interval=hour&limit=10000&metrics={}", metrics.join(",").replace('"', "%22"));
    let mut cursor = String::new();
    let mut times = Vec::new();
    loop {
        let reply = respond(&BTreeMap::new(), &[], "/reports/timeseries", &format!("{query}{cursor}")).reply;
        let text = String::from_utf8(reply.body).unwrap();
        assert_eq!(reply.status, 200, "{text}");
        assert!(serde_json::to_string(&text).unwrap().len() < 6_000_000);
        let body: Value = serde_json::from_str(&text).unwrap();
        times.extend(body["rows"].as_array().unwrap().iter().map(|row| row["time"].as_str().unwrap().to_owned()));
        match &body["next"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    assert_eq!(times.len(), 397 * 24);
    assert!(times.is_sorted_by(|one, two| one < two));
    println!("peaks in MB: {peaks:?}");
    assert!(peaks.iter().all(|peak| *peak < 90), "{peaks:?}");
}

fn pages_of(values: &[(&str, usize)]) -> BTreeMap<String, Vec<u8>> {
    let mut pages = BTreeMap::new();
    add(&mut pages, values);
    pages
}

fn add(pages: &mut BTreeMap<String, Vec<u8>>, values: &[(&str, usize)]) {
    let events = values.iter().flat_map(|(value, count)| std::iter::repeat_n(*value, *count));
    let records: Vec<String> = events
        .map(|value| record("u", "2024-03-01T00:00:00.000Z", &json!({"d": value, "utm:source": value, "a, b": 1})))
        .collect();
    fold(pages, &Service::from_text(Some(r#"{"version":2,"open":true}"#)), &records);
}

#[test]
fn a_cursor_goes_on_behind_the_last_row() {
    let mut pages = pages_of(&[("a", 9), ("b", 8), ("c", 7), ("d", 6)]);
    let query = format!("{YEAR}&dimension=d&limit=2");
    let (_, first) = report(&pages, "/reports/top", &query);
    add(&mut pages, &[("e", 20)]);
    let (_, second) = report(&pages, "/reports/top", &format!("{query}&cursor={}", first["next"].as_str().unwrap()));
    assert_eq!((rows(&first, "value"), rows(&second, "value")), (vec![("a", 9), ("b", 8)], vec![("c", 7), ("d", 6)]));
    assert_eq!(second["next"], Value::Null);
    let query = format!("{YEAR}&groupBy=d&interval=month&limit=2");
    let (_, first) = report(&pages, "/reports/timeseries", &query);
    add(&mut pages, &[("aa", 1)]);
    let (_, second) =
        report(&pages, "/reports/timeseries", &format!("{query}&cursor={}", first["next"].as_str().unwrap()));
    assert_eq!(rows(&first, "group"), [("a", 0), ("b", 0)]);
    assert_eq!(rows(&second, "group"), [("c", 0), ("d", 0)]);
}

#[test]
fn every_name_can_be_asked_for() {
    let pages = pages_of(&[("news", 3), ("x", 2)]);
    let query = format!(r"{YEAR}&filter=utm\:source:news&metrics=count,sum:a\, b");
    let (_, body) = report(&pages, "/reports/summary", &query);
    assert_eq!(body["rows"], json!([{"count": 3, r"sum:a\, b": 3}]));
}

#[test]
fn what_cannot_be_read_is_missed_alone() {
    let mut pages = pages_of(&[("a", 3), ("b", 2)]);
    let key = pages.keys().find(|key| key.starts_with("d\u{1f}")).unwrap().clone();
    let whole = respond(&pages, &[], "/reports/top", &format!("{YEAR}&dimension=d"));
    assert!(whole.unreadable.is_empty());
    for damage in [vec![0], vec![], pages[&key][..pages[&key].len() / 2].to_vec()] {
        pages.insert(key.clone(), damage);
        let ReportReply { reply, unreadable } = respond(&pages, &[], "/reports/top", &format!("{YEAR}&dimension=d"));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            (reply.status, &body["incomplete"], &body["accuracy"]["count"]),
            (200, &json!(true), &json!("incomplete"))
        );
        assert!(unreadable.to_string().contains("1 stored pages") && !unreadable.is_empty());
        let (_, other) = report(&pages, "/reports/summary", YEAR);
        assert_eq!((&other["rows"], &other["incomplete"]), (&json!([{"count": 5}]), &Value::Null));
    }
    // The same page, set apart by a fold.
    pages.remove(&key);
    let (head, first) = key.rsplit_once('\u{1f}').unwrap();
    pages.insert(format!("{head}\u{1e}{first}"), vec![0]);
    let ReportReply { reply, unreadable } = respond(&pages, &[], "/reports/top", &format!("{YEAR}&dimension=d"));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&body["rows"], &body["incomplete"]), (&json!([]), &json!(true)));
    assert!(unreadable.is_empty());
    // If a manifest can't be read, the hours are read.
    let manifest = pages.keys().find(|key| key.starts_with('\u{1e}')).unwrap().clone();
    pages.insert(manifest.clone(), vec![9]);
    let (_, other) = report(&pages, "/reports/timeseries", &format!("{YEAR}&interval=month"));
    assert_eq!(other["rows"][2]["count"], 5);
    pages.remove(&manifest);
    pages.insert(format!("{manifest}\u{1e}"), vec![9]);
    let (_, other) = report(&pages, "/reports/timeseries", &format!("{YEAR}&interval=month"));
    assert_eq!(other["rows"][2]["count"], 5);
}

#[test]
fn caps_that_were_met_are_named() {
    let values: Vec<String> = (0..1100).map(|value| value.to_string()).collect();
    let pages = pages_of(&values.iter().map(|value| (value.as_str(), 1)).collect::<Vec<_>>());
    let (_, body) = report(&pages, "/reports/top", &format!("{YEAR}&dimension=d"));
    assert_eq!(body["caps"], json!(["values"]));
    let (_, body) = report(&pages, "/reports/summary", YEAR);
    assert_eq!(body["caps"], Value::Null);
}
