//! Requests and maintenance that run at once. They are futures, polled in an order that the seed decides, and dropped
//! when their process ends.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Work that ends together: a server, an object or an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(pub(crate) usize);

type Work = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static RUNNING: Cell<Process> = const { Cell::new(Process(0)) };
    static SPAWNED: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
}

/// The process whose work is being polled.
pub(crate) fn running() -> Process {
    RUNNING.get()
}

/// Starts more work in the process that is being polled, beside its current work.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
    SPAWNED.with_borrow_mut(|spawned| spawned.push(Box::pin(work)));
}

/// All running work, each with its process.
pub(crate) struct Fibers {
    running: Vec<(Process, Work)>,
}

impl Fibers {
    pub(crate) fn new() -> Self {
        // A run that panicked on this thread may have left work behind.
        drop(SPAWNED.take());
        Self { running: Vec::new() }
    }

    pub(crate) fn start(&mut self, process: Process, work: impl Future<Output = ()> + 'static) {
        self.running.push((process, Box::pin(work)));
    }

    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// The process of the work at this index.
    pub(crate) fn process(&self, index: usize) -> Option<Process> {
        self.running.get(index).map(|(process, _)| *process)
    }

    /// Polls the work at this index up to its next pause, or to its end.
    pub(crate) fn go_on(&mut self, index: usize) {
        let Some((process, work)) = self.running.get_mut(index) else { return };
        let process = *process;
        RUNNING.set(process);
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            drop(self.running.swap_remove(index));
        }
        self.running.extend(SPAWNED.take().into_iter().map(|work| (process, work)));
    }

    /// Ends a process: its work stops where it stands.
    pub(crate) fn end(&mut self, process: Process) {
        self.running.retain(|(of, _)| *of != process);
    }
}

/// A point where others may have their turn, and where a process may end.
pub(crate) async fn pause() {
    let mut has_paused = false;
    poll_fn(|_| if std::mem::replace(&mut has_paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Polls `found` until it returns a value.
pub(crate) async fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    poll_fn(|_| found().map_or(Poll::Pending, Poll::Ready)).await
}
