//! Connections and requests.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use isotherm_core::{Admission, Door, Plan, Reply, Service};
use tokio::net::TcpListener;

use crate::connection::{Connections, Watched};
use crate::request::{self, Head, stamp};
use crate::response::{self, Abandoned};
use crate::room::{Place, Room};
use crate::store::Store;
use crate::turns::Turn;

/// What hyper holds of what a connection has received; also the longest head. More would be memory that a client takes by sending.
const RECEIVED_BYTES: usize = 64 << 10;
/// Bodies that are longer than this need room. Shorter ones have a bound in that of the connections.
const SHORT_BODY: u32 = 32 << 10;
/// Room for bodies.
const BODIES_BYTES: usize = 64 << 20;
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
    /// How many connections may be open at once.
    pub connections: usize,
    /// How long a connection stays open without a request.
    pub keep_alive: Duration,
}

/// What connections share.
struct Shared {
    server: Server,
    bodies: Arc<Room>,
}

impl Shared {
    /// Room for a body, which gives way while it is read.
    async fn room_for(&self, body: &Incoming, limit: usize) -> Option<Place> {
        let most = body.size_hint().upper().unwrap_or(u64::MAX).min(limit as u64);
        let most = u32::try_from(most).ok().filter(|most| *most > SHORT_BODY)?;
        let room = self.bodies.take(most).await?;
        room.give_way();
        Some(room)
    }
}

async fn claimed(room: Option<&Place>) {
    match room {
        Some(room) => room.claimed().await,
        None => std::future::pending().await,
    }
}

/// Answers requests until `stop` is done; then no connection is accepted any more, requests in flight are answered, and
/// the store is closed.
pub async fn serve(listener: TcpListener, server: Server, stop: impl Future<Output = ()>) {
    let connections = Arc::new(Connections::new(server.connections, server.keep_alive));
    let shared = Arc::new(Shared { server, bodies: Room::new(BODIES_BYTES) });
    let running = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = connections.accept(&listener) => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, connection)) = accepted else {
            tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            continue;
        };
        // Only delays answers when it fails.
        let _delayed = stream.set_nodelay(true);
        let stream = Watched { stream, connection: Arc::clone(&connection) };
        let (shared, watched) = (Arc::clone(&shared), Arc::clone(&connection));
        let service = service_fn(move |request| {
            watched.begin();
            let (shared, watched) = (Arc::clone(&shared), Arc::clone(&watched));
            async move {
                let response = answer(&shared, request).await;
                watched.answered();
                response
            }
        });
        let http = http1::Builder::new()
            .header_read_timeout(None) // it would count the time between requests too
            .max_buf_size(RECEIVED_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let http = running.watch(http);
        // Its errors are the client's: a connection that broke off, a head that is not HTTP.
        tokio::spawn(async move { connection.run(http).await });
    }
    drop(listener);
    // Whoever is not done by then has not got an answer, which says nothing about its events: it asks again.
    let _unfinished = tokio::time::timeout(FINISH_WITHIN, running.shutdown()).await;
    shared.server.store.close().await;
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Abandoned> {
    let started = Instant::now();
    let server = &shared.server;
    let (head, mut body) = request.into_parts();
    let head = Head::new(head);
    let request = head.request();
    let (reply, turn) = match server.service.admit_head(&request, stamp()?) {
        Door::Reply(reply) => (reply, None),
        Door::Body(entry) => {
            let (room, received) = match entry.body_bytes() {
                0 => (None, Vec::new()),
                limit => read(shared, &mut body, limit).await?,
            };
            let applied = apply(server, entry.admit(&received)).await?;
            drop(room);
            applied
        }
    };
    if server.log_requests {
        let (now, ms) = (jiff::Timestamp::now(), started.elapsed().as_secs_f64() * 1000.0);
        let (isotherm_core::Request { method, path, .. }, status) = (request, reply.status);
        // In one write. Nobody reads standard output any more: no reason to stop answering.
        let line = format!("{now:.3} {method} {path} {status} {ms:.1}\n");
        let _closed = std::io::stdout().write_all(line.as_bytes());
    }
    let mut response = response::from_reply(reply, turn)?;
    if request::drop_rest(body) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Reads a body within the room that all bodies share, and keeps its place there.
async fn read(shared: &Shared, body: &mut Incoming, limit: usize) -> Result<(Option<Place>, Vec<u8>), Abandoned> {
    let room = shared.room_for(body, limit).await;
    let received = tokio::select! {
        received = request::body(body, limit) => received?,
        () = claimed(room.as_ref()) => return Err(Abandoned("others need the room of its body")),
    };
    room.iter().for_each(Place::hold);
    Ok((room, received))
}

/// The reply, and a report's turn, which ends once it is sent.
async fn apply(server: &Server, admission: Admission) -> Result<(Reply, Option<Turn>), Abandoned> {
    let reply = match admission {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Store(plan)) => {
            let (plan, outcomes) = server.store.store(plan).await?;
            plan.settle(outcomes)
        }
        Admission::Plan(Plan::Find(plan)) => {
            let found = server.store.find(&plan).await;
            plan.settle(found)
        }
        Admission::Plan(Plan::Report(plan)) => return server.store.report(plan).await,
        // The writer has a timer of its own.
        Admission::Plan(Plan::Upkeep(plan)) => plan.settle(true),
    };
    Ok((reply, None))
}
