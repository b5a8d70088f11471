//! What stands before a cluster: each connection goes to the next instance that accepts it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// The ports of the instances.
pub(super) type Ports = Arc<Mutex<Vec<u16>>>;

/// A running balancer. It ends its connections and stops when dropped.
pub(super) struct Balancer {
    pub(super) port: u16,
    task: AbortHandle,
}

impl Balancer {
    /// Listens on `port`; 0 takes a free one.
    pub(super) async fn start(port: u16, instances: Ports) -> Result<Self> {
        let listener =
            TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("cannot use port {port}"))?;
        let port = listener.local_addr()?.port();
        let next = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connect(client, Arc::clone(&instances), next.fetch_add(1, Ordering::Relaxed)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, task: task.abort_handle() })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects a client to the instance at `first`, or else to the next one that accepts it. Without any, its connection is
/// closed.
async fn connect(mut client: TcpStream, instances: Ports, first: usize) {
    let ports = instances.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for at in 0..ports.len() {
        let Ok(mut instance) = TcpStream::connect(("127.0.0.1", ports[(first + at) % ports.len()])).await else {
            continue;
        };
        for stream in [&client, &instance] {
            // Without this option answers only get slower.
            let _unsupported = stream.set_nodelay(true);
        }
        // A connection that breaks is for its two ends to notice.
        let _broken = tokio::io::copy_bidirectional(&mut client, &mut instance).await;
        return;
    }
}
