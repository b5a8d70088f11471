//! API Gateway on this machine: an HTTP API with payload 2.0. Its routes lead to functions, and those under `/queue`
//! into a queue. It also serves Lambda's call to invoke a function, so `aws lambda invoke --endpoint-url …` works here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::environment::Failure;
use super::function::Function;
use super::queues::{EVENTS, NewMessage, Queues};
use super::{Backend, Functions, payload, sqs};
use crate::http::log_request;
use crate::lines::log;

/// The largest request body of an HTTP API: 10 MB.
const BODY_BYTES: usize = 10 * 1024 * 1024;
/// How long an HTTP API waits at most for a request, and for a function.
const INTEGRATION: Duration = Duration::from_secs(30);
/// The function that checks keys for the queue's routes.
const AUTHORIZER: &str = "read";
/// How long requests in flight may take when the gateway stops.
const GRACE: Duration = Duration::from_secs(10);

/// The running gateway. It stops at once when dropped.
pub(crate) struct Gateway {
    port: u16,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Gateway {
    pub(crate) async fn start(port: u16, backend: Arc<Backend>, queues: Queues, log_requests: bool) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{port}: choose another port, or 0 for a free one"))?;
        let port = listener.local_addr()?.port();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, Arc::new((backend, queues)), log_requests, stopped));
        Ok(Self { port, stop, server })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers the requests in flight and ends.
    pub(crate) async fn stop(self) {
        // Both fail only if the server has ended by itself.
        let _ended = self.stop.send(());
        let _ended = self.server.await;
    }
}

/// The targets of the routes.
type Targets = Arc<(Arc<Backend>, Queues)>;

async fn serve(listener: TcpListener, targets: Targets, log_requests: bool, mut stopped: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Usually the process is out of file descriptors. Open connections will close and give some back.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        // Without this option the call only gets slower.
        let _unsupported = stream.set_nodelay(true);
        let targets = Arc::clone(&targets);
        let service = service_fn(move |request| {
            let targets = Arc::clone(&targets);
            async move { Ok::<_, Infallible>(answer(&targets, request, log_requests).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(INTEGRATION)
            .serve_connection(TokioIo::new(stream), service);
        // Errors of a connection are the client's fault, so they are ignored.
        tokio::spawn(graceful.watch(connection));
    }
    drop(listener);
    // Slower requests are cut off.
    let _late = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

async fn answer(targets: &Targets, request: Request<Incoming>, log_requests: bool) -> Response<Full<Bytes>> {
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let mut response = match tokio::time::timeout(INTEGRATION, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => match tokio::time::timeout(INTEGRATION, integrate(targets, &head, body.to_bytes())).await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => {
                log!("{} {}: {failure}", head.method, head.uri.path());
                of_gateway(status(&failure))
            }
            Err(_elapsed) => of_gateway(StatusCode::SERVICE_UNAVAILABLE),
        },
        Ok(Err(error)) if error.is::<LengthLimitError>() => of_gateway(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_broken)) => of_gateway(StatusCode::BAD_REQUEST),
        Err(_elapsed) => of_gateway(StatusCode::REQUEST_TIMEOUT),
    };
    if let Ok(id) = payload::request_id().parse() {
        response.headers_mut().insert("apigw-requestid", id);
    }
    if log_requests {
        log_request(head.method.as_str(), head.uri.path(), response.status().as_u16(), started.elapsed());
    }
    response
}

async fn integrate(targets: &Targets, head: &Parts, body: Bytes) -> Result<Response<Full<Bytes>>, Failure> {
    let (backend, queues) = &**targets;
    if let Some(path) = queued(&head.method, head.uri.path()) {
        if !backend.has("drain") {
            return Ok(of_gateway(StatusCode::NOT_FOUND));
        }
        return Ok(match authorize(backend, head).await? {
            Ok(key) => enqueue(queues, path, key, head, &body).await,
            Err(status) => of_gateway(status),
        });
    }
    let name = route(&head.method, head.uri.path());
    let functions = match &**backend {
        Backend::Functions(functions) => functions,
        Backend::Peer(peer) => return peer.forward(name, head, body).await.map_err(Failure::Host),
    };
    if let Some(function) = invoked(functions, head) {
        return invoke(function, body).await;
    }
    let Some(function) = functions.named(name) else { return Ok(of_gateway(StatusCode::NOT_FOUND)) };
    let event = payload::event(&head.method, &head.uri, &head.headers, &body).map_err(Failure::Host)?;
    let answer = function.invoke(event).await?;
    payload::response(&answer).map_err(|error| Failure::Error(format!("{error:#}")))
}

/// The function that the request invokes directly, if it does.
fn invoked<'f>(functions: &'f Functions, head: &Parts) -> Option<&'f Arc<Function>> {
    let name = head.uri.path().strip_prefix("/2015-03-31/functions/")?.strip_suffix("/invocations")?;
    functions.named(name).filter(|_| head.method == Method::POST)
}

