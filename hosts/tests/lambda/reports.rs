//! Reports: from the stream of the table of events by way of the event source mapping and `aggregate`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

/// The event of a number: each stands in an hour of its own.
fn event_at(n: usize) -> Value {
    let time = format!("2013-01-{:02}T{:02}:10:00Z", 1 + n / 24 % 28, n % 24);
    json!({ "userId": "u", "eventType": "t", "timestamp": time, "messageId": format!("m{n}"),
        "properties": { "n": n, "one": "1", "two": format!("{}", n % 7) } })
}

async fn send_events(url: &str, numbers: std::ops::Range<usize>) {
    let batch = json!({ "events": numbers.map(event_at).collect::<Vec<_>>() }).to_string();
    let answer = send(url, "POST", "/events/batch", &[("content-type", "application/json")], batch).await;
    assert_eq!((answer.status, &answer.json()["retry"]), (200, &json!(0)), "{:?}", answer.body);
}

/// Waits until a report counts so many events, which then it must not exceed, and gives it.
async fn counted(url: &str, count: usize) -> Value {
    let path = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&metrics=count,sum:n";
    let started = Instant::now();
    loop {
        let answer = send(url, "GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let report = answer.json();
        let counted = report["rows"][0]["count"].as_u64().unwrap_or_default();
        assert!(counted <= count as u64, "{counted} of {count} events");
        if counted == count as u64 {
            assert_eq!(report["rows"][0]["sum:n"], json!(count * count.saturating_sub(1) / 2));
            return report;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{counted} of {count} events after a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a report that counts so many events says that it is complete to this moment.
async fn complete(url: &str, count: usize) {
    let (now, started) = (jiff::Timestamp::now(), Instant::now());
    loop {
        let as_of: jiff::Timestamp = counted(url, count).await["asOf"].as_str().unwrap().parse().unwrap();
        if as_of > now {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "at {now} complete to {as_of} only");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_counted_once_though_the_stream_is_read_again() {
    let (artifact, data) = (built("release", "lambda"), tempfile::tempdir().unwrap());
    let host = start(&artifact, Some(data.path())).await;
    send_events(&host.url(), 0..300).await;
    complete(&host.url(), 300).await;
    host.stop().await.unwrap();
    // From where it was left, which is a little before the end, and from the beginning of the stream.
    for total in [301, 302] {
        let host = start(&artifact, Some(data.path())).await;
        send_events(&host.url(), total - 1..total).await;
        // What is handed over again comes before the new event.
        counted(&host.url(), total).await;
        host.stop().await.unwrap();
        let _none_yet = std::fs::remove_file(data.path().join("aggregate.position.json"));
    }
    assert!(!data.path().join("aggregate.failed.jsonl").exists());
}

/// What happens to one transaction of `aggregate`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    KilledBefore,
    KilledAfter,
    FailsBefore,
    CancelledBefore,
    AnswerIsLost,
}

/// Stands between `aggregate` and DynamoDB.
#[derive(Default)]
struct Proxy {
    folder: std::path::PathBuf,
    /// The transaction that something happens to, counted from 0, and what.
    fault: Mutex<Option<(usize, Fault)>>,
    transactions: AtomicUsize,
}

impl Proxy {
    fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        assert!(std::process::Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    }

    fn endpoint(&self) -> String {
        std::fs::read_to_string(self.folder.join("endpoint")).unwrap().trim().to_owned()
    }

    async fn pass(
        &self,
        request: hyper::Request<hyper::body::Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, &'static str> {
        let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
        let headers: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
            .collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let headers: Vec<_> =
            headers.into_iter().filter(|(name, _)| !matches!(*name, "host" | "content-length")).collect();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let fault = target.ends_with(".TransactWriteItems").then(|| {
            let number = self.transactions.fetch_add(1, Ordering::SeqCst);
            Some(self.fault.lock().unwrap().take_if(|(at, _)| *at == number)?.1)
        });
        let fault = fault.flatten();
        let refuse = |status: u16, body: Value| {
            Ok(hyper::Response::builder().status(status).body(Full::new(body.to_string().into())).unwrap())
        };
        match fault {
            Some(Fault::KilledBefore) => {
                self.kill();
                return Err("killed");
            }
            Some(Fault::FailsBefore) => return refuse(500, json!({ "__type": "InternalServerError" })),
            Some(Fault::CancelledBefore) => {
                let reasons = json!([{ "Code": "TransactionConflict" }]);
                return refuse(
                    400,
                    json!({ "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "CancellationReasons": reasons }),
                );
            }
            _ => {}
        }
        let answer = send(&self.endpoint(), "POST", "/", &headers, body).await;
        match fault {
            Some(Fault::KilledAfter) => {
                self.kill();
                Err("killed")
            }
            Some(Fault::AnswerIsLost) => Err("lost"),
            _ => Ok(hyper::Response::builder().status(answer.status).body(Full::new(answer.body)).unwrap()),
        }
    }
}

/// An artifact whose `aggregate` reaches DynamoDB through a proxy.
async fn behind_a_proxy() -> (tempfile::TempDir, Arc<Proxy>) {
    let (artifact, functions) = (tempfile::tempdir().unwrap(), built("release", "lambda").canonicalize().unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let script = format!(
        "#!/bin/sh\ncd {}\necho $$ >pid\necho $AWS_ENDPOINT_URL_DYNAMODB >endpoint\nAWS_ENDPOINT_URL_DYNAMODB=http://{} exec {}\n",
        artifact.path().display(),
        listener.local_addr().unwrap(),
        functions.join("aggregate").display(),
    );
    for name in FUNCTIONS {
        std::os::unix::fs::symlink(functions.join(name), artifact.path().join(name)).unwrap();
    }
    let aggregate = artifact.path().join("aggregate");
    std::fs::remove_file(&aggregate).unwrap();
    std::fs::write(&aggregate, script).unwrap();
    std::fs::set_permissions(&aggregate, PermissionsExt::from_mode(0o755)).unwrap();
    let proxy = Arc::new(Proxy { folder: artifact.path().to_owned(), ..Proxy::default() });
    let passes = Arc::clone(&proxy);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let proxy = Arc::clone(&passes);
            let service = hyper::service::service_fn(move |request| {
                let proxy = Arc::clone(&proxy);
                async move { proxy.pass(request).await }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    (artifact, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_transaction_events_are_counted_once() {
    // So many hours and dimensions that a batch needs several transactions.
    const EVENTS: usize = 60;
    let (artifact, proxy) = behind_a_proxy().await;
    let host = start(artifact.path(), None).await;
    let mut sent = 0;
    let faults =
        [Fault::KilledBefore, Fault::KilledAfter, Fault::FailsBefore, Fault::CancelledBefore, Fault::AnswerIsLost];
    for fault in faults {
        for at in 0.. {
            proxy.transactions.store(0, Ordering::SeqCst);
            *proxy.fault.lock().unwrap() = Some((at, fault));
            send_events(&host.url(), sent..sent + EVENTS).await;
            sent += EVENTS;
            // The last transaction ends the window.
            complete(&host.url(), sent).await;
            if proxy.fault.lock().unwrap().take().is_some() {
                assert!(at > 2, "{fault:?}: {at} transactions only");
                break;
            }
        }
    }
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_put_aside_and_holds_nothing_up() {
    let (artifact, proxy) = behind_a_proxy().await;
    let host = start(artifact.path(), None).await;
    send_events(&host.url(), 0..1).await;
    counted(&host.url(), 1).await;
    let dynamodb = async |operation: &str, body: Value| {
        let target = format!("DynamoDB_20120810.{operation}");
        let signed = "AWS4-HMAC-SHA256 Credential=isotherm/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
        let headers = [
            ("x-amz-target", &*target),
            ("content-type", "application/x-amz-json-1.0"),
            ("authorization", signed),
            ("x-amz-date", "20260101T000000Z"),
        ];
        let answer = send(&proxy.endpoint(), "POST", "/", &headers, body.to_string()).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.json()
    };
    for item in [
        json!({ "pk": { "S": "default#evt_1" }, "record": { "S": "{}" } }),
        json!({ "pk": { "S": "default#evt_2" } }),
        json!({ "pk": { "S": "what" }, "record": { "S": "ever" } }),
    ] {
        dynamodb("PutItem", json!({ "TableName": "events", "Item": item })).await;
    }
    send_events(&host.url(), 1..2).await;
    counted(&host.url(), 2).await;
    let aside = dynamodb(
        "Query",
        json!({ "TableName": "rollups", "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": { ":pk": { "S": "poison" } } }),
    );
    let aside = aside.await;
    let keys: Vec<_> =
        aside["Items"].as_array().unwrap().iter().map(|item| item["key"]["S"].as_str().unwrap()).collect();
    assert_eq!(keys, ["default#evt_1", "default#evt_2", "what"]);
    assert!(aside["Items"][0]["reason"]["S"].as_str().unwrap().contains("no event"), "{aside}");
    host.stop().await.unwrap();
}
