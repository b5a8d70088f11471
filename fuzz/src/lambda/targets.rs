//! The fuzzing targets of Lambda.

use std::cell::LazyCell;
use std::time::Duration;

use aws_lambda_events::dynamodb::TimeWindowEvent;
use aws_lambda_events::sqs::SqsEvent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::{Plan, Request};
use isotherm_fuzz::{SERVICE, STAMP, Text, check_reply};
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use crate::request::Incoming;
use crate::store::Store;

thread_local! {
    static RUNTIME: LazyCell<Runtime> =
        LazyCell::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
}

/// The input is an event of API Gateway as JSON, or a request as text, which both payloads carry unchanged.
pub(crate) fn http(input: &[u8]) {
    if input.first() == Some(&b'{') {
        let Ok(event) = std::str::from_utf8(input) else { return };
        match Incoming::read(event, "") {
            Ok(incoming) => check(&incoming.request()),
            Err(error) => assert!(format!("{error:#}").len() < 1024, "a long error"),
        }
        return;
    }
    let Some(text) = Text::read(input) else { return };
    // Gateways hand on only requests whose method is a token. A stage is not part of a path.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_method = !text.method.is_empty() && text.method.bytes().all(is_token);
    let is_visible = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !is_method || !text.headers.iter().all(|(_, value)| is_visible(value)) {
        return;
    }
    let headers: Map<String, Value> =
        text.headers.iter().map(|(name, value)| (name.to_ascii_uppercase(), Value::from(value.as_str()))).collect();
    let body = match std::str::from_utf8(text.body) {
        Ok(body) => json!({"body": body, "isBase64Encoded": false}),
        Err(_) => json!({"body": STANDARD.encode(text.body), "isBase64Encoded": true}),
    };
    // Runs one of three, since an event is slow to read.
    match input.len() % 3 {
        0 => payload_1(&text, headers, &body),
        stage => payload_2(&text, headers, &body, ["$default", "prod"][stage - 1]),
    }
}

fn payload_2(text: &Text<'_>, headers: Map<String, Value>, body: &Value, stage: &str) {
    let path = if stage == "prod" { format!("/prod{}", text.path) } else { text.path.to_owned() };
    if !text.path.starts_with('/') {
        return;
    }
    let mut event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": text.query, "headers": headers,
        "requestContext": {"stage": stage, "http": {"method": text.method, "path": path}},
    });
    merge(&mut event, body);
    let incoming = Incoming::read(&event.to_string(), "").expect("an event of payload 2.0");
    same(&incoming.request(), text);
}

fn payload_1(text: &Text<'_>, headers: Map<String, Value>, body: &Value) {
    let mut parameters: Map<String, Value> = Map::new();
    for (name, value) in form_urlencoded::parse(text.query.as_bytes()) {
        let values = parameters.entry(name.into_owned()).or_insert_with(|| json!([]));
        values.as_array_mut().expect("a list").push(Value::from(value));
    }
    let mut event = json!({
        "resource": "/{proxy+}", "path": text.path, "httpMethod": text.method, "headers": headers,
        "multiValueHeaders": {}, "multiValueQueryStringParameters": parameters,
        "requestContext": {"stage": "prod", "path": format!("/prod{}", text.path), "httpMethod": text.method},
    });
    merge(&mut event, body);
    let incoming = Incoming::read(&event.to_string(), "").expect("an event of payload 1.0");
    let request = incoming.request();
    let mut sent: Vec<_> = form_urlencoded::parse(text.query.as_bytes()).collect();
    sent.sort_by(|(one, _), (two, _)| one.cmp(two));
    assert!(form_urlencoded::parse(request.query.as_bytes()).eq(sent), "{:?}", request.query);
    same(&Request { query: text.query, ..request }, text);
}

fn merge(event: &mut Value, more: &Value) {
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
}

fn same(request: &Request<'_>, text: &Text<'_>) {
    let of = |request: &Request<'_>| {
        let mut headers = request.headers.to_vec();
        headers.sort();
        let text = [request.method, request.path, request.query].map(str::to_owned);
        (text, headers, request.body.to_vec())
    };
    assert_eq!(of(request), of(&text.request()), "the request is another than was sent");
    check(request);
}

fn check(request: &Request<'_>) {
    match SERVICE.admit(request, STAMP) {
        isotherm_core::Admission::Reply(reply) => check_reply(request.method, &reply),
        isotherm_core::Admission::Plan(Plan::Store(plan)) => check_reply(request.method, &plan.respond(Vec::new())),
        isotherm_core::Admission::Plan(_) => {}
    }
}

/// A batch of a queue as JSON. Delivered twice, it brings the same events, and the same messages fail.
pub(crate) fn queue(input: &[u8]) {
    let Ok(batch) = serde_json::from_slice::<SqsEvent>(input) else { return };
    let store = Store::default();
    let drain = || {
        RUNTIME.with(|runtime| {
            let deadline = Instant::now() + Duration::from_secs(60);
            runtime.block_on(crate::queue::drain(&SERVICE, &store, batch.clone(), deadline))
        })
    };
    let first = drain();
    let kept = store.events.borrow().clone();
    let again = drain();
    assert_eq!(*store.events.borrow(), kept, "what is delivered twice is kept twice");
    match (first, again) {
        (Ok(first), Ok(again)) => {
            let ids: Vec<_> = first.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
            let known = |id: &String| batch.records.iter().any(|message| message.message_id.as_ref() == Some(id));
            assert!(ids.iter().all(known), "{ids:?}");
            // If two messages differ under one messageId, the second delivery may make both conflicts or neither, so
            // more may fail.
            let more: Vec<_> = again.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
            assert!(ids.iter().all(|id| more.contains(id)), "{ids:?} fail, and then {more:?}");
        }
        (Err(first), Err(again)) => assert_eq!(format!("{first:#}"), format!("{again:#}")),
        (first, again) => panic!("{first:?}, and then {again:?}"),
    }
}

/// A batch of a stream as JSON. Delivered twice, it is folded once.
pub(crate) fn stream(input: &[u8]) {
    let Ok(event) = serde_json::from_slice::<TimeWindowEvent>(input) else { return };
    let store = Store { bucket: Some("backup".to_owned()), ..Store::default() };
    let fold = || {
        RUNTIME.with(|runtime| {
            let deadline = Instant::now() + Duration::from_secs(60);
            runtime.block_on(crate::stream::fold(&SERVICE, &store, event.clone(), deadline))
        })
    };
    let first = fold();
    let (pages, letters) = (store.pages.borrow().clone(), store.letters.borrow().clone());
    let again = fold();
    assert_eq!(
        (&*store.pages.borrow(), &*store.letters.borrow()),
        (&pages, &letters),
        "what comes again is folded again"
    );
    match (first, again) {
        (Ok(answer), Ok(_)) => assert!(answer.batch_item_failures.is_empty(), "{answer:?}"),
        (Err(first), Err(again)) => assert_eq!(format!("{first:#}"), format!("{again:#}")),
        (first, again) => panic!("{first:?}, and then {again:?}"),
    }
    for letter in letters {
        assert!(serde_json::from_str::<Value>(&letter).is_ok(), "{letter}");
    }
}
