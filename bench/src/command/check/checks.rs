//! The checks. Each names a promise of the contract, and fails with what it got.

use std::io::Write as _;

use anyhow::{Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::server::{Server, Webhooks};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Runs all checks in order. Later ones rest on what earlier ones have sent.
pub(super) async fn all(
    server: &Server,
    origin: Option<&str>,
    webhooks: Option<&Webhooks>,
) -> Vec<(&'static str, Result<()>)> {
    let mut found = vec![
        ("/healthz answers while the service lives", alive(server).await),
        ("/openapi.json is the contract", contract(server).await),
        ("an event is accepted, and found under its id", found_again(server).await),
        ("the same event again is the first one", duplicate(server).await),
        ("other content under a messageId is a conflict, and the first stays", conflict(server).await),
        ("events without a messageId are new each time", unnamed(server).await),
        ("numbers keep every digit, and texts every character", exact(server).await),
        ("what an event lacks is said in the words of the contract", basic(server).await),
        ("a batch has a result for each event", batch(server).await),
        ("NDJSON, gzip and a byte order mark are taken", encodings(server).await),
        ("limits have codes of their own", limits(server).await),
        ("an unknown id, route and method have theirs", unknown(server).await),
        ("HEAD is GET without a body", head(server).await),
        ("another content type is refused", media(server).await),
        ("a report counts each event once", counted(server).await),
        ("Segment's clients deliver, and what they send twice counts once", segment(server).await),
        ("PostHog's batches are taken, and what comes twice counts once", posthog(server).await),
        ("CloudEvents are taken, and what comes twice counts once", cloud_events(server).await),
        ("OpenTelemetry's log records are taken, and a wrong one is told of", opentelemetry(server).await),
        ("reports are for no page of another origin", not_shared(server).await),
    ];
    if server.is_keyed {
        found.push(("no key, or a wrong one, opens nothing", keys(server).await));
    }
    if let Some(origin) = origin {
        found.push(("a page of the origin may send events", page(server, origin).await));
    }
    if let Some(webhooks) = webhooks {
        found.push(("messages are taken that are signed, and no others", signed(server, webhooks).await));
    }
    found
}

async fn alive(server: &Server) -> Result<()> {
    server.get("/healthz").await?.is(200)
}

async fn contract(server: &Server) -> Result<()> {
    let answer = server.get("/openapi.json").await?;
    answer.is(200)?;
    let document = answer.json()?;
    ensure!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "it is no OpenAPI 3.1");
    for path in ["/events", "/events/batch", "/events/{eventId}", "/reports/summary"] {
        ensure!(document["paths"][path].is_object(), "it has no {path}");
    }
    Ok(())
}

/// Sends an event and returns its id.
async fn accepted(server: &Server, event: &Value) -> Result<String> {
    let answer = server.post("/events", event).await?;
    answer.is(202)?;
    let body = answer.json()?;
    let id = body["eventId"].as_str().unwrap_or_default();
    ensure!(id.len() == 30 && id.starts_with("evt_"), "no eventId: {body}");
    Ok(id.to_owned())
}

async fn find(server: &Server, id: &str) -> Result<Value> {
    let answer = server.get(&format!("/events/{id}")).await?;
    answer.is(200)?;
    answer.json()
}

async fn found_again(server: &Server) -> Result<()> {
    let mut event = server.event("found");
    event["timestamp"] = json!("2013-01-01T05:15:00-05:00");
    let id = accepted(server, &event).await?;
    let found = find(server, &id).await?;
    ensure!(found["eventId"] == *id, "another event is found: {found}");
    ensure!(found["timestamp"] == "2013-01-01T10:15:00.000Z", "the timestamp has changed: {found}");
    for field in ["userId", "eventType", "messageId", "properties"] {
        ensure!(found[field] == event[field], "{field} has changed: {found}");
    }
    Ok(())
}

async fn duplicate(server: &Server) -> Result<()> {
    let event = server.event("duplicate");
    let first = server.post("/events", &event).await?;
    let again = server.post("/events", &event).await?;
    again.is(202)?;
    let (first, again) = (first.json()?, again.json()?);
    ensure!(first["eventId"] == again["eventId"], "it has another id: {first}, {again}");
    ensure!(first["duplicate"].is_null() && again["duplicate"] == true, "`duplicate` says otherwise: {first}, {again}");
    Ok(())
}

