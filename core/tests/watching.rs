//! Lines, metrics and conditions, as a host makes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use std::collections::BTreeSet;
use std::time::Duration;

use isotherm_core::{
    Admission, Condition, Delivery, Folded, Held, Kind, Level, Load, METRICS, Maintenance, Metrics, Millis, Next, Pace,
    Plan, Ran, Reply, Request, Service, Stamp, StoreOutcome, Writer,
};

const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 << 64 };
const WRITER: Writer<'static> =
    Writer { level: Level::Info, instance: "7", function: Some("isotherm-ingest"), x_ray: None };

fn open() -> Service {
    Service::from_text(Some(r#"{"open":true}"#))
}

fn batch(service: &Service, body: &str, outcomes: Vec<StoreOutcome>) -> (Reply, Metrics) {
    let headers = [("content-type", "application/x-ndjson".to_owned())];
    let request =
        Request { method: "POST", path: "/events/batch", query: "", headers: &headers, body: body.as_bytes() };
    let Admission::Plan(Plan::Store(plan)) = service.admit(&request, STAMP) else { panic!("refused") };
    let mut reply = plan.respond(outcomes);
    let kept = reply.clone();
    let ran = Ran { duration: Duration::from_millis(30), is_cold: true };
    let mut metrics = Metrics::default();
    metrics.add(&service.seen(&request, STAMP, &mut reply, ran));
    (kept, metrics)
}

const EVENT: &str = r#"{"userId":"u","eventType":"t","properties":{}}"#;

#[test]
fn a_process_counts_what_it_answers() {
    let service = open();
    let outcomes = vec![StoreOutcome::Stored, StoreOutcome::Unavailable];
    let (_, mut metrics) = batch(&service, &format!("{EVENT}\n{EVENT}\n7\n{{}}"), outcomes);
    metrics.fold(&Folded { events: 5, pages: 12, damaged: 1, ..Folded::default() });
    let text = text(&metrics, &[]);
    for line in [
        r#"isotherm_requests_total{route="/events/batch",class="2xx"} 1"#,
        r#"isotherm_request_seconds_bucket{route="/events/batch",le="0.025"} 0"#,
        r#"isotherm_request_seconds_bucket{route="/events/batch",le="0.05"} 1"#,
        r#"isotherm_request_seconds_bucket{route="/events/batch",le="10"} 1"#,
        r#"isotherm_request_seconds_bucket{route="/events/batch",le="+Inf"} 1"#,
        r#"isotherm_request_seconds_sum{route="/events/batch"} 0.03"#,
        r#"isotherm_request_seconds_count{route="/events/batch"} 1"#,
        r#"isotherm_events_total{outcome="accepted"} 1"#,
        r#"isotherm_events_total{outcome="invalid"} 2"#,
        r#"isotherm_events_total{outcome="retry"} 1"#,
        r#"isotherm_rejections_total{code="invalid_event"} 2"#,
        "isotherm_cold_starts_total 1",
        "isotherm_folded_events_total 5",
        "isotherm_page_writes_total 12",
        "isotherm_unreadable_pages_total 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
}

/// What `/metrics` answers.
fn text(metrics: &Metrics, conditions: &[Condition]) -> String {
    // SHA-256 of `a key of the tests`.
    let service = Service::from_text(Some(
        r#"{"keys":[{"sha256":"773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1","tenant":"a","scope":"operate"}]}"#,
    ));
    let headers = [("authorization", "Bearer a key of the tests".to_owned())];
    let request = Request { method: "GET", path: "/metrics", query: "", headers: &headers, body: b"" };
    let Admission::Plan(Plan::Metrics(plan)) = service.admit(&request, STAMP) else { panic!("refused") };
    String::from_utf8(plan.respond(Some(metrics), Some(conditions.to_vec())).body).unwrap()
}

#[test]
fn conditions_of_all_stores_are_one() {
    let condition = |events, waits, is_full| Condition {
        unfolded: Some(Load { events, bytes: events * 100 }),
        waits: Some(Duration::from_millis(waits)),
        has_timer: true,
        is_full,
        rejected: None,
    };
    let conditions = [condition(3, 1500, false), condition(4, 2500, true).with_rejected(2), Condition::default()];
    let text = text(&Metrics::default(), &conditions);
    for line in [
        "isotherm_unfolded_events 7",
        "isotherm_unfolded_bytes 700",
        "isotherm_fold_lag_seconds 2.5",
        "isotherm_full_stores 1",
        "isotherm_dead_letters_total 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
}

#[test]
fn a_machine_knows_its_stores_condition() {
    let now = Millis(1_000_000);
    let oldest = Millis(990_000);
    let held = Held { unfolded: Load { events: 5, bytes: 500 }, oldest, looked_at: now, ..Held::default() };
    let condition = Maintenance::new(Pace::SERVER, held, now).condition(now);
    assert_eq!((condition.unfolded, condition.waits), (Some(held.unfolded), Some(Duration::from_secs(10))));
    assert!(condition.has_timer && !condition.is_full);
    let mut instance = Maintenance::new(Pace::INSTANCE, held, now);
    assert!(!instance.condition(now).has_timer);
    instance.stored(Load { events: 1, bytes: 64 << 20 }, now);
    assert!(instance.condition(now).is_full);
    assert_eq!(Maintenance::new(Pace::SERVER, Held::default(), now).condition(now).waits, Some(Duration::ZERO));
    let Next::Do(task) = Maintenance::new(Pace::SERVER, held, now).next(now) else { panic!("a fold is due") };
    let mut metrics = Metrics::default();
    metrics.fail(&task);
    assert!(text(&metrics, &[]).contains(r#"isotherm_failed_tasks_total{task="fold"} 1"#));
}

#[test]
fn the_names_in_lines_and_texts_are_those_of_the_list() {
    let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), METRICS.len());
    for metric in METRICS {
        let is_counter = metric.name.ends_with("_total");
        assert_eq!(is_counter, metric.kind == Kind::Counter, "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.help);
    }
    let service = open();
    let folded = Folded { events: 5, pages: 12, rejected: 1, damaged: 2, lag: Some(Duration::from_millis(1500)) };
    let line: serde_json::Value =
        serde_json::from_str(&service.fold_line(&folded, STAMP, WRITER).unwrap().text).unwrap();
    assert_eq!(line["level"], "warn");
    assert_eq!(line["isotherm_fold_lag_seconds"], 1.5);
    let embedded = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
    assert_eq!(embedded.len(), 5);
    assert_eq!(line["isotherm_unreadable_pages_total"], 2);
    for metric in embedded {
        let name = metric["Name"].as_str().unwrap();
        assert!(names.contains(name) && line[name].is_number(), "{name}");
    }
    assert_eq!(service.fold_line(&Folded::default(), STAMP, WRITER), None);
}

#[test]
fn a_reply_says_what_becomes_of_the_message_that_brought_it() {
    let service = open();
    let of = |body: &str, outcomes| batch(&service, body, outcomes).0.delivery();
    let two = format!("{EVENT}\n{EVENT}");
    assert_eq!(of(&two, vec![StoreOutcome::Stored; 2]), Delivery::Done);
    assert_eq!(of(&two, vec![StoreOutcome::Stored, StoreOutcome::Unavailable]), Delivery::Retry);
    assert_eq!(of(&two, vec![StoreOutcome::Overloaded; 2]), Delivery::Retry);
    let Delivery::Rejected(why) = of(&format!("{EVENT}\n7"), vec![StoreOutcome::Stored]) else { panic!("taken") };
    assert_eq!(why, "event 1: invalid_event");
}
