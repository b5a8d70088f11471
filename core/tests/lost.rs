//! Records that a stream loses before they are folded. Reports of the hours in which they were written say that they
//! are incomplete.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use std::collections::BTreeMap;
use std::ops::Range;

use isotherm_core::{
    Admission, LaneStep, LaneWrite, Lanes, Millis, Plan, ReportData, ReportOutcome, ReportPlan, Request, Service,
    Stamp, StoredPage, StreamBatch, StreamRecord, StreamShard, given_up,
};
use serde_json::{Value, json};

/// 2025-11-21T01:53:20Z.
const NOW: u64 = 1_763_690_000_000;
const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;

type Stored = BTreeMap<String, Vec<u8>>;

fn lanes(stored: &Stored) -> Lanes {
    Lanes::read(stored.iter().map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }))
}

fn write(stored: &mut Stored, writes: Vec<LaneWrite>) {
    for LaneWrite { name, was, bytes } in writes {
        assert_eq!(stored.get(&name), was.as_ref(), "{name}");
        stored.insert(name, bytes);
    }
}

/// Marks what was written in this time as lost.
fn lose(stored: &mut Stored, written: Range<Millis>) {
    let writes = lanes(stored).lose(written);
    write(stored, writes);
}

fn plan(from: &str, until: &str) -> ReportPlan {
    let service = Service::from_text(Some(r#"{"version":2,"open":true}"#));
    let query = format!("from={from}&to={until}&metrics=count").leak();
    let request = Request { method: "GET", path: "/reports/summary", query, headers: &[], body: b"" };
    match service.admit(&request, Stamp { received_at: Millis(NOW), entropy: 1 }) {
        Admission::Plan(Plan::Report(plan)) => plan,
        other => panic!("{other:?}"),
    }
}

/// Whether a report of 2025-11-20 between these hours is incomplete. The answer says so in two places, which must
/// agree.
fn is_incomplete(stored: &Stored, from: u32, until: u32) -> bool {
    let plan = plan(&format!("2025-11-20T{from:02}:00:00Z"), &format!("2025-11-20T{until:02}:00:00Z"));
    let is_incomplete = lanes(stored).is_incomplete(plan.reading(), Millis(NOW));
    let data = ReportData { is_incomplete, ..ReportData::default() };
    let body = plan.respond(ReportOutcome::Read(vec![data])).reply.body;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let says = body["incomplete"] == true;
    assert_eq!(body["accuracy"]["count"], if says { json!("incomplete") } else { json!("exact") });
    says
}

fn time(text: &str) -> Millis {
    Millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond().try_into().unwrap())
}

#[test]
fn reports_of_hours_that_were_given_up_are_incomplete() {
    let mut stored = Stored::new();
    assert!(!is_incomplete(&stored, 0, 23));
    let lost = time("2025-11-20T05:59:59Z")..time("2025-11-20T06:00:01Z");
    lose(&mut stored, lost.clone());
    for (from, until, is_expected) in [(0, 23, true), (5, 6, true), (6, 7, true), (4, 5, false), (7, 23, false)] {
        assert_eq!(is_incomplete(&stored, from, until), is_expected, "{from} to {until}");
    }
    assert_eq!(lanes(&stored).lose(lost), [], "a message may come twice");
    lose(&mut stored, time("2025-11-20T10:10:00Z")..time("2025-11-20T10:10:00Z"));
    assert!(is_incomplete(&stored, 10, 11) && is_incomplete(&stored, 5, 6) && !is_incomplete(&stored, 9, 10));
}

#[test]
fn a_list_that_cannot_be_read_makes_every_report_incomplete_and_is_shown() {
    let mut stored = Stored::new();
    lose(&mut stored, Millis(NOW - DAY)..Millis(NOW));
    let (name, _) = stored.first_key_value().unwrap();
    let name = name.clone();
    assert!(*name > *"~", "versions that know no such list read names before this");
    assert_eq!(lanes(&stored).damaged(), []);
    stored.get_mut(&name).unwrap().truncate(2);
    assert!(is_incomplete(&stored, 0, 1));
    assert_eq!(lanes(&stored).damaged()[0].key, name);
    // The unreadable list is not a lane, and reports stay incomplete.
    assert_eq!(lanes(&stored).watermarks().count(), 0);
    lose(&mut stored, Millis(NOW - DAY)..Millis(NOW));
    assert!(is_incomplete(&stored, 0, 1) && lanes(&stored).damaged().is_empty());
}

/// Folds a record that was written to a shard at `written_at`, while the stream has these shards with their parents.
fn fold(stored: &mut Stored, shard_id: &str, shards: &[(&str, Option<&str>)], written_at: u64, now: u64) {
    fold_since(stored, 0, shard_id, shards, written_at, now);
}

/// The same for a stream that was created at `created_at`; 0 if it does not say.
fn fold_since(
    stored: &mut Stored,
    created_at: u64,
    shard_id: &str,
    shards: &[(&str, Option<&str>)],
    written_at: u64,
    now: u64,
) {
    let number = written_at.to_string();
    let record = StreamRecord { sequence_number: &number, written_at: Millis(written_at), item: None, is_new: false };
    let mut batch =
        StreamBatch { shard_id, records: vec![record], window_start: Millis(written_at), complete_to: None };
    let mut lanes = lanes(stored);
    loop {
        match lanes.next(&mut batch, Millis(now)) {
            LaneStep::Describe => {
                let parent = |parent: &Option<&str>| parent.map(str::to_owned);
                let shard = |(id, of): &(&str, Option<&str>)| StreamShard {
                    id: (*id).to_owned(),
                    parent: parent(of),
                    is_closed: false,
                };
                lanes.learn(Millis(created_at), shards.iter().map(shard));
            }
            LaneStep::Write(writes) => write(stored, writes),
            LaneStep::Fold { lane, watermark } => {
                let service = Service::from_text(None);
                let step = service.step(&batch, &watermark, 1, isotherm_core::WriteLimits::NONE).unwrap();
                stored.insert(lane, step.merge(Vec::new()).unwrap().watermark.to_bytes());
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The list of lost times that a store has, compared with this one.
#[track_caller]
fn check_lost(stored: &Stored, expected: Option<(u64, u64)>) {
    let expected = expected.map(|(start, end)| {
        let mut alone = Stored::new();
        lose(&mut alone, Millis(start)..Millis(end));
        alone.pop_first().unwrap()
    });
    assert_eq!(stored.clone().pop_last().filter(|(name, _)| name.starts_with('~')), expected);
}

/// A store with one lane, whose shard is folded to `folded_to`, gets a batch with a record that was written at
/// `written_at`.
#[track_caller]
fn check_look_back(folded_to: u64, written_at: u64, expected: Option<(u64, u64)>) {
    let mut stored = Stored::new();
    fold(&mut stored, "A", &[("A", None)], folded_to, folded_to);
    fold(&mut stored, "A", &[("A", None)], written_at, NOW);
    check_lost(&stored, expected);
}

#[test]
fn after_a_mapping_stood_still_for_longer_than_the_stream_keeps_records_some_may_be_lost() {
    let day_ago = NOW - DAY;
    // The mapping stood still for two and a half days, and the oldest record that is left is nearly a day old.
    check_look_back(NOW - 60 * HOUR, day_ago + 1000, Some((NOW - 60 * HOUR, day_ago)));
    // There was traffic in the days' working hours only, so the oldest record that is left is not so old.
    check_look_back(NOW - 56 * HOUR, NOW - 11 * HOUR, Some((NOW - 56 * HOUR, day_ago)));
    // The mapping is behind, but nothing is lost yet.
    check_look_back(day_ago + 1000, day_ago + 2000, None);
    check_look_back(day_ago + 1000, NOW - HOUR, None);
    // A stream on a developer's own machine keeps records while nothing runs.
    check_look_back(NOW - 5 * DAY, NOW - 5 * DAY + 1000, None);
}

#[test]
fn hours_that_a_forgotten_shard_was_not_folded_for_are_lost_and_hours_in_which_the_mapping_worked_are_not() {
    let (folded_to, day_ago) = (NOW - 60 * HOUR, NOW - DAY);
    for (first, shards) in [
        // The stream has forgotten the shard that the lane names.
        ("Z", &[("Z", None)][..]),
        // The shard is still known, and a child of its child is the first with a record that is left.
        ("C", &[("A", None), ("B", Some("A")), ("C", Some("B"))]),
    ] {
        let mut stored = Stored::new();
        fold(&mut stored, "A", &[("A", None)], folded_to, folded_to);
        fold(&mut stored, first, shards, NOW - 11 * HOUR, NOW);
        check_lost(&stored, Some((folded_to, day_ago)));
        // 2025-11-18T13:53:20Z to 2025-11-20T01:53:20Z.
        assert!(is_incomplete(&stored, 1, 2) && !is_incomplete(&stored, 2, 23), "{first}");
        fold(&mut stored, first, shards, NOW, NOW);
        check_lost(&stored, Some((folded_to, day_ago)));
    }
}

#[test]
fn a_report_is_incomplete_from_the_moment_at_which_the_stream_may_lose_records() {
    let mut stored = Stored::new();
    fold(&mut stored, "A", &[("A", None)], NOW - 25 * HOUR, NOW - 25 * HOUR);
    assert!(is_incomplete(&stored, 0, 2) && !is_incomplete(&stored, 2, 23));
    check_lost(&stored, None);
}

#[test]
fn a_shard_without_events_is_told_from_a_mapping_that_stands_still_by_pulses() {
    let mut stored = Stored::new();
    let shards = [("A", None), ("B", None)];
    fold(&mut stored, "A", &shards, NOW - 60 * HOUR, NOW - 60 * HOUR);
    let beats = lanes(&stored).heartbeat(Millis(NOW - 60 * HOUR));
    assert!(beats.len() > 1, "it isn't known which key leads to B: {beats:?}");
    for hour in (0..60).rev() {
        for shard in ["A", "B"] {
            fold(&mut stored, shard, &shards, NOW - hour * HOUR, NOW - hour * HOUR);
        }
    }
    check_lost(&stored, None);
    assert_eq!(lanes(&stored).heartbeat(Millis(NOW + 60_000)), [], "both shards have just had records");
    assert!(!lanes(&stored).heartbeat(Millis(NOW + HOUR)).is_empty());
}

#[test]
fn a_store_to_which_no_batch_has_come_gets_heartbeats() {
    let beats = Lanes::default().heartbeat(Millis(NOW));
    assert!(beats.len() > 1, "{beats:?}");
    // The stream's answer may have been so old that it named no shard.
    let mut stored = Stored::new();
    let mut asking = lanes(&stored);
    let mut batch = StreamBatch { shard_id: "A", records: Vec::new(), window_start: Millis(NOW), complete_to: None };
    assert_eq!(asking.next(&mut batch, Millis(NOW)), LaneStep::Describe);
    asking.learn(Millis(NOW), []);
    let LaneStep::Write(writes) = asking.next(&mut batch, Millis(NOW)) else { panic!("no list") };
    write(&mut stored, writes);
    assert!(!lanes(&stored).heartbeat(Millis(NOW)).is_empty());
    // A list that can't be read is of a store that had batches: it starts anew with the next one.
    stored.values_mut().for_each(|list| list.truncate(1));
    assert_eq!(lanes(&stored).heartbeat(Millis(NOW)), []);
}

#[test]
fn what_a_stream_lost_before_its_first_batch_came_is_noticed() {
    let (created_at, day_ago) = (NOW - 60 * HOUR, NOW - DAY);
    let shards = [("A", None), ("B", Some("A"))];
    let check = |created_at: u64, written_at: u64, expected: Option<(u64, u64)>| {
        for shard in ["A", "B"] {
            let mut stored = Stored::new();
            fold_since(&mut stored, created_at, shard, &shards, written_at, NOW);
            check_lost(&stored, expected);
        }
    };
    check(created_at, NOW - 11 * HOUR, Some((created_at, day_ago)));
    check(created_at, day_ago + 1000, Some((created_at, day_ago)));
    // The stream keeps all that was written since it was created.
    check(day_ago + 1000, NOW - 11 * HOUR, None);
    // A stream on a developer's own machine drops nothing, and DynamoDB may not say when it created a stream.
    check(created_at, created_at + 1000, None);
    check(0, NOW - 11 * HOUR, None);
    // Where batches have come, the stream's age says nothing about a shard that is new.
    let mut stored = Stored::new();
    for hours in [60, 40, 20] {
        fold_since(&mut stored, created_at, "A", &[("A", None)], NOW - hours * HOUR, NOW - hours * HOUR);
    }
    fold_since(&mut stored, created_at, "C", &[("A", None), ("C", None)], NOW - HOUR, NOW);
    check_lost(&stored, None);
}

#[test]
fn a_mapping_says_when_what_it_gave_up_was_written() {
    let message = |first: &str, last: &str| {
        let batch = json!({
            "shardId": "shardId-1", "startSequenceNumber": "1", "endSequenceNumber": "2", "batchSize": 2,
            "approximateArrivalOfFirstRecord": first, "approximateArrivalOfLastRecord": last,
        });
        json!({ "version": "1.0", "requestContext": { "condition": "RecordAgeExceeded" }, "DDBStreamBatchInfo": batch })
            .to_string()
    };
    let (first, last) = ("2025-11-20T05:59:59Z", "2025-11-20T06:00:01Z");
    assert_eq!(given_up(&message(first, last)), Some(time(first)..time("2025-11-20T06:00:02Z")));
    for other in [message(last, first), message(first, "soon"), "{}".to_owned(), "text".to_owned()] {
        assert_eq!(given_up(&other), None, "{other}");
    }
}
