//! HTTP around the component: one fresh instance for each request, which ends with its response.

use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::HOST;
use hyper::http::uri::{Authority, Scheme};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView as _};

use super::DATABASE;
use super::component::{INSTANCES, Instance, LinkedComponent, Node};
use super::sqlite::Database;
use crate::lines::log;
use crate::{ColdRequest, ColdSample, Options, http};

/// Time for the requests in flight when the host is stopped.
const GRACE: Duration = Duration::from_secs(10);

/// Spin's runtime within this process.
pub(crate) struct Embedded {
    server: Server,
    /// A second door to the same component, for cold starts: who comes in here is told how long instantiating took.
    probe: Mutex<Probe>,
}

struct Probe {
    server: Server,
    inits: mpsc::UnboundedReceiver<Duration>,
}

impl Embedded {
    pub(super) async fn start(component: &Path, options: &Options, data: &Path) -> Result<Self> {
        let path = component.to_owned();
        let node = Node { database: Arc::new(Database::open(&data.join(DATABASE))?), config: options.config.clone() };
        let component = tokio::task::spawn_blocking(move || LinkedComponent::load(&path, node)).await??;
        let compile = component.compile;
        log!("spin: loaded and compiled the component in {:.0} ms, once for this node", compile.as_secs_f64() * 1000.0);
        let runtime = Arc::new(Runtime { component, turns: Semaphore::new(INSTANCES as usize) });
        let (told, inits) = mpsc::unbounded_channel();
        let server =
            Server::start(options.port, Arc::clone(&runtime), Observer { log: options.log_requests, inits: None })
                .await?;
        let probe = Server::start(0, runtime, Observer { log: false, inits: Some(told) }).await?;
        Ok(Self { server, probe: Mutex::new(Probe { server: probe, inits }) })
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port
    }

    /// One request, from no instance to the first byte. Every request has a fresh instance: this one is also told its part.
    pub(super) async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        let mut probe = self.probe.lock().await;
        // Of a sample that was given up before it was answered.
        while probe.inits.try_recv().is_ok() {}
        let started = Instant::now();
        let answer = http::send(probe.server.port, request).await?;
        let init = probe.inits.try_recv().context("the component could not be instantiated")?;
        Ok(ColdSample { init, first_response: answer.first_byte.duration_since(started), status: answer.status })
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.server.stop().await?;
        self.probe.into_inner().server.stop().await
    }
}

/// Who listens, and what is in flight.
struct Server {
    port: u16,
    stop: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

impl Server {
    async fn start(port: u16, runtime: Arc<Runtime>, observer: Observer) -> Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, port);
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
        let port = listener.local_addr()?.port();
        let (stop, stopped) = watch::channel(false);
        let listening = tokio::spawn(listen(listener, runtime, Arc::new(observer), stopped));
        Ok(Self { port, stop, listening })
    }

    /// Requests in flight are answered; connections without one are closed.
    async fn stop(self) -> Result<()> {
        self.stop.send_replace(true);
        let mut listening = self.listening;
        match tokio::time::timeout(GRACE, &mut listening).await {
            Ok(ended) => ended.context("the server failed"),
            Err(_) => {
                listening.abort();
                Ok(())
            }
        }
    }
}

