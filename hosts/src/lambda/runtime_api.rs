//! The Runtime API (2018-06-01) of one environment. Its process gets invocations there and answers them.
//!
//! On Lambda, every environment finds it at the same address in its own network. Here each has its own port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// The largest response to a synchronous invocation: 6 MB. Lambda allows slightly more.
const RESPONSE_BYTES: usize = 6 * 1024 * 1024 + 100;
const PREFIX: &str = "/2018-06-01/runtime/";

/// One invocation to be handed to the process.
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    pub(crate) event: Bytes,
    pub(crate) deadline_ms: u128,
    pub(crate) arn: String,
    pub(crate) trace: String,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The process's answer to an invocation.
pub(crate) enum Answer {
    /// The result.
    Response(Bytes),
    /// The function returned an error.
    Error(String),
    /// The result is over Lambda's limit.
    TooLarge,
}

/// A message of the process about itself.
pub(crate) enum Signal {
    /// It asked for the next invocation at this time.
    Next(Instant),
    /// It can't start; the text says why.
    InitError(String),
}

/// A running Runtime API. It ends when dropped.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    invocations: mpsc::Sender<Invocation>,
    signals: mpsc::UnboundedReceiver<Signal>,
    server: AbortHandle,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port is free on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let (invocations, next) = mpsc::channel(1);
        let (signal, signals) = mpsc::unbounded_channel();
        let exchange = Arc::new(Exchange { next: tokio::sync::Mutex::new(next), signal, current: Mutex::new(None) });
        let server = tokio::spawn(serve(listener, exchange)).abort_handle();
        Ok(Self { address, invocations, signals, server })
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next message of the process; `None` if the API has ended.
    pub(crate) async fn signal(&mut self) -> Option<Signal> {
        self.signals.recv().await
    }

    /// Hands an invocation to the process, which gets it once it asks for one.
    pub(crate) async fn hand_over(&self, invocation: Invocation) -> Result<()> {
        self.invocations.send(invocation).await.ok().context("the Runtime API of this environment has ended")
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The state that the connections of one environment share.
struct Exchange {
    next: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    signal: mpsc::UnboundedSender<Signal>,
    /// The request id of the invocation in progress, and the receiver of its answer.
    current: Mutex<Option<(String, oneshot::Sender<Answer>)>>,
}

async fn serve(listener: TcpListener, exchange: Arc<Exchange>) {
    // Connections must live as long as the environment. They are dropped with this task.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Without this option the call only gets slower.
        let _unsupported = stream.set_nodelay(true);
        let exchange = Arc::clone(&exchange);
        let service = service_fn(move |request| {
            let exchange = Arc::clone(&exchange);
            async move { Ok::<_, Infallible>(exchange.call(request).await) }
        });
        // A broken connection is the process's problem: it asks again, or it has ended.
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Exchange {
    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Some(path) = head.uri.path().strip_prefix(PREFIX) else {
            return refusal(StatusCode::NOT_FOUND, "NotFound", "no such path in the Runtime API 2018-06-01");
        };
        let mut parts = path.split('/');
        let (first, second, third, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
        match (&head.method, first, second, third, rest) {
            (&Method::GET, Some("invocation"), Some("next"), None, None) => self.next().await,
            (&Method::POST, Some("invocation"), Some(id), Some("response"), None) => self.response(id, body).await,
            (&Method::POST, Some("invocation"), Some(id), Some("error"), None) => {
                let message = error_message(body).await;
                self.answer(id, Answer::Error(message), StatusCode::ACCEPTED)
            }
            (&Method::POST, Some("init"), Some("error"), None, None) => {
                let message = error_message(body).await;
                // The receiver ends with the environment, and so does this server.
                let _gone = self.signal.send(Signal::InitError(message));
                accepted()
            }
            _ => refusal(StatusCode::NOT_FOUND, "NotFound", "no such path in the Runtime API 2018-06-01"),
        }
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        let _gone = self.signal.send(Signal::Next(Instant::now()));
        let Some(invocation) = self.next.lock().await.recv().await else {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "the environment is being ended");
        };
        let Invocation { request_id, event, deadline_ms, arn, trace, answer } = invocation;
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &request_id)
            .header("lambda-runtime-deadline-ms", deadline_ms.to_string())
            .header("lambda-runtime-invoked-function-arn", arn)
            .header("lambda-runtime-trace-id", trace)
            .body(Full::new(event));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((request_id, answer));
        response.unwrap_or_else(|error| {
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", &format!("bad invocation: {error}"))
        })
    }

    /// Collects the whole response, buffered or streamed, because API Gateway passes nothing on before the end.
    async fn response(&self, id: &str, body: Incoming) -> Response<Full<Bytes>> {
        match whole(body).await {
            Ok(Some(body)) => self.answer(id, Answer::Response(body), StatusCode::ACCEPTED),
            Ok(None) => self.answer(id, Answer::TooLarge, StatusCode::PAYLOAD_TOO_LARGE),
            Err(error) => refusal(StatusCode::BAD_REQUEST, "InvalidRequest", &error.to_string()),
        }
    }

    fn answer(&self, id: &str, answer: Answer, status: StatusCode) -> Response<Full<Bytes>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(current, _)| current == id);
        let Some((_, waiting)) = current else {
            return refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "not the invocation that is under way");
        };
        // The waiting side may have given up at the deadline.
        let _gave_up = waiting.send(answer);
        match status {
            StatusCode::ACCEPTED => accepted(),
            status => refusal(status, "RequestEntityTooLarge", "the response is over 6 MB"),
        }
    }
}

/// Reads a body; `None` if it is over [`RESPONSE_BYTES`]. A larger body is still read to its end, so that its
/// connection stays usable.
async fn whole(mut body: Incoming) -> Result<Option<Bytes>, hyper::Error> {
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len();
        if length <= RESPONSE_BYTES {
            bytes.extend_from_slice(&data);
        }
    }
    Ok((length <= RESPONSE_BYTES).then(|| bytes.into()))
}

/// Formats a posted error as `errorType: errorMessage`.
async fn error_message(body: Incoming) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Posted {
        error_type: String,
        error_message: String,
    }
    let body = whole(body).await.ok().flatten().unwrap_or_default();
    let Posted { error_type, error_message } = serde_json::from_slice(&body).unwrap_or_default();
    format!("{error_type}: {error_message}")
}

fn accepted() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}\n")));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn refusal(status: StatusCode, error_type: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "errorType": error_type, "errorMessage": message }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
