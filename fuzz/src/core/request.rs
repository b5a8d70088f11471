//! Any request: it is answered as the contract says, and what is kept of it is what was sent.

use isotherm_core::{Admission, Delivery, FindOutcome, NewEvent, Plan, ReportOutcome, Request, StoreOutcome};
use isotherm_fuzz::{KEY, SERVICE, STAMP, Text, check_reply, shown};
use serde_json::Value;

pub(crate) fn run(input: &[u8]) {
    let Some(text) = Text::read(input) else { return };
    let admit = || SERVICE.admit(&text.request(), STAMP);
    assert_eq!(shown(&admit()), shown(&admit()), "the same request is admitted in two ways");
    match admit() {
        Admission::Reply(reply) => {
            check_reply(&reply);
            same_by_head(&text);
        }
        Admission::Plan(Plan::Find(plan)) => {
            assert_eq!(plan.id().to_string().parse(), Ok(plan.id()));
            check_reply(&plan.settle(FindOutcome::Absent));
            if let Admission::Plan(Plan::Find(plan)) = admit() {
                check_reply(&plan.settle(FindOutcome::Later));
            }
        }
        Admission::Plan(Plan::Report(plan)) => {
            check_reply(&plan.settle(ReportOutcome::Read(Vec::new())));
            if let Admission::Plan(Plan::Report(plan)) = admit() {
                check_reply(&plan.settle(ReportOutcome::Later));
            }
        }
        Admission::Plan(Plan::Store(plan)) => {
            let events = plan.events().to_vec();
            assert!((1..=500).contains(&events.len()), "{} events", events.len());
            for (at, event) in events.iter().enumerate() {
                assert!(events[..at].iter().all(|before| before.id != event.id), "an id twice");
                check_kept(event);
            }
            let fold = SERVICE.fold(events.iter().map(|event| event.record.as_str()));
            assert_eq!(fold.unreadable(), [], "an event that was accepted is in no report");
            let reply = plan.settle(vec![StoreOutcome::Stored; events.len()]);
            check_reply(&reply);
            check_results(&reply.body, events.len());
            for outcome in [StoreOutcome::Later, StoreOutcome::Overloaded, StoreOutcome::Existing(events[0].digest)] {
                let Admission::Plan(Plan::Store(plan)) = admit() else { panic!("another plan") };
                check_reply(&plan.settle(vec![outcome; events.len()]));
            }
            let Admission::Plan(Plan::Store(plan)) = admit() else { panic!("another plan") };
            assert_eq!(plan.deliver(Vec::new()), Delivery::Again, "what is not durable is done");
        }
    }
}

/// HEAD is GET without its body, wherever it is taken.
fn same_by_head(text: &Text<'_>) {
    if text.method != "GET" {
        return;
    }
    let admit = |method| SERVICE.admit(&Request { method, ..text.request() }, STAMP);
    if let (Admission::Reply(get), Admission::Reply(head)) = (admit("GET"), admit("HEAD")) {
        assert!(head.status == get.status || head.status == 405, "GET {}, HEAD {}", get.status, head.status);
    }
}

/// What is kept says what was sent: sent again, it is the same event.
fn check_kept(event: &NewEvent) {
    let mut record: Value = serde_json::from_str(&event.record).expect("a record is JSON");
    assert_eq!(record["eventId"], event.id.to_string());
    SERVICE.observe(&event.record).expect("an event that was accepted can be observed");
    let members = record.as_object_mut().expect("a record is an object");
    members.retain(|name, _| !matches!(name.as_str(), "eventId" | "receivedAt"));
    let body = record.to_string();
    let headers = [("authorization", format!("Bearer {KEY}"))];
    let request = Request { method: "POST", path: "/events", query: "", headers: &headers, body: body.as_bytes() };
    let Admission::Plan(Plan::Store(plan)) = SERVICE.admit(&request, STAMP) else {
        // Only its own length, with the time that core has added, can be in the way.
        assert!(body.len() > 32 * 1024, "what is kept is refused: {body}");
        return;
    };
    let again = &plan.events()[0];
    assert_eq!(
        again.record.split_once("properties"),
        event.record.split_once("properties").map(|(head, rest)| {
            // Without a messageId, the id is made of the request and of the place in it.
            if record.get("messageId").is_some() {
                (head, rest)
            } else {
                (again.record.split_once("properties").map_or(head, |(head, _)| head), rest)
            }
        })
    );
    drop(plan.settle(Vec::new()));
}

/// Every event that was sent has its place in the answer, and a word that is not long.
fn check_results(body: &[u8], kept: usize) {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let Some(results) = body["results"].as_array() else { return };
    let count = |name: &str| body[name].as_u64().expect("a count") as usize;
    assert_eq!(count("accepted"), kept);
    assert_eq!(["accepted", "duplicate", "invalid", "retry"].map(count).iter().sum::<usize>(), results.len());
    for (at, result) in results.iter().enumerate() {
        assert_eq!(result["index"], at);
        assert!(result.to_string().len() < 1024, "a long result: {result}");
    }
}
