//! Connections and requests.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use isotherm_core::{Admission, Door, Plan, Reply, Service};
use tokio::net::TcpListener;

use crate::request::{self, Head, stamp};
use crate::response::{self, Abandoned};
use crate::store::Store;

/// A client gets this long for the head of a request, and to send another one on a connection.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// What requests in flight get when the server stops. Less than what service managers wait before they kill.
const FINISH_WITHIN: Duration = Duration::from_secs(8);
/// After an `accept` that failed, such as for want of file descriptors: time for some to come free.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What answers requests.
pub struct Server {
    /// The rules.
    pub service: Service,
    /// The events.
    pub store: Store,
    /// Whether to print one line for each request to standard output.
    pub log_requests: bool,
}

/// Answers requests until `stop` is done; then no connection is accepted any more, requests in flight are answered, and
/// the store is closed.
pub async fn serve(listener: TcpListener, server: Server, stop: impl Future<Output = ()>) {
    let server = Arc::new(server);
    let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, _peer)) = accepted else {
            tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            continue;
        };
        // Only delays answers when it fails.
        let _delayed = stream.set_nodelay(true);
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let response = router.call(request.map(Body::new));
            async move { response.await.map_or_else(|never| match never {}, response::sendable) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .serve_connection(TokioIo::new(stream), service);
        // Its errors are the client's: a connection that broke off, a head that is not HTTP.
        tokio::spawn(connections.watch(connection));
    }
    drop(listener);
    // Whoever is not done by then has not got an answer, which says nothing about its events: it asks again.
    let _unfinished = tokio::time::timeout(FINISH_WITHIN, connections.shutdown()).await;
    server.store.close().await;
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Abandoned> {
    let started = Instant::now();
    let (head, mut body) = request.into_parts();
    let head = Head::new(head);
    let request = head.request();
    let reply = match server.service.admit_head(&request, stamp()?) {
        Door::Reply(reply) => reply,
        Door::Body(entry) => {
            let body = match entry.body_bytes() {
                0 => Vec::new(),
                limit => request::body(&mut body, limit).await?,
            };
            apply(&server, entry.admit(&body)).await?
        }
    };
    if server.log_requests {
        let (now, ms) = (jiff::Timestamp::now(), started.elapsed().as_secs_f64() * 1000.0);
        let (isotherm_core::Request { method, path, .. }, status) = (request, reply.status);
        // Nobody reads standard output any more: no reason to stop answering.
        let _closed = writeln!(std::io::stdout().lock(), "{now:.3} {method} {path} {status} {ms:.1}");
    }
    let mut response = response::from_reply(reply)?;
    if request::drop_rest(body) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn apply(server: &Server, admission: Admission) -> Result<Reply, Abandoned> {
    Ok(match admission {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Store(plan)) => {
            let (plan, outcomes) = server.store.store(plan).await?;
            plan.settle(outcomes)
        }
        Admission::Plan(Plan::Find(plan)) => {
            let found = server.store.find(&plan).await;
            plan.settle(found)
        }
        Admission::Plan(Plan::Report(plan)) => {
            let (plan, read) = server.store.report(plan).await?;
            plan.settle(read)
        }
        // The writer has a timer of its own.
        Admission::Plan(Plan::Upkeep(plan)) => plan.settle(true),
    })
}
