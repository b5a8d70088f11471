//! Limits on how many events a key and a tenant may send: what clients are told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use isotherm_core::{
    Admission, Config, Delivery, Keep, Limiter, Millis, Plan, Reply, Request, Service, Stamp, StoreOutcome, StorePlan,
};

/// `a key of the tests` and its hash.
const KEY: (&str, &str) = ("a key of the tests", "773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1");
/// Noon of a day.
const NOON: Millis = Millis(1_763_726_400_000);

fn service(limits: &str) -> Service {
    let key = format!(r#"{{"id":"web","sha256":"{}","tenant":"acme","scope":"write"}}"#, KEY.1);
    Service::new(Config::parse(&format!(r#"{{"version":2,"keys":[{key}],"shards":2,"limits":{limits}}}"#)).unwrap())
}

fn headers() -> Vec<(&'static str, String)> {
    vec![("authorization", format!("Bearer {}", KEY.0)), ("content-type", "application/json".to_owned())]
}

fn body(events: usize) -> String {
    let event = r#"{"userId":"u","eventType":"t","properties":{}}"#;
    format!(r#"{{"events":[{}]}}"#, vec![event; events].join(","))
}

fn plan(service: &Service, events: usize, at: Millis) -> StorePlan {
    let (headers, body) = (headers(), body(events));
    let request =
        Request { method: "POST", path: "/events/batch", query: "", headers: &headers, body: body.as_bytes() };
    match service.admit(&request, Stamp { received_at: at, entropy: 7 }) {
        Admission::Plan(Plan::Store(plan)) => plan,
        other => panic!("{other:?}"),
    }
}

/// Sends events, and stores them if they may be stored.
fn send(service: &Service, limiter: &mut Limiter, events: usize, at: Millis) -> Reply {
    let mut plan = plan(service, events, at);
    assert!(plan.is_limited());
    let outcomes = if plan.take_from(limiter) { vec![StoreOutcome::Stored; events] } else { Vec::new() };
    plan.respond(outcomes)
}

/// A full store would otherwise use up a day's quota with every repetition.
#[test]
fn what_a_full_store_has_refused_is_given_back() {
    let service = service(r#"{"tenants":{"*":{"daily":1000}}}"#);
    let mut limiter = Limiter::default();
    for _ in 0..10 {
        let mut plan = plan(&service, 600, NOON);
        assert!(plan.take_from(&mut limiter));
        let outcomes = vec![StoreOutcome::Overloaded; 600];
        plan.give_back(&mut limiter, &outcomes);
        let reply = plan.respond(outcomes);
        assert_eq!((reply.status, header(&reply, "ratelimit")), (429, Some(r#""tenant-day";r=1000;t=43200"#)));
    }
    // Events that may be durable are not given back.
    let mut plan = plan(&service, 600, NOON);
    assert!(plan.take_from(&mut limiter));
    let outcomes = [vec![StoreOutcome::Stored; 400], vec![StoreOutcome::Unavailable; 200]].concat();
    plan.give_back(&mut limiter, &outcomes);
    assert_eq!(header(&plan.respond(outcomes), "ratelimit"), Some(r#""tenant-day";r=400;t=43200"#));
}

fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

#[test]
fn too_many_events_are_refused_with_the_time_to_come_again() {
    let service = service(r#"{"keys":{"web":{"events":10,"seconds":5,"burst":20}},"tenants":{"*":{"daily":1000}}}"#);
    let mut limiter = Limiter::default();
    let reply = send(&service, &mut limiter, 15, NOON);
    assert_eq!((reply.status, header(&reply, "retry-after")), (200, None));
    assert_eq!(header(&reply, "ratelimit-policy"), Some(r#""key";q=10;w=5, "tenant-day";q=1000;w=86400"#));
    assert_eq!(header(&reply, "ratelimit"), Some(r#""key";r=5;t=8, "tenant-day";r=985;t=43200"#));
    let reply = send(&service, &mut limiter, 15, NOON);
    assert_eq!((reply.status, header(&reply, "retry-after")), (429, Some("5")));
    assert_eq!(header(&reply, "x-ratelimit-reset"), Some("1763726405"));
    assert_eq!(header(&reply, "ratelimit"), Some(r#""key";r=5;t=8, "tenant-day";r=985;t=43200"#));
    let text = String::from_utf8(reply.body).unwrap();
    let expected = r#"{"error":"rate_limited","code":"rate_limited","message":"events come too fast: send the request again in 5 s","#;
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(send(&service, &mut limiter, 15, Millis(NOON.0 + 5000)).status, 200);
}

#[test]
fn a_quota_is_that_of_a_day() {
    let service = service(r#"{"tenants":{"acme":{"daily":100}}}"#);
    let mut limiter = Limiter::default();
    assert_eq!(send(&service, &mut limiter, 100, NOON).status, 200);
    let reply = send(&service, &mut limiter, 1, NOON);
    assert_eq!((reply.status, header(&reply, "retry-after")), (429, Some("43200")));
    assert!(String::from_utf8(reply.body).unwrap().contains(r#""code":"quota_exceeded""#));
}

#[test]
fn a_queue_has_accepted_its_events_already() {
    let service = service(r#"{"keys":{"*":{"events":1}}}"#);
    let body = body(3);
    let request = Request { method: "POST", path: "/events/batch", query: "", headers: &[], body: body.as_bytes() };
    let admitted = service.admit_message(&request, Some("web"), Stamp { received_at: NOON, entropy: 7 });
    let Admission::Plan(Plan::Store(plan)) = admitted else { panic!("{admitted:?}") };
    assert!(!plan.is_limited());
    assert_eq!(plan.deliver(vec![StoreOutcome::Stored; 3]), Delivery::Done);
}

#[test]
fn without_limits_nothing_is_said_of_them() {
    let service = service("{}");
    let plan = plan(&service, 2, NOON);
    assert!(!plan.is_limited());
    let reply = plan.respond(vec![StoreOutcome::Stored; 2]);
    assert!(reply.headers.iter().all(|(name, _)| !name.contains("ratelimit")));
}

#[test]
fn each_shard_has_its_part() {
    let service = service(r#"{"keys":{"web":{"events":20,"seconds":10,"burst":20}}}"#);
    let mut limiters = [Limiter::default(), Limiter::default()];
    let mut ask = |events: usize, at: Millis| {
        let plan = plan(&service, events, at);
        let mut outcomes = vec![StoreOutcome::Unavailable; events];
        for part in plan.parts(2) {
            let bytes = part.to_bytes(&plan);
            let keep = Keep::read(&bytes).unwrap();
            let limiter = &mut limiters[part.shard() as usize];
            let stored = isotherm_core::Kept::new(vec![StoreOutcome::Stored; part.events().count()]);
            let kept = keep.take_from(limiter, &service, "acme", at).unwrap_or(stored);
            assert!(part.apply(&kept.to_bytes(), &mut outcomes));
        }
        let taken = outcomes.iter().filter(|outcome| **outcome == StoreOutcome::Stored).count();
        (taken, plan.respond(outcomes))
    };
    // Each takes its first request whole.
    assert_eq!(ask(100, NOON).0, 100);
    let (taken, reply) = ask(2, NOON);
    assert_eq!((taken, reply.status), (0, 429));
    assert!(header(&reply, "retry-after").is_some_and(|after| (30..60).contains(&after.parse::<u32>().unwrap())));
    assert_eq!(header(&reply, "ratelimit"), None, "no shard knows what the others have left");
    assert_eq!(header(&reply, "ratelimit-policy"), Some(r#""key";q=20;w=10"#));
    assert!(header(&reply, "x-ratelimit-reset").is_some());
    // Where only a part is refused, the others are stored.
    let plan = plan(&service, 2, NOON);
    let refused = isotherm_core::Refused { is_quota: false, retry_after: 3 };
    let reply = plan.respond(vec![StoreOutcome::Stored, StoreOutcome::Limited(refused)]);
    let text = String::from_utf8(reply.body).unwrap();
    assert!(reply.status == 200 && text.starts_with(r#"{"accepted":1,"duplicate":0,"invalid":0,"retry":1,"#), "{text}");
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let problem =
        |limits: &str| Config::parse(&format!(r#"{{"open":true,"limits":{limits}}}"#)).unwrap_err().to_string();
    for (limits, expected) in [
        (r#"{"keys":{"web":{"events":1}}}"#, "limits.keys names a key that keys does not have"),
        (r#"{"tenants":{"a b":{"events":1}}}"#, "limits.tenants has a name that must be 1 to 64"),
        (r#"{"tenants":{"a":{"events":0}}}"#, "limits.tenants: events must be 1 to 1000000000"),
        (r#"{"tenants":{"a":{"events":1,"seconds":86401}}}"#, "limits.tenants: seconds must be 1 to 86400"),
        (r#"{"tenants":{"a":{"burst":1,"daily":1}}}"#, "limits.tenants: events is missing"),
        (r#"{"tenants":{"a":{}}}"#, "limits.tenants: events is missing"),
        (
            r#"{"tenants":{"a":{"rate":1}}}"#,
            "limits.tenants: an allowance has events, seconds, burst and daily, and nothing else",
        ),
    ] {
        let problem = problem(limits);
        assert!(problem.contains(expected), "{problem}");
    }
    assert!(Config::parse(r#"{"open":true,"limits":{"keys":{"*":{"events":1}}}}"#).is_ok());
}