async fn conflict(server: &Server) -> Result<()> {
    let event = server.event("conflict");
    let id = accepted(server, &event).await?;
    let mut other = event.clone();
    other["properties"]["n"] = json!(2);
    server.post("/events", &other).await?.is_error(409, "conflict")?;
    let found = find(server, &id).await?;
    ensure!(found["properties"] == event["properties"], "the first has changed: {found}");
    Ok(())
}

async fn unnamed(server: &Server) -> Result<()> {
    let event = json!({"userId": "u", "eventType": server.event_type, "properties": {}});
    let (one, other) = (accepted(server, &event).await?, accepted(server, &event).await?);
    ensure!(one != other, "both have the id {one}");
    Ok(())
}

async fn exact(server: &Server) -> Result<()> {
    let mut event = server.event("exact");
    let properties = r#"{"big":9007199254740993,"negative":-9223372036854775808,"text":"é\u0000😀","list":[1.5,null]}"#;
    event["properties"] = serde_json::from_str(properties)?;
    let id = accepted(server, &event).await?;
    let found = find(server, &id).await?;
    ensure!(found["properties"] == event["properties"], "sent {}, found {}", event["properties"], found["properties"]);
    Ok(())
}

async fn basic(server: &Server) -> Result<()> {
    for (event, message) in [
        (json!({"eventType": "t", "properties": {}}), "userId is required"),
        (json!({"userId": "u", "properties": {}}), "eventType is required"),
        (json!({"userId": "u", "eventType": "t", "properties": []}), "properties must be an object"),
    ] {
        let answer = server.post("/events", &event).await?;
        answer.is_error(400, "invalid_event")?;
        let body = answer.json()?;
        ensure!(body["message"] == message, "expected the message {message:?}: {body}");
    }
    server.send("POST", "/events", &[JSON], "{").await?.is_error(400, "invalid_json")
}

