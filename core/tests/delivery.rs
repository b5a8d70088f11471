//! Messages of queues, and a store that is overloaded.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use isotherm_core::{
    Admission, Delivery, Millis, NewEvent, Plan, Reply, Request, Service, Stamp, StoreOutcome, StorePlan,
};

const SENT_AT: Millis = Millis(1_763_690_000_000);

fn admit(path: &str, body: &str, stamp: Stamp) -> Admission {
    let request = Request { method: "POST", path, query: "", headers: &[], body: body.as_bytes() };
    Service::from_text(Some(r#"{"version":2,"open":true}"#)).admit(&request, stamp)
}

fn plan(path: &str, body: &str) -> StorePlan {
    match admit(path, body, Stamp::of_message("m-1", SENT_AT)) {
        Admission::Plan(Plan::Store(plan)) => plan,
        other => panic!("no plan to store: {other:?}"),
    }
}

const EVENT: &str = r#"{"userId":"u","eventType":"t","properties":{}}"#;
const BATCH: &str = r#"{"events":[{"userId":"u","eventType":"t","properties":{}},{"userId":"u"},{"userId":"v","eventType":"t","properties":{}}]}"#;

#[test]
fn a_message_that_is_delivered_twice_brings_the_same_events() {
    let ids = |plan: &StorePlan| plan.events().iter().map(|event: &NewEvent| event.id).collect::<Vec<_>>();
    let (first, again) = (plan("/events/batch", BATCH), plan("/events/batch", BATCH));
    assert_eq!(first.events(), again.events());
    let digests = again.events().iter().map(|event| StoreOutcome::Existing(event.digest)).collect();
    assert_eq!(plan("/events", EVENT).deliver(vec![StoreOutcome::Stored]), Delivery::Done);
    assert!(matches!(again.deliver(digests), Delivery::Rejected(why) if why == "event 1: invalid_event"));
    let Admission::Plan(Plan::Store(other)) = admit("/events/batch", BATCH, Stamp::of_message("m-2", SENT_AT)) else {
        panic!("no plan to store");
    };
    assert_ne!(ids(&first), ids(&other));
    let _unanswered = other.deliver(Vec::new());
    let _unanswered = first.deliver(Vec::new());
}

#[test]
fn what_the_store_did_not_take_is_delivered_again() {
    for outcome in [StoreOutcome::Unavailable, StoreOutcome::Overloaded] {
        assert_eq!(plan("/events/batch", BATCH).deliver(vec![StoreOutcome::Stored, outcome]), Delivery::Retry);
    }
    assert_eq!(plan("/events", EVENT).deliver(Vec::new()), Delivery::Retry);
}

#[test]
fn what_is_no_event_is_refused_with_the_reason() {
    let refused = |path, body| match admit(path, body, Stamp::of_message("m", SENT_AT)).undeliverable() {
        Delivery::Rejected(why) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("/events", r#"{"secret":1}"#), "invalid_event");
    assert_eq!(refused("/events/batch", r#"{"events":[{"secret":1}]}"#), "event 0: invalid_event");
    assert_eq!(refused("/elsewhere", EVENT), "not_found");
}

#[test]
fn a_store_that_is_overloaded_asks_to_wait() {
    let check = |reply: Reply| {
        assert_eq!(reply.status, 429);
        assert!(reply.headers.contains(&("retry-after", "1".to_owned())));
    };
    check(plan("/events", EVENT).respond(vec![StoreOutcome::Overloaded]));
    check(plan("/events/batch", BATCH).respond(vec![StoreOutcome::Overloaded; 2]));
    // The client must learn what is kept, or it would send that again.
    let mixed = plan("/events/batch", BATCH).respond(vec![StoreOutcome::Stored, StoreOutcome::Overloaded]);
    assert_eq!(mixed.status, 200);
}
