//! A proxy that injects faults between a function and DynamoDB.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;

use super::*;

/// The fault of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    KilledBefore,
    KilledAfter,
    FailsBefore,
    Throttled,
    Denied,
    CancelledBefore,
    AnswerIsLost,
}

/// A proxy between a function and DynamoDB.
#[derive(Default)]
pub(crate) struct Proxy {
    folder: std::path::PathBuf,
    /// The operation that faults apply to, and a text that its request must contain.
    operation: &'static str,
    containing: &'static str,
    /// A fault for one request of the operation: the request's number, counted from 0, and the fault.
    pub(crate) fault: Mutex<Option<(usize, Fault)>>,
    /// A fault for all requests of the operation from this number on.
    pub(crate) lasting: Mutex<Option<(usize, Fault)>>,
    /// The number of requests of the operation so far.
    pub(crate) requests: AtomicUsize,
    /// The number of such requests in progress; the next field is its peak.
    under_way: AtomicUsize,
    pub(crate) most_under_way: AtomicUsize,
    /// The body of the last such request.
    pub(crate) last: Mutex<Value>,
}

impl Proxy {
    fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        assert!(std::process::Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    }

    /// Counts a request of the operation. Returns its fault, if it has one.
    fn fault_of(&self, body: &[u8]) -> Option<Fault> {
        *self.last.lock().unwrap() = serde_json::from_slice(body).unwrap();
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let once = self.fault.lock().unwrap().take_if(|(at, _)| *at == number);
        let lasting = self.lasting.lock().unwrap().filter(|(from, _)| *from <= number);
        Some(once.or(lasting)?.1)
    }

    pub(crate) fn endpoint(&self) -> String {
        std::fs::read_to_string(self.folder.join("endpoint")).unwrap().trim().to_owned()
    }

    /// Sends a request to DynamoDB directly.
    pub(crate) async fn dynamodb(&self, operation: &str, body: Value) {
        let target = format!("DynamoDB_20120810.{operation}");
        let signed = "AWS4-HMAC-SHA256 Credential=isotherm/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
        let headers = [
            ("x-amz-target", &*target),
            ("content-type", "application/x-amz-json-1.0"),
            ("authorization", signed),
            ("x-amz-date", "20260101T000000Z"),
        ];
        let answer = send(&self.endpoint(), "POST", "/", &headers, body.to_string()).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
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
        let is_counted = target.ends_with(&format!(".{}", self.operation))
            && String::from_utf8_lossy(&body).contains(self.containing);
        let fault = is_counted.then(|| self.fault_of(&body)).flatten();
        let refuse = |status: u16, kind: &str| {
            let reasons = json!([{ "Code": "TransactionConflict" }]);
            let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
            let body = json!({ "__type": kind, "message": "not this time", "CancellationReasons": reasons });
            Ok(hyper::Response::builder().status(status).body(Full::new(body.to_string().into())).unwrap())
        };
        match fault {
            Some(Fault::KilledBefore) => {
                self.kill();
                return Err("killed");
            }
            Some(Fault::FailsBefore) => return refuse(500, "InternalServerError"),
            Some(Fault::Throttled) => return refuse(400, "ProvisionedThroughputExceededException"),
            Some(Fault::Denied) => return refuse(400, "AccessDeniedException"),
            Some(Fault::CancelledBefore) => return refuse(400, "TransactionCanceledException"),
            _ => {}
        }
        let under_way = self.under_way.fetch_add(usize::from(is_counted), Ordering::SeqCst) + usize::from(is_counted);
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let answer = send(&self.endpoint(), "POST", "/", &headers, body).await;
        self.under_way.fetch_sub(usize::from(is_counted), Ordering::SeqCst);
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

/// An artifact in which one function reaches DynamoDB through a proxy.
pub(crate) async fn behind_a_proxy(function: &str, operation: &'static str) -> (tempfile::TempDir, Arc<Proxy>) {
    behind_a_proxy_for(function, operation, "").await
}

/// Likewise. Faults apply to requests that contain a text.
pub(crate) async fn behind_a_proxy_for(
    function: &str,
    operation: &'static str,
    containing: &'static str,
) -> (tempfile::TempDir, Arc<Proxy>) {
    let artifact = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let script = format!(
        "#!/bin/sh\n\
         if [ $_HANDLER = {function} ]; then\n\
         cd {} && echo $$ >pid && echo $AWS_ENDPOINT_URL_DYNAMODB >endpoint\n\
         export AWS_ENDPOINT_URL_DYNAMODB=http://{}\n\
         fi\n\
         exec {}\n",
        artifact.path().display(),
        listener.local_addr().unwrap(),
        built("release", "lambda").join("bootstrap").canonicalize().unwrap().display(),
    );
    write_bootstrap(artifact.path(), &script);
    let proxy = Arc::new(Proxy { folder: artifact.path().to_owned(), operation, containing, ..Proxy::default() });
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
