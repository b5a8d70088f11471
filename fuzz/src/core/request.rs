//! Any request. It is answered as the contract says, and the kept event says what was sent.

use isotherm_core::{
    Admission, Condition, Delivery, Door, ExportOutcome, FindOutcome, NewEvent, Packer, Plan, Reply, ReportData,
    ReportOutcome, Request, StoreOutcome, StorePlan, Unpacker, WriteLimits,
};
use isotherm_fuzz::{Folded, KEY, Pages, SERVICE, STAMP, Text, check_reply, shown};
use serde_json::Value;

use crate::doors;

pub(crate) fn run(input: &[u8]) {
    let Some(text) = Text::read(input) else { return };
    check(&text.request(), input.len(), !doors::PREFIXES.iter().any(|door| text.path.starts_with(door)));
}

/// Checks what a request is answered, and what is kept of it. Answers to other protocols have results of their own.
pub(crate) fn check(request: &Request<'_>, length: usize, is_own: bool) {
    let admit = || SERVICE.admit(request, STAMP);
    let admitted = admit();
    // Runs one of four parts, since each costs as much as the request itself.
    let part = length % 4;
    match part {
        0 => assert_eq!(shown(&admitted), shown(&admit()), "the same request is admitted in two ways"),
        1 => check_door(request, &admitted),
        _ => {}
    }
    if let Admission::Plan(Plan::Store(plan)) = admitted {
        check_events(&admit, plan, part, is_own);
        return;
    }
    let replies = replies(request);
    replies.iter().for_each(|reply| check_reply(request.method, reply));
    if request.method == "GET" && part == 2 {
        let without_body = |reply: Reply| Reply { body: Vec::new(), ..reply };
        let by_head = self::replies(&Request { method: "HEAD", ..request.clone() });
        assert_eq!(by_head, replies.into_iter().map(without_body).collect::<Vec<_>>(), "HEAD is not as GET");
    }
}

/// The head alone decides all it can: a request that the head refuses is refused whatever its body is.
fn check_door(request: &Request<'_>, admitted: &Admission) {
    let head = Request { body: b"", ..request.clone() };
    match SERVICE.admit_head(&head, STAMP) {
        Door::Reply(reply) => assert_eq!(shown(&Admission::Reply(reply)), shown(admitted)),
        Door::Body(entry) => {
            assert!(entry.body_bytes() == 0 || request.method == "POST", "a body for {}", request.method);
            let body = request.body.get(..=entry.body_bytes()).unwrap_or(request.body);
            assert_eq!(shown(&entry.admit(body)), shown(admitted), "another answer than by the whole request");
        }
    }
}

/// All answers to a request that keeps nothing.
fn replies(request: &Request<'_>) -> Vec<Reply> {
    let found = [FindOutcome::Found("{}".to_owned()), FindOutcome::Absent, FindOutcome::Unavailable];
    let read = [
        ReportOutcome::Read(Vec::new()),
        ReportOutcome::Read(vec![ReportData::default(), ReportData::too_large()]),
        ReportOutcome::Unavailable,
    ];
    let settled = (0..3).map(|at| match SERVICE.admit(request, STAMP) {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Find(plan)) => {
            assert_eq!(plan.id().to_string().parse(), Ok(plan.id()));
            plan.respond(found[at].clone())
        }
        Admission::Plan(Plan::Report(plan)) => plan.respond(read[at].clone()).reply,
        Admission::Plan(Plan::Maintenance(plan)) => plan.respond(at == 0),
        Admission::Plan(Plan::Ready(plan)) => plan.respond((at == 0).then(Condition::default)),
        Admission::Plan(Plan::Metrics(plan)) => plan.respond(None, (at == 0).then(Vec::new)),
        Admission::Plan(Plan::Export(plan)) => {
            plan.respond(if at == 0 { ExportOutcome::UnknownPlace } else { ExportOutcome::Unavailable })
        }
        Admission::Plan(Plan::Import(plan)) => plan.respond(at == 0),
        Admission::Plan(Plan::Store(_)) => panic!("another plan"),
    });
    settled.collect()
}

fn check_events(admit: &impl Fn() -> Admission, plan: StorePlan, part: usize, is_own: bool) {
    let events = plan.events().to_vec();
    assert!((1..=500).contains(&events.len()), "{} events", events.len());
    for (at, event) in events.iter().enumerate() {
        assert!(events[..at].iter().all(|before| before.id != event.id), "an id twice");
        if part == 2 {
            check_kept(event);
        }
    }
    if part == 3 {
        let records = events.iter().map(|event| event.record.as_str());
        let folded = Pages::default().fold(&SERVICE, records, WriteLimits::ONE_WRITER);
        assert_eq!(folded, Folded::default(), "an event that was accepted is in no report");
    }
    let reply = plan.respond(vec![StoreOutcome::Stored; events.len()]);
    check_reply("POST", &reply);
    if is_own {
        check_results(&reply.body, events.len());
    }
    if part != 0 {
        return;
    }
    let again = || match admit() {
        Admission::Plan(Plan::Store(plan)) => plan,
        other => panic!("another plan: {other:?}"),
    };
    for outcome in [StoreOutcome::Unavailable, StoreOutcome::Overloaded, StoreOutcome::Existing(events[0].digest)] {
        check_reply("POST", &again().respond(vec![outcome; events.len()]));
    }
    assert_eq!(again().deliver(Vec::new()), Delivery::Retry, "what is not durable is done");
}

/// A kept record says what was sent: sent again, it is the same event.
fn check_kept(event: &NewEvent) {
    let mut record: Value = serde_json::from_str(&event.record).expect("a record is JSON");
    assert_eq!(record["eventId"], event.id.to_string());
    SERVICE.observe(&event.record).expect("an event that was accepted can be observed");
    let packed = Packer::default().pack(event, 0);
    let unpacked = Unpacker::default().record(&event.id.to_string(), &packed);
    assert_eq!(unpacked.as_ref(), Ok(&event.record), "a record does not come back from its packed form");
    let members = record.as_object_mut().expect("a record is an object");
    members.retain(|name, _| !matches!(name.as_str(), "eventId" | "receivedAt"));
    let body = record.to_string();
    let headers = [("authorization", format!("Bearer {KEY}"))];
    let request = Request { method: "POST", path: "/events", query: "", headers: &headers, body: body.as_bytes() };
    let Admission::Plan(Plan::Store(plan)) = SERVICE.admit(&request, STAMP) else {
        // The only allowed reason is the record's length, which includes the time that core has added.
        assert!(body.len() > 32 * 1024, "what is kept is refused: {body}");
        return;
    };
    let again = &plan.events()[0];
    assert_eq!(
        again.record.split_once("properties"),
        event.record.split_once("properties").map(|(head, rest)| {
            // Without a messageId, the id depends on the request and on the event's place in it.
            if record.get("messageId").is_some() {
                (head, rest)
            } else {
                (again.record.split_once("properties").map_or(head, |(head, _)| head), rest)
            }
        })
    );
    drop(plan.respond(Vec::new()));
}

/// Every event that was sent has its place in the answer, with a short word.
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
