//! Decides whether an existing or a new instance answers a request, as wasmtime's handler does for Spin.

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

/// How often and how long an instance is used.
#[derive(Clone, Copy)]
pub(super) struct Reuse {
    /// The number of requests in the life of an instance.
    requests: usize,
    /// The number of requests that one instance handles at the same time.
    at_once: usize,
    /// How long an instance without a request is kept.
    idle: Duration,
}

impl Reuse {
    /// The defaults of `spin up`.
    pub(super) const BY_DEFAULT: Self = Self { requests: 128, at_once: 16, idle: Duration::from_secs(1) };
    /// Every request gets a new instance.
    pub(super) const NONE: Self = Self { requests: 1, at_once: 1, ..Self::BY_DEFAULT };
}

/// Instances of one component.
pub(super) struct Instances {
    pub(super) component: Arc<LinkedComponent>,
    pub(super) reuse: Reuse,
    /// Receives the time that each instantiation took.
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
            // Nobody listens any more while the host stops.
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

    /// Waits for ever: by default Spin sets no time limit on a request.
    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, State>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, _store: Store<State>, ended: wasmtime::Result<()>) {
        // A panic has already printed its message. An instance that ends with this process counts as a panic.
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use super::*;

    #[test]
    fn an_instance_takes_128_requests_and_16_at_once() {
        for (at_once, requests, expected) in [
            (0, 0, ShouldAccept::Yes),
            (15, 127, ShouldAccept::Yes),
            (16, 127, ShouldAccept::No),
            (0, 128, ShouldAccept::Never),
            (16, 128, ShouldAccept::Never),
        ] {
            let decision = Reuse::BY_DEFAULT.should_accept_request(at_once, requests);
            let is_as_expected = std::mem::discriminant(&decision) == std::mem::discriminant(&expected);
            assert!(is_as_expected, "{requests} requests, {at_once} at once");
        }
        assert!(matches!(Reuse::NONE.should_accept_request(0, 0), ShouldAccept::Yes));
        assert!(matches!(Reuse::NONE.should_accept_request(0, 1), ShouldAccept::Never));
    }

    #[tokio::test]
    async fn an_instance_ends_after_a_second_without_a_request() {
        let began = Instant::now();
        let mut idling = Idling { most: Reuse::BY_DEFAULT.idle, sleep: Box::pin(sleep_until(began.into())) };
        let long_ago = began.checked_sub(Duration::from_secs(60)).unwrap_or(began);
        let mut nobody = Context::from_waker(Waker::noop());
        for busy in [WorkerStatus::Requests, WorkerStatus::PostReturn] {
            assert!(Pin::new(&mut idling).poll(&mut nobody, busy, long_ago).is_pending());
        }
        poll_fn(|context| Pin::new(&mut idling).poll(context, WorkerStatus::Idle, began)).await;
        let lived = began.elapsed();
        assert!(lived >= Duration::from_secs(1) && lived < Duration::from_secs(5), "{lived:?}");
    }
}
