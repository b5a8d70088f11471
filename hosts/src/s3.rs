//! S3 on this machine: s3s-fs, which keeps objects as files, served over HTTP.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::sync::Mutex;

use crate::meters::count::files;
use crate::server::{Server, free_port};

/// The folder of the raw backup's bucket, below the data folder.
pub(crate) const BACKUP: &str = "backup";
/// The bucket for the backup.
pub(crate) const BUCKET: &str = "events";
/// Name and secret of the only account.
pub(crate) const CREDENTIAL: &str = "isotherm";

/// A running S3. It stops at once when dropped.
pub(crate) struct S3 {
    server: Server,
    requests: Arc<Requests>,
}

/// Requests so far, as they are billed. Deletions are free.
#[derive(Debug, Default)]
struct Requests {
    /// PUT, POST and lists: class A, as R2 calls it.
    writes: AtomicU64,
    /// GET and HEAD of an object: class B.
    reads: AtomicU64,
}

/// Serves the bucket, which is a folder in `root`.
pub(crate) async fn start(root: &Path, bucket: &str) -> Result<S3> {
    std::fs::create_dir_all(root.join(bucket)).with_context(|| format!("cannot make {}", root.display()))?;
    let files = FileSystem::new(root).map_err(|error| anyhow!("cannot use {}: {error:?}", root.display()))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(CREDENTIAL, CREDENTIAL));
    let service = service.build();
    let requests = Arc::new(Requests::default());
    let counts = Arc::clone(&requests);
    // s3s-fs looks at a condition before it writes. In S3 both are one step, so here one request writes at a time.
    let writer = Arc::new(Mutex::new(()));
    let answer = move |request: Request<Incoming>| {
        let (service, writer, counts) = (service.clone(), Arc::clone(&writer), Arc::clone(&counts));
        async move {
            counts.count(&request);
            let _writer = match *request.method() {
                Method::GET | Method::HEAD => None,
                _ => Some(writer.lock().await),
            };
            service.call(request.map(s3s::Body::from)).await
        }
    };
    Ok(S3 { server: Server::start(free_port().await?, service_fn(answer))?, requests })
}

impl S3 {
    /// The endpoint's URL.
    pub(crate) fn url(&self) -> &str {
        self.server.url()
    }

    /// Writes and reads so far, as they are billed.
    pub(crate) fn requests(&self) -> [u64; 2] {
        [&self.requests.writes, &self.requests.reads].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Requests {
    fn count(&self, request: &Request<Incoming>) {
        let lists = request.uri().query().is_some_and(|query| query.contains("list-type"));
        match *request.method() {
            Method::DELETE => {}
            Method::GET | Method::HEAD if !lists => _ = self.reads.fetch_add(1, Ordering::Relaxed),
            _ => _ = self.writes.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// The number of objects in the bucket, and their bytes. s3s-fs keeps its own files outside the buckets' folders.
pub(crate) fn objects(root: &Path, bucket: &str) -> Result<(u64, u64)> {
    files(&root.join(bucket))
}
