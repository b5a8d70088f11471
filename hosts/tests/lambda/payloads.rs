//! Events of AWS's services as their documentation shows them, passed to the functions as Lambda passes them.

use super::reports::counted;
use super::*;

const HTTP_API: &str = include_str!("payloads/http-api.json");
const REST_API: &str = include_str!("payloads/rest-api.json");
const STREAM: &str = include_str!("payloads/stream.json");
const QUEUE: &str = include_str!("payloads/queue.json");

/// A payload with changes, which are JSON pointers and new values.
fn changed(payload: &str, changes: Value) -> Value {
    let mut payload: Value = serde_json::from_str(payload).unwrap();
    for (pointer, value) in changes.as_object().unwrap() {
        *payload.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
    }
    payload
}

async fn invoke(url: &str, function: &str, event: &Value) -> Answer {
    send(url, "POST", &format!("/2015-03-31/functions/{function}/invocations"), &[], event.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn http_events_are_requests_and_answers_have_their_shape() {
    let host = start(&built("release", "lambda"), None).await;
    let status = async |payload: &str, changes: Value| {
        let answer = invoke(&host.url(), "ingest", &changed(payload, changes)).await.json();
        answer["statusCode"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    };
    for (payload, fields) in [
        (HTTP_API, ["body", "cookies", "headers", "isBase64Encoded", "statusCode"].as_slice()),
        (REST_API, &["body", "headers", "isBase64Encoded", "statusCode"]),
    ] {
        let answer = invoke(&host.url(), "ingest", &changed(payload, json!({}))).await.json();
        assert_eq!(answer["statusCode"], 202, "{answer}");
        assert_eq!(answer["headers"]["content-type"], "application/json");
        let mut sent: Vec<_> = answer.as_object().unwrap().keys().collect();
        sent.sort();
        assert_eq!(sent, fields);
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert!(body["eventId"].as_str().unwrap().starts_with("evt_"), "{body}");
        // The body is neither text nor gzip.
        assert_eq!(status(payload, json!({ "/body": "/wA=", "/isBase64Encoded": true })).await, 400);
        assert_eq!(status(payload, json!({ "/body": null })).await, 400);
        // The value of an unused header does not matter.
        let headers = json!({ "/headers": { "content-type": "application/json", "x-other": "é" } });
        assert_eq!(status(payload, headers).await, 202);
        for encoded in [false, true] {
            // The body is four times as long as allowed, or three times where it is decoded.
            let long = json!({ "/body": "xxxx".repeat(1 << 20), "/isBase64Encoded": encoded });
            assert_eq!(status(payload, long).await, 413);
        }
    }
    // `{"userId":"u","eventType":"t","properties":{}}`
    let encoded = "eyJ1c2VySWQiOiJ1IiwiZXZlbnRUeXBlIjoidCIsInByb3BlcnRpZXMiOnt9fQ==";
    assert_eq!(status(HTTP_API, json!({ "/body": encoded, "/isBase64Encoded": true })).await, 202);
    // The case of a header's name does not matter.
    assert_eq!(status(REST_API, json!({ "/multiValueHeaders": { "CONTENT-Type": ["text/plain"] } })).await, 415);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_taken_off_where_it_stands() {
    let host = start(&built("release", "lambda"), None).await;
    let get = json!("GET");
    let http =
        |path: &str| json!({ "/requestContext/http/method": get, "/requestContext/stage": "prod", "/rawPath": path });
    let rest = |path: &str, sent: &str, stage: &str| json!({ "/httpMethod": get, "/path": path, "/requestContext/path": sent, "/requestContext/stage": stage });
    for (payload, changes, expected) in [
        (HTTP_API, http("/prod/healthz"), "ok"),
        (HTTP_API, http("/healthz"), "ok"),
        (HTTP_API, http("/production/healthz"), "no such route"),
        (HTTP_API, http("/prod"), "no such route"),
        // A REST API has removed the stage already, even where a route has the stage's name. An HTTP API has not.
        (REST_API, rest("/healthz", "/prod/healthz", "prod"), "ok"),
        (REST_API, rest("/events/evt_1", "/events/events/evt_1", "events"), "no such event"),
        (REST_API, rest("/prod/healthz", "/prod/healthz", "prod"), "ok"),
    ] {
        let event = changed(payload, changes);
        let answer = invoke(&host.url(), "report", &event).await.json();
        assert!(answer["body"].as_str().unwrap().contains(expected), "{event}: {answer}");
    }
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_the_same_in_both_payloads() {
    let host = start(&built("release", "lambda"), None).await;
    let path = "/reports/timeseries";
    let query = "from=2013-01-01T00:00:00Z&to=2013-01-02T00:00:00%2B01:00&interval=hour&tz=Europe/Berlin&filter=%C3%A9:c+d&filter=b:1%262";
    let get = json!({ "/requestContext/http/method": "GET", "/rawPath": path, "/rawQueryString": query });
    let parameters = json!({ "from": ["2013-01-01T00:00:00Z"], "to": ["2013-01-02T00:00:00+01:00"], "interval": ["hour"],
        "tz": ["Europe/Berlin"], "filter": ["é:c d", "b:1&2"] });
    let rest = json!({ "/httpMethod": "GET", "/path": path, "/multiValueQueryStringParameters": parameters });
    let mut answers = Vec::new();
    for event in [changed(HTTP_API, get), changed(REST_API, rest)] {
        let answer = invoke(&host.url(), "report", &event).await.json();
        let mut body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        for of_the_moment in ["asOf", "requestId"] {
            body.as_object_mut().unwrap().remove(of_the_moment);
        }
        answers.push((answer["statusCode"].clone(), body));
    }
    assert_eq!(answers[0], answers[1]);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_of_a_function_is_its_error_and_a_ping_is_none() {
    let host = start(&built("release", "lambda"), None).await;
    for (function, event, expected) in [
        ("ingest", json!({}), "the event is no HTTP request"),
        ("ingest", json!({ "requestContext": {} }), "the event is no HTTP request"),
        ("read", json!({ "Records": [] }), "the event is no HTTP request"),
        ("drain", json!({ "Records": [{}] }), "the event is no batch of an SQS queue"),
        ("aggregate", json!({ "Records": [] }), "the event is no batch of a DynamoDB stream"),
    ] {
        let answer = invoke(&host.url(), function, &event).await;
        assert_eq!(answer.headers["x-amz-function-error"], "Unhandled");
        assert!(String::from_utf8_lossy(&answer.body).contains(expected), "{:?}", answer.body);
    }
    let ping = invoke(&host.url(), "ingest", &json!({ "source": "warming", "action": "ping" })).await;
    assert_eq!(ping.json(), json!({ "status": "warm" }));
    assert_eq!(invoke(&host.url(), "schedule", &json!({ "source": "aws.events" })).await.json(), Value::Null);
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_streams_and_queues_are_answered_with_what_is_to_come_again() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&built("release", "lambda"), Some(data.path())).await;
    // The events belong to the stream's first shards. Their sequence numbers come before all real ones.
    let shards: Value = serde_json::from_slice(&std::fs::read(data.path().join("shards.json")).unwrap()).unwrap();
    let of_shard = |number: usize| {
        json!({ "/shardId": shards["shards"][number]["id"], "/eventSourceARN": shards["stream"],
            "/Records/0/dynamodb/SequenceNumber": "1", "/Records/1/dynamodb/SequenceNumber": "2" })
    };
    let answer = invoke(&host.url(), "aggregate", &changed(STREAM, of_shard(0))).await.json();
    assert_eq!(answer, json!({ "state": { "1": "282" }, "batchItemFailures": [] }));
    let letters = queue_of(data.path(), "records-dead");
    assert_eq!((letters.len(), &letters[0]["key"]), (1, &json!("a#evt_1")), "{letters:?}");
    // A foreign item has attributes of all types and none of an event's.
    let item = json!({ "pk": { "B": "AAA=" }, "n": { "N": "1e300" }, "null": { "NULL": true }, "no": { "BOOL": false },
        "l": { "L": [{ "S": "" }] }, "m": { "M": { "s": { "S": "" } } }, "ss": { "SS": ["a"] }, "ns": { "NS": ["1"] },
        "bs": { "BS": ["AAA="] } });
    let mut foreign = of_shard(1);
    foreign["/Records/0/dynamodb/NewImage"] = item;
    foreign["/state"] = json!({});
    let foreign = changed(STREAM, foreign);
    let answer = invoke(&host.url(), "aggregate", &foreign).await.json();
    assert_eq!(answer, json!({ "state": {}, "batchItemFailures": [] }));
    let letters = queue_of(data.path(), "records-dead");
    let of_shard: Vec<_> = letters.iter().filter(|letter| letter["shardId"] == shards["shards"][1]["id"]).collect();
    assert_eq!((letters.len(), of_shard.len()), (2, 1), "{letters:?}");
    for _ in 0..2 {
        let answer = invoke(&host.url(), "drain", &changed(QUEUE, json!({}))).await.json();
        let refused = json!([{ "itemIdentifier": "2e1424d4-f796-459a-8184-9c92662be6da" }]);
        assert_eq!(answer, json!({ "batchItemFailures": refused }));
    }
    // The first message is delivered twice, but its two events are kept once, with the time at which it was sent.
    let path = "/reports/summary?from=2018-12-17T00:00:00Z&to=2018-12-18T00:00:00Z&eventType=q&metrics=count,users";
    let started = Instant::now();
    loop {
        let row = send(&host.url(), "GET", path, &[], "").await.json()["rows"][0].clone();
        if row["users"] == 2 {
            assert_eq!(row["count"], 2);
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{row}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    counted(&host.url(), 0).await;
    host.stop().await.unwrap();
}
