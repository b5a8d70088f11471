//! Connections and requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use isotherm_core::{Admission, Door, Limiter, Plan, Reply};
use tokio::net::TcpListener;

use crate::config::Configuration;
use crate::connection::{Connection, Connections, Watched};
use crate::request::{self, Head, stamp};
use crate::response::{self, Abandoned};
use crate::room::{Place, Room, Sender};
use crate::store::Store;
use crate::turns::Turn;
use crate::watch::Watch;

/// How many received bytes hyper buffers for a connection; also the longest head. A higher limit would let clients
/// take memory by sending.
const RECEIVED_BYTES: usize = 64 << 10;
/// Bodies longer than this need room. Shorter ones are bounded by the number of connections.
const SHORT_BODY: u32 = 32 << 10;
/// Room for all bodies together.
const BODIES_BYTES: usize = 64 << 20;
/// How long requests in flight may take when the server stops. Service managers wait longer than this before they
/// kill.
const FINISH_WITHIN: Duration = Duration::from_secs(8);
/// Pause after a failed `accept`, such as for lack of file descriptors, so that some can come free.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What it takes to answer requests.
pub struct Server {
    /// The rules.
    pub configuration: Arc<Configuration>,
    /// The events.
    pub store: Store,
    /// What an operator sees; the store's, too.
    pub watch: Arc<Watch>,
    /// How many connections may be open at once.
    pub connections: usize,
    /// How long a connection stays open without a request.
    pub keep_alive: Duration,
}

/// State that all connections share.
struct Shared {
    server: Server,
    bodies: Arc<Room>,
    /// What keys and tenants have sent. It ends with the process.
    limiter: Mutex<Limiter>,
}

impl Shared {
    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for a body. Its place gives way while the body is read.
    async fn room_for(&self, body: &Incoming, limit: usize, sender: Sender) -> Option<Place> {
        let most = body.size_hint().upper().unwrap_or(u64::MAX).min(limit as u64);
        let most = u32::try_from(most).ok().filter(|most| *most > SHORT_BODY)?;
        let room = self.bodies.take(most).await?;
        room.give_way(sender);
        Some(room)
    }
}

async fn claimed(room: Option<&Place>) {
    match room {
        Some(room) => room.claimed().await,
        None => std::future::pending().await,
    }
}

/// Answers requests until `stop` is done. Then it accepts no more connections, answers requests in flight, and closes
/// the store.
pub async fn serve(listener: TcpListener, server: Server, stop: impl Future<Output = ()>) {
    let connections = Arc::new(Connections::new(server.connections, server.keep_alive));
    let shared = Arc::new(Shared { server, bodies: Room::new(BODIES_BYTES), limiter: Mutex::default() });
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
        // A failure here only delays answers.
        let _delayed = stream.set_nodelay(true);
        let stream = Watched { stream, connection: Arc::clone(&connection) };
        let (shared, watched) = (Arc::clone(&shared), Arc::clone(&connection));
        let service = service_fn(move |request| {
            watched.begin();
            let (shared, watched) = (Arc::clone(&shared), Arc::clone(&watched));
            async move {
                let response = answer(&shared, &watched, request).await;
                watched.answered();
                response
            }
        });
        let http = http1::Builder::new()
            .header_read_timeout(None) // it would count the time between requests too
            .max_buf_size(RECEIVED_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let http = running.watch(http);
        // Errors of `http` are the client's: a connection that broke off, or a head that is not HTTP.
        tokio::spawn(async move { connection.run(http).await });
    }
    drop(listener);
    // A client whose request is not done by then gets no answer, which says nothing about its events: it asks again.
    let _unfinished = tokio::time::timeout(FINISH_WITHIN, running.shutdown()).await;
    shared.server.store.close().await;
}

async fn answer(
    shared: &Shared,
    connection: &Connection,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Abandoned> {
    let started = Instant::now();
    let server = &shared.server;
    let (head, mut body) = request.into_parts();
    let head = Head::new(head);
    let request = head.request();
    let stamp = stamp()?;
    let service = server.configuration.service();
    let (mut reply, turn) = match service.admit_head(&request, stamp) {
        Door::Reply(reply) => (reply, None),
        Door::Body(entry) => {
            let sender = if entry.is_known() { Sender::Known } else { Sender::Stranger };
            connection.is_of(sender);
            let (room, received) = match entry.body_bytes() {
                0 => (None, Vec::new()),
                limit => {
                    connection.body_expected();
                    let read = read(shared, &mut body, limit, sender).await?;
                    connection.body_received();
                    read
                }
            };
            let applied = apply(shared, entry.admit(&received)).await?;
            drop(room);
            applied
        }
    };
    server.watch.answered(service, &request, stamp, &mut reply, started);
    let mut response = response::from_reply(reply, turn)?;
    if request::drop_rest(body) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Reads a body within the room that all bodies share, and returns it with its place there.
async fn read(
    shared: &Shared,
    body: &mut Incoming,
    limit: usize,
    sender: Sender,
) -> Result<(Option<Place>, Vec<u8>), Abandoned> {
    let room = shared.room_for(body, limit, sender).await;
    let received = tokio::select! {
        received = request::body(body, limit) => received?,
        () = claimed(room.as_ref()) => return Err(Abandoned("others need the room of its body")),
    };
    room.iter().for_each(Place::hold);
    Ok((room, received))
}

/// Returns the reply, and a report's turn, which ends once the reply is sent.
async fn apply(shared: &Shared, admission: Admission) -> Result<(Reply, Option<Turn>), Abandoned> {
    let server = &shared.server;
    let reply = match admission {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Store(mut plan)) => {
            if plan.is_limited() && !plan.take_from(&mut shared.limiter()) {
                return Ok((plan.respond(Vec::new()), None));
            }
            let (mut plan, outcomes) = server.store.store(plan).await?;
            if plan.is_limited() {
                plan.give_back(&mut shared.limiter(), &outcomes);
            }
            plan.respond(outcomes)
        }
        Admission::Plan(Plan::Find(plan)) => {
            let found = server.store.find(&plan).await;
            plan.respond(found)
        }
        Admission::Plan(Plan::Report(plan)) => return server.store.report(plan).await,
        // The writer has a timer of its own.
        Admission::Plan(Plan::Maintenance(plan)) => plan.respond(true),
        Admission::Plan(Plan::Ready(plan)) => {
            let condition = server.store.condition(plan.request_id()).await;
            plan.respond(condition)
        }
        Admission::Plan(Plan::Metrics(plan)) => {
            let condition = server.store.condition(plan.request_id()).await;
            plan.respond(Some(&server.watch.metrics()), condition.map(|condition| vec![condition]))
        }
        Admission::Plan(Plan::Export(plan)) => {
            let read = server.store.export(&plan).await;
            plan.respond(read)
        }
        Admission::Plan(Plan::Import(plan)) => server.store.import(plan).await?,
    };
    Ok((reply, None))
}
