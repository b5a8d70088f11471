//! HTTP around the component, as `spin up` of Spin 4 serves it by default.
//!
//! Instances are reused ([`Reuse::BY_DEFAULT`]). Nagle's algorithm is on: after the first packet, the rest of an answer
//! waits for the client's acknowledgement. Spin answers 500 to a header that is not UTF-8, before the component sees
//! the request. Three things differ. Spin closes the connection if the authority is missing or unclear; this server
//! answers 400. HTTP/2 and `/.well-known/spin/` are not served. The manifest grants one database, no files and no
//! network: only that is linked.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap};
use hyper::http::uri::{Authority, Scheme};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::{Error, WasiBody};

use super::DATABASE;
use super::component::{LinkedComponent, Node};
use super::instances::{Instances, Reuse};
use crate::lines::log;
use crate::{ColdRequest, ColdSample, Options, http};

/// How long requests in flight may take when the host stops.
const GRACE: Duration = Duration::from_secs(10);

/// Spin's runtime within this process.
pub(crate) struct Embedded {
    server: Server,
    /// A second server for the same component, for cold starts. It also reports how long instantiating took.
    probe: Mutex<Probe>,
}

struct Probe {
    server: Server,
    inits: mpsc::UnboundedReceiver<Duration>,
}

impl Embedded {
    pub(super) async fn start(component: &Path, options: &Options, data: &Path) -> Result<Self> {
        let path = component.to_owned();
        let node = Node { database: data.join(DATABASE), config: options.config.clone() };
        let component = Arc::new(spawn_blocking(move || LinkedComponent::load(&path, node)).await??);
        let compile = component.compile;
        log!("spin: loaded and compiled the component in {:.0} ms, once for this node", compile.as_secs_f64() * 1000.0);
        let (told, inits) = mpsc::unbounded_channel();
        let used_again = Instances { component: Arc::clone(&component), reuse: Reuse::BY_DEFAULT, inits: None };
        let used_once = Instances { component, reuse: Reuse::NONE, inits: Some(told) };
        let server = Server::start(options.port, used_again, options.log_requests).await?;
        let probe = Server::start(0, used_once, false).await?;
        Ok(Self { server, probe: Mutex::new(Probe { server: probe, inits }) })
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port
    }

    /// Measures one request, from no instance to the first byte. Each request to the probe gets a new instance.
    pub(super) async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        let mut probe = self.probe.lock().await;
        // Drops times of an earlier sample that was given up before it was answered.
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

/// The task that listens, and the signal that stops it.
struct Server {
    port: u16,
    stop: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

impl Server {
    async fn start(port: u16, instances: Instances, log_requests: bool) -> Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, port);
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
        let port = listener.local_addr()?.port();
        let (stop, stopped) = watch::channel(false);
        let answers = Answers { instances: ProxyHandler::new(instances), log_requests };
        let listening = tokio::spawn(listen(listener, Arc::new(answers), stopped));
        Ok(Self { port, stop, listening })
    }

    /// Waits until requests in flight are answered. Connections without a request close at once.
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

async fn listen(listener: TcpListener, answers: Arc<Answers>, stopped: watch::Receiver<bool>) {
    let mut stopping = stopped.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&answers), stopped.clone()));
                }
                // For example, the process is out of file descriptors. Connections that end give some back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            // Ended connections are removed here, so that they don't accumulate.
            Some(_) = connections.join_next() => {}
            () = told_to_stop(&mut stopping) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, answers: Arc<Answers>, mut stopped: watch::Receiver<bool>) {
    let service = service_fn(move |request| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(answers.to(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // An error is the client's fault: it went away, or did not speak HTTP.
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = told_to_stop(&mut stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the host is gone, which is also a reason to stop.
    let _gone = stop.wait_for(|stop| *stop).await;
}

/// Answers requests, and logs a line for each if asked to.
struct Answers {
    instances: ProxyHandler<Instances>,
    log_requests: bool,
}

impl Answers {
    async fn to(&self, request: Request<Incoming>) -> Response<WasiBody> {
        let started = Instant::now();
        let line = self.log_requests.then(|| (request.method().to_string(), request.uri().path().to_owned()));
        let response = self.of_component(request).await.unwrap_or_else(|error| {
            log!("spin: a request failed: {error:#}");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        });
        if let Some((method, path)) = line {
            http::log_request(&method, &path, response.status().as_u16(), started.elapsed());
        }
        response
    }

    async fn of_component(&self, request: Request<Incoming>) -> wasmtime::Result<Response<WasiBody>> {
        let Some(request) = with_authority(request) else { return Ok(empty(StatusCode::BAD_REQUEST)) };
        if !is_utf8(request.headers()) {
            return Ok(empty(StatusCode::INTERNAL_SERVER_ERROR));
        }
        self.instances.handle((), request.map(|body| body.map_err(Error::from).boxed_unsync())).await
    }
}

/// Gives the request the absolute URI that the component sees. Its authority comes from the `Host` header or from the
/// URI. `None` if the authority is missing, malformed or contradictory.
fn with_authority(mut request: Request<Incoming>) -> Option<Request<Incoming>> {
    let host = request.headers().get(HOST).map(|host| Authority::try_from(host.as_bytes()));
    let mut parts = request.uri().clone().into_parts();
    let authority = match (host, parts.authority.take()) {
        (Some(Ok(host)), None) => host,
        (None, Some(authority)) => authority,
        (Some(Ok(host)), Some(authority)) if host == authority => host,
        _ => return None,
    };
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    // `OPTIONS *` has no absolute form and stays unchanged.
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    Some(request)
}

fn is_utf8(headers: &HeaderMap) -> bool {
    headers.values().all(|value| std::str::from_utf8(value.as_bytes()).is_ok())
}

fn empty(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Empty::new().map_err(Error::from).boxed_unsync());
    *response.status_mut() = status;
    response
}