async fn batch(server: &Server) -> Result<()> {
    let one = server.event("batch");
    let mut other = one.clone();
    other["properties"]["n"] = json!(2);
    let events = json!({"events": [one, one, {"userId": "u"}, other, server.event("batch, last")]});
    let answer = server.post("/events/batch", &events).await?;
    answer.is(200)?;
    let body = answer.json()?;
    let results = body["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let statuses: Vec<&str> = results.iter().filter_map(|result| result["status"].as_str()).collect();
    ensure!(statuses == ["accepted", "duplicate", "invalid", "invalid", "accepted"], "the results are {body}");
    ensure!(results.iter().enumerate().all(|(at, result)| result["index"] == at), "the indexes are {body}");
    ensure!(results[2]["code"] == "invalid_event" && results[3]["code"] == "conflict", "the codes are {body}");
    let counts = ["accepted", "duplicate", "invalid", "retry"].map(|name| body[name].as_u64());
    ensure!(counts == [Some(2), Some(1), Some(2), Some(0)], "the counts are {body}");
    server.post("/events/batch", &json!({"events": []})).await?.is_error(400, "invalid_batch")
}

async fn encodings(server: &Server) -> Result<()> {
    let lines = format!("\u{feff}{}\n\n{}\n", server.event("line 1"), server.event("line 2"));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(lines.as_bytes())?;
    let headers = [("content-type", "application/x-ndjson"), ("content-encoding", "gzip")];
    let answer = server.send("POST", "/events/batch", &headers, gzip.finish()?).await?;
    answer.is(200)?;
    ensure!(answer.json()?["accepted"] == 2, "two lines are {}", answer.json()?);
    server
        .send("POST", "/events", &[JSON, ("content-encoding", "gzip")], "no gzip")
        .await?
        .is_error(400, "invalid_gzip")
}

async fn limits(server: &Server) -> Result<()> {
    let with = |name: &str, value: Value| {
        let mut event = server.event("limits");
        event[name] = value;
        event
    };
    let deep = (0..32).fold(json!(1), |inner, _| json!([inner]));
    let wide: serde_json::Map<String, Value> = (0..129).map(|at| (at.to_string(), json!(1))).collect();
    for (event, status, code) in [
        (with("properties", json!({"p": "x".repeat(33_000)})), 413, "event_too_large"),
        (with("userId", json!("x".repeat(201))), 422, "invalid_name"),
        (with("properties", json!({"a": deep})), 422, "too_deep"),
        (with("properties", Value::Object(wide)), 422, "too_many_properties"),
        (with("timestamp", json!("1999-12-31T23:59:59Z")), 422, "timestamp_out_of_range"),
        (with("timestamp", json!("yesterday")), 400, "invalid_timestamp"),
        (with("more", json!(1)), 400, "invalid_event"),
    ] {
        server.post("/events", &event).await?.is_error(status, code)?;
    }
    let twice = r#"{"userId":"u","userId":"v","eventType":"t","properties":{}}"#;
    server.send("POST", "/events", &[JSON], twice).await?.is_error(400, "duplicate_key")?;
    let many = json!({"events": vec![json!({}); 1001]});
    server.post("/events/batch", &many).await?.is_error(413, "too_many_events")?;
    server.send("POST", "/events/batch", &[JSON], vec![b' '; (1 << 20) + 1]).await?.is_error(413, "body_too_large")
}

async fn unknown(server: &Server) -> Result<()> {
    server.get("/events/evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ").await?.is_error(404, "not_found")?;
    server.get("/nowhere").await?.is_error(404, "not_found")?;
    let answer = server.send("DELETE", "/events", &[], "").await?;
    answer.is_error(405, "method_not_allowed")?;
    ensure!(answer.header("allow") == "POST", "the header allow is {:?}", answer.header("allow"));
    Ok(())
}

async fn head(server: &Server) -> Result<()> {
    let answer = server.send("HEAD", "/healthz", &[], "").await?;
    answer.is(200)?;
    ensure!(answer.body.is_empty(), "it has a body");
    Ok(())
}

async fn media(server: &Server) -> Result<()> {
    let event = server.event("media").to_string();
    let answer = server.send("POST", "/events", &[("content-type", "application/xml")], event.clone()).await?;
    answer.is_error(415, "unsupported_media_type")?;
    let answer = server.send("POST", "/events", &[JSON, ("content-encoding", "br")], event).await?;
    answer.is_error(415, "unsupported_encoding")
}

async fn counted(server: &Server) -> Result<()> {
    // A type of their own, since other checks' events may still be on their way into reports.
    let event_type = format!("{} counted", server.event_type);
    let events: Vec<Value> = (0..20)
        .map(|at| {
            let mut event = server.event(&format!("counted {at}"));
            event["eventType"] = json!(event_type);
            event
        })
        .collect();
    for _sent_again in 0..2 {
        server.post("/events/batch", &json!({"events": events})).await?.is(200)?;
    }
    server.counts(&event_type, 20).await
}

async fn segment(server: &Server) -> Result<()> {
    let event_type = format!("{} segment", server.event_type);
    let message = |at: usize| json!({"type": "track", "event": event_type, "anonymousId": "a", "messageId": format!("{event_type} {at}")});
    let batch = json!({"batch": [message(0), message(1), {"type": "track", "userId": "u"}]});
    for kept in ["accepted", "duplicate"] {
        let answer = server.post("/v1/batch", &batch).await?;
        answer.is(200)?;
        let body = answer.json()?;
        ensure!(body["success"] == true && body[kept] == 2 && body["invalid"] == 1, "the answer is {body}");
    }
    server.counts(&event_type, 2).await
}

async fn cloud_events(server: &Server) -> Result<()> {
    let event_type = format!("{} cloudevents", server.event_type);
    let event = |id: &str| json!({"specversion": "1.0", "id": format!("{event_type} {id}"), "source": "/check", "type": event_type, "data": {"n": 1}});
    let structured = [("content-type", "application/cloudevents+json")];
    let batched = [("content-type", "application/cloudevents-batch+json")];
    // The binding for HTTP escapes spaces in headers.
    let (id, of_type) = (format!("{event_type} binary").replace(' ', "%20"), event_type.replace(' ', "%20"));
    let binary = [JSON, ("ce-specversion", "1.0"), ("ce-id", &id), ("ce-source", "/check"), ("ce-type", &of_type)];
    for _sent_again in 0..2 {
        server.send("POST", "/cloudevents", &structured, event("structured").to_string()).await?.is(200)?;
        let batch = json!([event("structured"), event("batched")]);
        server.send("POST", "/cloudevents", &batched, batch.to_string()).await?.is(200)?;
        server.send("POST", "/cloudevents", &binary, r#"{"n":1}"#).await?.is(200)?;
    }
    // A sender would send again for ever what is answered 413.
    let large = json!({"specversion": "1.0", "id": "1", "source": "/check", "type": "t", "data": "x".repeat(33_000)});
    server.send("POST", "/cloudevents", &structured, large.to_string()).await?.is(400)?;
    server.counts(&event_type, 3).await
}

async fn posthog(server: &Server) -> Result<()> {
    let event_type = format!("{} posthog", server.event_type);
    let event = |at: usize| json!({"event": event_type, "distinct_id": "u", "uuid": format!("{event_type} {at}"), "properties": {"n": at}});
    let batch = json!({"batch": [event(0), event(1)]});
    for _sent_again in 0..2 {
        server.post("/batch/", &batch).await?.is(200)?;
    }
    server.counts(&event_type, 2).await
}

async fn opentelemetry(server: &Server) -> Result<()> {
    let event_type = format!("{} opentelemetry", server.event_type);
    let uid = json!({"key": "log.record.uid", "value": {"stringValue": event_type}});
    // A name has 200 bytes at most.
    let records = json!([
        {"eventName": event_type, "attributes": [uid]},
        {"eventName": "x".repeat(201), "attributes": []},
    ]);
    let service = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "isotherm check"}}]});
    let logs = json!({"resourceLogs": [{"resource": service, "scopeLogs": [{"logRecords": records}]}]});
    for _sent_again in 0..2 {
        let answer = server.post("/v1/logs", &logs).await?;
        answer.is(200)?;
        let body = answer.json()?;
        ensure!(body["partialSuccess"]["rejectedLogRecords"] == "1", "the answer is {body}");
    }
    server.counts(&event_type, 1).await
}