/// Invokes a function directly. An error of the function is a normal answer, marked by a header.
async fn invoke(function: &Arc<Function>, event: Bytes) -> Result<Response<Full<Bytes>>, Failure> {
    match function.invoke(event).await {
        Ok(answer) => Ok(Response::new(Full::new(answer))),
        Err(Failure::Error(error)) => {
            let mut response = Response::new(Full::new(Bytes::from(error)));
            response.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
            Ok(response)
        }
        Err(failure) => Err(failure),
    }
}

/// The routes of the HTTP API, as `deploy/lambda/template.yaml` has them: maps a request to its function. Those below
/// `/token` are missing, because nobody here checks tokens.
pub(crate) fn route(method: &Method, path: &str) -> &'static str {
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| !rest.is_empty());
    match *method {
        Method::POST if below("/import/") => "move",
        Method::GET | Method::HEAD if below("/export/") => "move",
        Method::GET | Method::HEAD => match path {
            "/readyz" | "/metrics" => "report",
            _ if below("/reports/") => "report",
            _ if path.strip_prefix("/events/").is_some_and(|id| !id.is_empty() && !id.contains('/')) => "read",
            _ => "ingest",
        },
        _ => "ingest",
    }
}

/// The path under which `drain` handles a request that goes into the queue. `None` for all other requests.
fn queued(method: &Method, path: &str) -> Option<&'static str> {
    match path {
        "/queue/events" if *method == Method::POST => Some("/events"),
        "/queue/events/batch" if *method == Method::POST => Some("/events/batch"),
        _ => None,
    }
}

/// Asks the authoriser of the queue's routes. Returns what it says about the key, or the status of a refusal. As in API
/// Gateway, it is not asked if the request lacks the `authorization` header.
async fn authorize(backend: &Backend, head: &Parts) -> Result<Result<String, StatusCode>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        is_authorized: bool,
        #[serde(default)]
        context: BTreeMap<String, String>,
    }
    if !head.headers.contains_key(AUTHORIZATION) {
        return Ok(Err(StatusCode::UNAUTHORIZED));
    }
    let event = payload::authorizer_event(&head.method, &head.uri, &head.headers).map_err(Failure::Host)?;
    let answer = match backend {
        Backend::Functions(functions) => match functions.named(AUTHORIZER) {
            Some(function) => function.invoke(event).await?,
            None => return Ok(Err(StatusCode::INTERNAL_SERVER_ERROR)),
        },
        Backend::Peer(peer) => peer.invoke(AUTHORIZER, event).await.map_err(Failure::Host)?,
    };
    let answer: Answer = serde_json::from_slice(&answer).map_err(|error| Failure::Error(error.to_string()))?;
    if !answer.is_authorized {
        return Ok(Err(StatusCode::FORBIDDEN));
    }
    Ok(answer.context.get("key").cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR))
}