async fn listen(listener: TcpListener, runtime: Arc<Runtime>, observer: Arc<Observer>, stopped: watch::Receiver<bool>) {
    let mut stopping = stopped.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&runtime), Arc::clone(&observer), stopped.clone()));
                }
                // Out of file descriptors, say: connections that end give some back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            // Reaped as they end, so that they don't add up.
            Some(_) = connections.join_next() => {}
            () = told_to_stop(&mut stopping) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, runtime: Arc<Runtime>, observer: Arc<Observer>, mut stopped: watch::Receiver<bool>) {
    // Small responses must not wait for the client's acknowledgement of the last one.
    let _unsupported = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (runtime, observer) = (Arc::clone(&runtime), Arc::clone(&observer));
        async move { Ok::<_, std::convert::Infallible>(answer(runtime, &observer, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // An error is the client's: it went away, or did not speak HTTP.
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = told_to_stop(&mut stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error says that the host is gone: no less a reason to stop.
    let _gone = stop.wait_for(|stop| *stop).await;
}

/// What is told of a request, and to whom.
struct Observer {
    log: bool,
    inits: Option<mpsc::UnboundedSender<Duration>>,
}

async fn answer(runtime: Arc<Runtime>, observer: &Observer, request: Request<Incoming>) -> Response<WasiBody> {
    let started = Instant::now();
    let line = observer.log.then(|| (request.method().to_string(), request.uri().path().to_owned()));
    let response = match runtime.handle(request, observer).await {
        Ok(response) => response,
        Err(error) => {
            log!("spin: a request failed: {error:#}");
            let mut response = Response::new(Empty::new().map_err(Error::from).boxed_unsync());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    };
    if let Some((method, path)) = line {
        http::log_request(&method, &path, response.status().as_u16(), started.elapsed());
    }
    response
}

struct Runtime {
    component: LinkedComponent,
    /// A request waits for its turn: asking the pool for more instances than it has would fail.
    turns: Semaphore,
}

/// How the instance's task hands over the response.
type Respond = oneshot::Sender<Result<Response<WasiBody>>>;

impl Runtime {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, observer: &Observer) -> Result<Response<WasiBody>> {
        let (respond, response) = oneshot::channel();
        let inits = observer.inits.clone();
        // A task of its own: the instance lives until its response's body has been sent, and it finishes what it does for
        // a client that has gone.
        tokio::spawn(async move {
            let mut respond = Some(respond);
            if let Err(error) = self.run(request, &mut respond, inits).await {
                match respond {
                    Some(respond) => drop(respond.send(Err(error))),
                    None => log!("spin: a response broke off: {error:#}"),
                }
            }
        });
        response.await.context("the component ended without a response")?
    }

    async fn run(
        &self,
        request: Request<Incoming>,
        respond: &mut Option<Respond>,
        inits: Option<mpsc::UnboundedSender<Duration>>,
    ) -> Result<()> {
        let _turn = self.turns.acquire().await?;
        let started = Instant::now();
        let Instance { mut store, service } = self.component.instantiate().await?;
        if let Some(inits) = inits {
            // Nobody listens any more when the host is being stopped.
            let _stopped = inits.send(started.elapsed());
        }
        let request = with_authority(request).map(|body| body.map_err(Error::from));
        let (request, received) = p3::Request::from_http(store.data_mut().http().hooks, request);
        store
            .run_concurrent(async |accessor| -> Result<()> {
                let response = service.handle(accessor, request).await?.map_err(refusal)?;
                let response = accessor.with(|store| response.into_http(store, received))?;
                let (sending, sent) = oneshot::channel();
                let response = response.map(|body| InFlight { body, _sending: sending }.boxed_unsync());
                if let Some(respond) = respond.take() {
                    // Dropped with the response when the client has gone; then it counts as sent.
                    let _gone = respond.send(Ok(response));
                }
                let _sent = sent.await;
                Ok(())
            })
            .await?
    }
}

fn refusal(code: ErrorCode) -> anyhow::Error {
    match code {
        ErrorCode::InternalError(Some(reason)) => anyhow::anyhow!("the component says: {reason}"),
        code => anyhow::anyhow!("the component answered with an error: {code:?}"),
    }
}

/// Spin's guests see an absolute URI.
fn with_authority(mut request: Request<Incoming>) -> Request<Incoming> {
    let host = request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() && host.is_some() {
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = host;
        // `OPTIONS *` has no absolute form and stays as it is.
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// A response's body, which ends the instance when the server drops it: sent, or given up.
struct InFlight {
    body: WasiBody,
    _sending: oneshot::Sender<()>,
}

impl Body for InFlight {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
