//! An HTTP server on 127.0.0.1 for services that functions call.

use std::convert::Infallible;
use std::error::Error;

use anyhow::{Context, Result};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// A socket on a free port.
pub(crate) async fn free_port() -> Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).await.context("no port is free on 127.0.0.1")
}

/// A running server. It stops at once when dropped.
pub(crate) struct Server {
    url: String,
    task: AbortHandle,
}

impl Server {
    /// Starts a server on an open socket, such as the one of [`free_port`].
    pub(crate) fn start<S, B>(listener: TcpListener, service: S) -> Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>, Future: Send>
            + Clone
            + Send
            + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            // Connections must end with the server. They are dropped with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // Without this option the call only gets slower.
                let _unsupported = stream.set_nodelay(true);
                let http = hyper::server::conn::http1::Builder::new();
                // A broken connection is its client's problem.
                connections.spawn(http.serve_connection(TokioIo::new(stream), service.clone()));
                while connections.try_join_next().is_some() {}
            }
            Ok::<(), Infallible>(())
        });
        Ok(Self { url, task: task.abort_handle() })
    }

    /// The endpoint's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