async fn signed(server: &Server, webhooks: &Webhooks) -> Result<()> {
    let event_type = format!("{} webhook", server.event_type);
    // The id of a message has no full stop.
    let id = event_type.replace('.', " ");
    let message = json!({"type": event_type, "data": {"userId": "u", "n": 1}}).to_string();
    let now = jiff::Timestamp::now().as_second();
    for _sent_again in 0..2 {
        server.message(webhooks, &id, now, &message, &message).await?.is(200)?;
    }
    // Another message under this signature, and a message of an hour ago.
    let other = message.replace(r#""n":1"#, r#""n":2"#);
    server.message(webhooks, "other", now, &message, &other).await?.is_error(401, "unauthorized")?;
    server.message(webhooks, "old", now - 3600, &message, &message).await?.is_error(401, "unauthorized")?;
    server.counts(&event_type, 1).await
}

async fn not_shared(server: &Server) -> Result<()> {
    let answer = server.send("GET", "/reports/summary", &[("origin", "https://elsewhere.example")], "").await?;
    answer.is(200)?;
    let shared = answer.header("access-control-allow-origin");
    ensure!(shared.is_empty(), "pages of {shared} may read it");
    Ok(())
}

async fn keys(server: &Server) -> Result<()> {
    for authorization in ["", "Bearer this is no key of anyone"] {
        let headers = [JSON, ("authorization", authorization)];
        let event = server.event("keys").to_string();
        let answer = server.send("POST", "/events", &headers, event).await?;
        answer.is_error(401, "unauthorized")?;
        ensure!(!answer.header("www-authenticate").is_empty(), "there is no header www-authenticate");
        server.send("GET", "/reports/summary", &headers[1..], "").await?.is_error(401, "unauthorized")?;
    }
    Ok(())
}

async fn page(server: &Server, origin: &str) -> Result<()> {
    let answer = server.send("OPTIONS", "/events", &[("origin", origin), ("authorization", "")], "").await?;
    answer.is(204)?;
    let allowed = |name| answer.header(name).to_ascii_lowercase();
    ensure!(allowed("access-control-allow-origin") == origin, "it allows {:?}", allowed("access-control-allow-origin"));
    ensure!(allowed("access-control-allow-methods").contains("post"), "it does not allow POST");
    ensure!(allowed("access-control-allow-headers").contains("authorization"), "it does not allow authorization");
    ensure!(allowed("vary").contains("origin"), "vary does not say Origin");
    let headers = [("origin", origin), ("content-type", "text/plain;charset=UTF-8")];
    let answer = server.send("POST", "/events", &headers, server.event("page").to_string()).await?;
    answer.is(202)?;
    let shared = answer.header("access-control-allow-origin");
    ensure!(shared == origin, "the answer is for {shared:?}");
    Ok(())
}
