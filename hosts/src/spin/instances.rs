//! Who answers a request: an instance that is there, or a new one, as wasmtime's handler decides it for Spin.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep_until};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use super::component::{LinkedComponent, State};
use crate::lines::log;

/// How often and how long instances are used.
#[derive(Clone, Copy)]
pub(super) struct Reuse {
    /// Requests in the life of an instance.
    requests: usize,
    /// Requests that one instance has in hand.
    at_once: usize,
    /// How long an instance without a request is kept.
    idle: Duration,
}

impl Reuse {
    /// What `spin up` does unless it is told otherwise.
    pub(super) const BY_DEFAULT: Self = Self { requests: 128, at_once: 16, idle: Duration::from_secs(1) };
    /// Every request is the first of its instance.
    pub(super) const NONE: Self = Self { requests: 1, at_once: 1, ..Self::BY_DEFAULT };
}

/// Instances of one component.
pub(super) struct Instances {
    pub(super) component: Arc<LinkedComponent>,
    pub(super) reuse: Reuse,
    /// Who is told how long each instantiation took.
    pub(super) inits: Option<mpsc::UnboundedSender<Duration>>,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Idling;
    type WorkerState = Reuse;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Idling, Reuse>> {
        let started = Instant::now();
        let (store, service) = self.component.instantiate().await?;
        if let Some(inits) = &self.inits {
            // Nobody listens any more when the host is being stopped.
            let _stopped = inits.send(started.elapsed());
        }
        let expiration = Idling { most: self.reuse.idle, sleep: Box::pin(sleep_until(Instant::now().into())) };
        Ok(Instance { store, proxy: Proxy::P3(service), view: State::http, expiration, state: self.reuse })
    }
}

impl WorkerState for Reuse {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, at_once: usize, requests: usize) -> ShouldAccept {
        if requests >= self.requests {
            ShouldAccept::Never
        } else if at_once >= self.at_once {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    /// Spin sets no request a time limit unless it is told to.
    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, State>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, _store: Store<State>, ended: wasmtime::Result<()>) {
        // A panic has said so itself, and an instance that ends with this process counts as one.
        if let Err(error) = ended
            && error.to_string() != "worker panicked"
        {
            log!("spin: an instance failed: {error:#}");
        }
    }
}

/// Ends an instance that has had no request for too long.
pub(super) struct Idling {
    most: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl WorkerExpiration for Idling {
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>, status: WorkerStatus, since: Instant) -> Poll<()> {
        if status != WorkerStatus::Idle {
            return Poll::Pending;
        }
        let until = (since + self.most).into();
        if self.sleep.deadline() != until {
            self.sleep.as_mut().reset(until);
        }
        ready!(self.sleep.as_mut().poll(context));
        Poll::Ready(())
    }
}