/// The direct integration with SQS. The body becomes the message; its attributes are the content type, the path and
/// what the authoriser says about the key. A body that is not text is refused; clients must send it to a function.
async fn enqueue(queues: &Queues, path: &str, key: String, head: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
    let Ok(body) = std::str::from_utf8(body) else { return of_gateway(StatusCode::BAD_REQUEST) };
    let header = |name: &str| Some((name.to_owned(), head.headers.get(name)?.to_str().ok()?.to_owned()));
    let attributes = header("content-type").into_iter();
    let attributes = attributes.chain([("path".to_owned(), path.to_owned()), ("key".to_owned(), key)]).collect();
    sqs::integrate(queues, EVENTS, NewMessage { body: body.to_owned(), attributes }).await
}

/// The status with which an HTTP API answers when its function fails.
fn status(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Throttled => StatusCode::SERVICE_UNAVAILABLE,
        Failure::EventTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Failure::Init(_)
        | Failure::Exited(_)
        | Failure::TimedOut(_)
        | Failure::Error(_)
        | Failure::ResponseTooLarge
        | Failure::Host(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An answer of API Gateway itself.
fn of_gateway(status: StatusCode) -> Response<Full<Bytes>> {
    let message = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        status => status.canonical_reason().unwrap_or_default(),
    };
    let body = format!(r#"{{"message":"{message}"}}"#);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const TEMPLATE: &str = include_str!("../../../deploy/lambda/template.yaml");
    const FUNCTION: &str = "#/components/x-amazon-apigateway-integrations/";

    /// The template's routes that lead to functions without a token, as method, path and function.
    fn of_template() -> Vec<(&'static str, &'static str, &'static str)> {
        let paths =
            TEMPLATE.lines().skip_while(|line| line.trim() != "paths:").take_while(|line| line.trim() != "components:");
        let (mut path, mut method, mut routes) = ("", "", Vec::new());
        for line in paths {
            let text = line.trim();
            match (line.len() - line.trim_start().len(), text.strip_suffix(':')) {
                (10, Some(name)) => path = name,
                (12, Some(name)) => method = name,
                (14, None) => {
                    let function = text.split_once(FUNCTION).and_then(|(_, rest)| rest.strip_suffix("\" }"));
                    routes.extend(function.map(|function| (method, path, function)));
                }
                _ => {}
            }
        }
        routes
    }

    /// A path of one part takes `{…}`, and a path of any parts takes `{proxy+}`.
    fn example(path: &str) -> String {
        path.replace("{proxy+}", "a/b").replace("{eventId}", "evt_1")
    }

    #[test]
    fn the_routes_are_those_of_the_template() {
        let routes = of_template();
        let known: BTreeMap<_, _> = routes.iter().map(|&(method, path, function)| ((method, path), function)).collect();
        assert_eq!((known.len(), known[&("x-amazon-apigateway-any-method", "/$default")]), (15, "ingest"));
        for (method, path, function) in routes.into_iter().filter(|(_, path, _)| *path != "/$default") {
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            assert_eq!(route(&method, &example(path)), function, "{method} {path}");
        }
    }

    /// A busy dashboard uses up the rate and the concurrency of reports.
    #[test]
    fn what_pages_need_to_send_events_waits_for_no_report() {
        for (method, path) in [
            (Method::OPTIONS, "/events"),
            (Method::OPTIONS, "/events/batch"),
            (Method::OPTIONS, "/v1/batch"),
            (Method::GET, "/i.js"),
            (Method::GET, "/v1/projects/pk_1/settings"),
            (Method::GET, "/sourceConfig/"),
            (Method::GET, "/sourceConfig"),
            (Method::GET, "/array/pk_1/config.js"),
            (Method::GET, "/array/pk_1/config"),
            (Method::POST, "/flags/"),
            (Method::POST, "/flags"),
        ] {
            assert_eq!(route(&method, path), "ingest", "{method} {path}");
        }
    }
}
