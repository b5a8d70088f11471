//! Tests the load against servers that stall, err and answer, with real sockets and real HTTP.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not know as such")]

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use isotherm_bench::load::{Client, Events, Expect, Sequence, Step, Timer, closed, open};
use isotherm_bench::workload::{Arrival, Mix, Route};
use rand::SeedableRng;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

const SINGLES: Mix = Mix { single: 1, batch: 0, get: 0 };
const ALL: Mix = Mix { single: 5, batch: 2, get: 3 };

/// Serves `answer` on a free port for as long as the test runs.
async fn serve<F>(answer: impl Fn(String, Bytes) -> F + Clone + 'static) -> SocketAddr
where
    F: Future<Output = (u16, String)> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let (status, body) = answer(path, body).await;
                    let response = Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap();
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    address
}

fn sequence(seed: u64) -> Sequence {
    let line = |n| format!("{{\"messageId\":\"m{n}\",\"userId\":\"u\",\"eventType\":\"t\",\"properties\":{{}}}}\n");
    let events = Events::parse((0..500).map(line).collect::<String>().into_bytes(), "e").unwrap();
    Sequence::new(Rc::new(events), seed)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// The contract's answer to a request, with ids made from messageIds.
fn contract(path: &str, body: &[u8]) -> (u16, String) {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let id = |event: &serde_json::Value| format!("evt_{}", event["messageId"].as_str().unwrap());
    match (path, path.strip_prefix("/events/")) {
        ("/events", _) => (202, serde_json::json!({"eventId": id(&json), "message": ""}).to_string()),
        ("/events/batch", _) => {
            let result =
                |(index, event)| serde_json::json!({"index": index, "status": "accepted", "eventId": id(event)});
            let results: Vec<_> = json["events"].as_array().unwrap().iter().enumerate().map(result).collect();
            (200, serde_json::json!({ "results": results }).to_string())
        }
        (_, Some(id)) => (200, serde_json::json!({ "eventId": id }).to_string()),
        _ => (404, String::new()),
    }
}

#[test]
fn a_stall_is_charged_to_every_request_that_was_due_meanwhile() {
    run(async {
        // Requests come 5 ms apart. Number 50 of 200 holds up all others for 300 ms.
        let count = Rc::new(Cell::new(0));
        let stalled_until = Rc::new(Cell::new(Instant::now()));
        let address = serve(move |_, _| {
            count.set(count.get() + 1);
            if count.get() == 50 {
                stalled_until.set(Instant::now() + Duration::from_millis(300));
            }
            let until = stalled_until.get();
            async move {
                tokio::time::sleep_until(until.into()).await;
                (200, "hello".to_owned())
            }
        })
        .await;
        let client = Client::new(address, Expect::Hello, sequence(1));
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(1);
        let schedule = Arrival::Constant.schedule(200.0, 1.0, &mut rng);
        let steps: Vec<Step> = schedule.iter().map(|_| client.step(&SINGLES, &[])).collect();
        let samples = open(&client, &Timer::new().unwrap(), &schedule, &steps).await.unwrap();

        assert_eq!(samples.len(), 200);
        // Sixty requests came due during the stall. Their latencies fall from 300 ms to nothing, and half of them are
        // above 150 ms. A client that waits for answers would have seen only one.
        let above = |ms: f64| samples.iter().filter(|sample| 1000.0 * sample.latency > ms).count();
        assert!(above(290.0) >= 1, "{} above 290 ms", above(290.0));
        assert!(above(150.0) >= 25, "{} above 150 ms", above(150.0));
        assert!(above(50.0) >= 50, "{} above 50 ms", above(50.0));
    });
}

#[test]
fn a_client_that_is_late_itself_is_charged_too() {
    run(async {
        let address = serve(|_, _| async { (200, "hello".to_owned()) }).await;
        let client = Client::new(address, Expect::Hello, sequence(1));
        let schedule = [0.0, 0.001, 0.002, 0.2];
        let steps: Vec<Step> = schedule.iter().map(|_| client.step(&SINGLES, &[])).collect();
        // The client uses this thread too: while it sleeps, nothing can be sent.
        tokio::task::spawn_local(async { std::thread::sleep(Duration::from_millis(100)) });
        let samples = open(&client, &Timer::new().unwrap(), &schedule, &steps).await.unwrap();
        let late = samples.iter().filter(|sample| sample.latency > 0.09).count();
        assert_eq!(late, 3, "{samples:?}");
    });
}

#[test]
fn the_closed_loop_counts_what_was_answered_rightly() {
    run(async {
        let address = serve(|path, body| async move { contract(&path, &body) }).await;
        let client = Client::new(address, Expect::Contract, sequence(7));
        let slice = closed(&client, 4, &ALL, &[10, 20], 0.3).await;
        let tally = client.tally();
        assert_eq!((tally.errors, tally.first_errors), (0, vec![]));
        assert!(slice.seconds >= 0.3 && slice.requests > 50, "{slice:?}");
        assert_eq!((tally.requests, tally.sent), (slice.requests, slice.events));
        assert_eq!(tally.accepted, tally.sent);
        assert!(tally.found > 0 && client.is_through());
        assert!(client.first_id_of(3).is_some());
    });
}

#[test]
fn wrong_answers_are_errors_and_too_many_end_it() {
    run(async {
        let address = serve(|path, body| async move {
            let (status, body) = contract(&path, &body);
            // One of the wrong answers has the right status, but wrong content.
            match path.as_str() {
                "/events" => (503, "busy".to_owned()),
                "/events/batch" => (status, body.replacen("accepted", "retry", 1)),
                _ => (status, body),
            }
        })
        .await;
        let client = Client::new(address, Expect::Contract, sequence(7));
        let single = client.step(&SINGLES, &[]);
        assert!(client.perform(&single, Instant::now()).await.is_none());
        let batch = client.step(&Mix { single: 0, batch: 1, get: 0 }, &[3]);
        assert_eq!(batch.route, Route::Batch);
        assert!(client.perform(&batch, Instant::now()).await.is_none());
        let tally = client.tally();
        assert_eq!((tally.errors, tally.sent, tally.accepted), (2, 4, 2));
        assert_eq!(tally.first_errors[0], "POST /events (line 1): answered 503 busy, not 202");
        assert!(tally.first_errors[1].contains("event 0 of the batch: retry"), "{tally:?}");
        assert!(client.bearable().is_ok());
        let slice = closed(&client, 2, &SINGLES, &[], 10.0).await;
        assert!(client.bearable().is_err() && slice.seconds < 5.0, "{slice:?}");
    });
}

#[test]
fn a_floor_may_close_its_connections_and_a_platform_may_not() {
    run(async {
        // This server answers one request on each connection, then closes the connection without announcing it.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _read = tokio::io::AsyncReadExt::read(&mut socket, &mut request).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                let _written = tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await;
                let _read = tokio::io::AsyncReadExt::read(&mut socket, &mut request).await;
            }
        });
        for (expect, errors) in [(Expect::Hello, 0), (Expect::Contract, 2)] {
            let client = Client::new(address, expect, sequence(1));
            for _ in 0..2 {
                let step = client.step(&SINGLES, &[]);
                client.perform(&step, Instant::now()).await;
            }
            assert_eq!(client.tally().errors, errors, "{:?}", client.tally());
        }
    });
}

#[test]
fn a_server_that_is_gone_is_an_error() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = Client::new(address, Expect::Hello, sequence(1));
        let step = client.step(&SINGLES, &[]);
        assert!(client.perform(&step, Instant::now()).await.is_none());
        assert!(client.tally().first_errors[0].contains("cannot connect"), "{:?}", client.tally());
    });
}
