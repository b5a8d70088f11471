//! The checks find what is wrong with servers that are broken on purpose, and nothing wrong with one that is not.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use isotherm_core::{
    Admission, Condition, Digest, EventId, ExportOutcome, FindOutcome, HEADERS, Millis, Plan, Reply, ReportData,
    ReportOutcome, Service, Stamp, StoreOutcome, key_entry, public_key_entry,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Check, run};
use crate::BadInput;
use crate::load::Url;

const KEY: &str = "a key of the broken servers";
const PAGE_KEY: &str = "a key of pages of broken servers";
const ORIGIN: &str = "https://shop.example";
const WEBHOOK: &str = "billing";
/// 32 bytes in base64.
const WEBHOOK_SECRET: &str = "whsec_dGhlIHNlY3JldCBvZiB0aGUgd2ViaG9va3MsIHRlc3Q=";

/// How a server is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Not,
    /// It takes every event for a new one.
    ForgetsEvents,
    /// The last event under a messageId stays.
    KeepsTheLast,
    /// It answers before it has stored, and then loses one of ten.
    LosesEvents,
    /// Its reports count an event as often as it was sent.
    CountsRepetitions,
    /// Its integers are floats.
    RoundsIntegers,
    /// It asks nobody for a key.
    AsksForNoKey,
    /// Its errors have no requestId.
    HidesRequests,
    /// It lets any page read any answer.
    SharesWithEveryone,
    /// It answers preflights as any other method.
    KnowsNoPreflight,
    /// It answers HEAD with an error.
    KnowsNoHead,
    /// It has no such path.
    Lacks(&'static str),
    /// It takes what is sent for something else than this header says.
    Overlooks(&'static str),
    /// It takes events of any content type for JSON.
    TakesAnyType,
    /// It forgets the zone of a time.
    ForgetsZones,
    /// Its ids repeat.
    RepeatsIds,
    /// Its results have the places of others.
    MisnumbersResults,
    /// It knows of one kind of mistake.
    KnowsOneMistake,
    /// It does not say which methods a route has.
    NamesNoMethods,
    /// It tells nobody that a log record is wrong.
    TellsOfNoRecord,
    /// It looks at no signature.
    TakesAnySignature,
    /// It answers this path as if it kept what comes.
    Swallows(&'static str),
}

/// Each way to be broken, and the check that must find it.
const ALL: [(Broken, &str); 30] = [
    (Broken::ForgetsEvents, "the same event again"),
    (Broken::KeepsTheLast, "other content under a messageId"),
    (Broken::LosesEvents, "a report counts each event once"),
    (Broken::CountsRepetitions, "a report counts each event once"),
    (Broken::RoundsIntegers, "numbers keep every digit"),
    (Broken::AsksForNoKey, "no key, or a wrong one"),
    (Broken::HidesRequests, "what an event lacks"),
    (Broken::SharesWithEveryone, "reports are for no page"),
    (Broken::KnowsNoPreflight, "a page of the origin"),
    (Broken::KnowsNoHead, "HEAD is GET"),
    (Broken::Lacks("/healthz"), "/healthz answers"),
    (Broken::Lacks("/openapi.json"), "/openapi.json is the contract"),
    (Broken::Lacks("/v1/batch"), "Segment's clients deliver"),
    (Broken::Lacks("/batch/"), "PostHog's batches"),
    (Broken::Swallows("/batch/"), "PostHog's batches"),
    (Broken::Swallows("/v1/logs"), "OpenTelemetry's log records"),
    (Broken::Swallows("/webhooks/billing"), "messages are taken that are signed"),
    (Broken::Lacks("/v1/logs"), "OpenTelemetry's log records"),
    (Broken::TellsOfNoRecord, "OpenTelemetry's log records"),
    (Broken::Lacks("/webhooks/billing"), "messages are taken that are signed"),
    (Broken::TakesAnySignature, "messages are taken that are signed"),
    (Broken::Lacks("/cloudevents"), "CloudEvents are taken"),
    (Broken::Swallows("/cloudevents"), "CloudEvents are taken"),
    (Broken::Overlooks("content-encoding"), "NDJSON, gzip and a byte order mark"),
    (Broken::TakesAnyType, "another content type is refused"),
    (Broken::ForgetsZones, "an event is accepted, and found"),
    (Broken::RepeatsIds, "events without a messageId are new"),
    (Broken::MisnumbersResults, "a batch has a result for each event"),
    (Broken::KnowsOneMistake, "limits have codes of their own"),
    (Broken::NamesNoMethods, "an unknown id, route and method"),
];

struct Server {
    service: Service,
    broken: Broken,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    events: BTreeMap<EventId, (Digest, String)>,
    /// What reports count.
    counted: Vec<String>,
    requests: u128,
}

impl Server {
    fn new(broken: Broken) -> Self {
        let secret = key_entry(KEY, Some("secret"), "t", "both", None).unwrap();
        let page = public_key_entry(PAGE_KEY, Some("page"), "t", None, &[ORIGIN.to_owned()]).unwrap();
        let config = match broken {
            Broken::AsksForNoKey => format!(r#"{{"version":2,"open":true,"origins":["{ORIGIN}"]}}"#),
            _ => {
                let webhooks = format!(r#"{{"id":"{WEBHOOK}","tenant":"t","secrets":["billing"]}}"#);
                format!(r#"{{"version":2,"keys":[{secret},{page}],"webhooks":[{webhooks}]}}"#)
            }
        };
        let service = Service::from_text(Some(&config)).with_secrets(|_| Some(WEBHOOK_SECRET.to_owned()));
        Self { service, broken, kept: Mutex::default() }
    }

    fn answer(&self, method: &str, path: &str, query: &str, headers: &[(&'static str, String)], body: &[u8]) -> Reply {
        let mut kept = self.kept.lock().unwrap();
        kept.requests += 1;
        let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
        let stamp = match self.broken {
            Broken::RepeatsIds => Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 },
            _ => Stamp { received_at: Millis(now), entropy: kept.requests << 40 },
        };
        let request = isotherm_core::Request { method, path, query, headers, body };
        match self.service.admit(&request, stamp) {
            Admission::Reply(reply) => reply,
            Admission::Plan(Plan::Store(plan)) if matches!(self.broken, Broken::Swallows(swallowed) if swallowed == path) =>
            {
                let outcomes = vec![StoreOutcome::Stored; plan.events().len()];
                plan.respond(outcomes)
            }
            Admission::Plan(Plan::Store(plan)) => {
                let outcomes = plan.events().iter().map(|event| self.store(&mut kept, event)).collect();
                plan.respond(outcomes)
            }
            Admission::Plan(Plan::Find(plan)) => {
                let found = kept.events.get(&plan.id()).map(|(_, record)| FindOutcome::Found(record.clone()));
                plan.respond(found.unwrap_or(FindOutcome::Absent))
            }
            Admission::Plan(Plan::Report(plan)) => {
                let tail = kept.counted.clone();
                plan.respond(ReportOutcome::Read(vec![ReportData { tail, ..ReportData::default() }])).reply
            }
            Admission::Plan(Plan::Maintenance(plan)) => plan.respond(true),
            Admission::Plan(Plan::Ready(plan)) => plan.respond(Some(Condition::default())),
            Admission::Plan(Plan::Metrics(plan)) => plan.respond(None, Some(vec![Condition::default()])),
            Admission::Plan(Plan::Export(plan)) => plan.respond(ExportOutcome::Unavailable),
            Admission::Plan(Plan::Import(plan)) => plan.respond(false),
        }
    }

    fn store(&self, kept: &mut Kept, event: &isotherm_core::NewEvent) -> StoreOutcome {
        let record = match self.broken {
            Broken::RoundsIntegers => event.record.replace("9007199254740993", "9007199254740992"),
            Broken::ForgetsZones => event.record.replace("2013-01-01T10:15", "2013-01-01T05:15"),
            _ => event.record.clone(),
        };
        let known = kept.events.get(&event.id).map(|(digest, _)| *digest);
        if known.is_none() || self.broken == Broken::CountsRepetitions {
            kept.counted.push(record.clone());
        }
        if self.broken == Broken::LosesEvents && kept.counted.len().is_multiple_of(10) {
            kept.counted.pop();
            return StoreOutcome::Stored;
        }
        match known {
            Some(digest) if self.broken != Broken::ForgetsEvents => {
                if self.broken == Broken::KeepsTheLast {
                    kept.events.insert(event.id, (event.digest, record));
                }
                StoreOutcome::Existing(digest)
            }
            _ => {
                kept.events.insert(event.id, (event.digest, record));
                StoreOutcome::Stored
            }
        }
    }

    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let header = |name: &&'static str| Some((*name, head.headers.get(*name)?.to_str().ok()?.to_owned()));
        let mut headers: Vec<_> = HEADERS.iter().filter_map(header).collect();
        headers.retain(|(name, _)| self.broken != Broken::Overlooks(name));
        if self.broken == Broken::TakesAnyType {
            headers.retain(|(name, _)| *name != "content-type");
            headers.push(("content-type", "application/json".to_owned()));
        }
        let method = match head.method.as_str() {
            "OPTIONS" if self.broken == Broken::KnowsNoPreflight => "PUT",
            "HEAD" if self.broken == Broken::KnowsNoHead => "PUT",
            method => method,
        };
        let path = match self.broken {
            Broken::Lacks(path) if path == head.uri.path() => "/nowhere",
            _ => head.uri.path(),
        };
        let mut reply = self.answer(method, path, head.uri.query().unwrap_or_default(), &headers, &body);
        match self.broken {
            Broken::KnowsOneMistake if reply.status > 400 => reply.status = 400,
            Broken::TakesAnySignature if path.starts_with("/webhooks/") => reply.status = 200,
            Broken::NamesNoMethods => reply.headers.retain(|(name, _)| *name != "allow"),
            _ => {}
        }
        let mut response = Response::builder().status(reply.status);
        for (name, value) in reply.headers {
            response = response.header(name, value);
        }
        if self.broken == Broken::SharesWithEveryone {
            response = response.header("access-control-allow-origin", "*");
        }
        let body = match self.broken {
            Broken::HidesRequests => String::from_utf8_lossy(&reply.body).replace("req_", "").into_bytes(),
            Broken::MisnumbersResults => {
                String::from_utf8_lossy(&reply.body).replace(r#""index":"#, r#""index":1"#).into_bytes()
            }
            Broken::TellsOfNoRecord => {
                String::from_utf8_lossy(&reply.body).replace("rejectedLogRecords", "rejected").into_bytes()
            }
            _ => reply.body,
        };
        Ok(response.body(Full::new(Bytes::from(body))).unwrap())
    }
}

/// Starts such a server. Returns its URL, and the task to abort in the end.
async fn started(broken: Broken) -> (Url, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let server = Arc::new(Server::new(broken));
    let accepting = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = Arc::clone(&server);
            let service = service_fn(move |request| Arc::clone(&server).serve(request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, accepting)
}

/// What the checks find wrong with such a server.
async fn found(broken: Broken, origin: Option<&str>) -> Vec<String> {
    let (url, accepting) = started(broken).await;
    let (key, read_key) = match origin {
        Some(_) => (PAGE_KEY, Some(KEY.to_owned())),
        None => (KEY, None),
    };
    // The open server has no webhooks.
    let webhook = (broken != Broken::AsksForNoKey).then(|| WEBHOOK.to_owned());
    let flags = Check {
        url,
        key: Some(key.to_owned()),
        read_key,
        origin: origin.map(str::to_owned),
        webhook,
        webhook_secret: Some(WEBHOOK_SECRET.to_owned()),
        patience: 1,
    };
    let results = run(&flags).await.unwrap();
    accepting.abort();
    let failed = |(name, result): (&str, anyhow::Result<()>)| Some(format!("{name}: {:#}", result.err()?));
    results.into_iter().filter_map(failed).collect()
}

#[tokio::test]
async fn nothing_is_wrong_with_a_server_that_keeps_the_contract() {
    assert_eq!(found(Broken::Not, None).await, [""; 0]);
    assert_eq!(found(Broken::Not, Some(ORIGIN)).await, [""; 0]);
}

#[tokio::test]
async fn servers_that_are_broken_on_purpose_are_found_out() {
    for (broken, check) in ALL {
        let problems = found(broken, Some(ORIGIN)).await;
        assert!(problems.iter().any(|problem| problem.starts_with(check)), "{broken:?}: {problems:?}");
    }
}

#[tokio::test]
async fn without_a_key_that_may_write_nothing_is_checked() {
    let (url, accepting) = started(Broken::Not).await;
    for key in [None, Some("no key of the broken servers".to_owned())] {
        let flags = Check {
            url: url.clone(),
            key,
            read_key: None,
            origin: None,
            webhook: None,
            webhook_secret: None,
            patience: 1,
        };
        let error = run(&flags).await.unwrap_err();
        assert!(error.is::<BadInput>(), "{error:#}");
        let expected =
            format!("{url} wants a key that may write: give --key or ISOTHERM_KEY (an event is answered 401)");
        assert_eq!(format!("{error:#}"), expected);
    }
    accepting.abort();
}
