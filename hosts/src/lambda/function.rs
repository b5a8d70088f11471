//! One function. Decides which of its environments a request gets, and when a new one starts.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::environment::{Environment, Failure, Launch, Logs};
use super::target::EVENT_BYTES;
use crate::Usage;
use crate::meters::Invocations;

/// How long invocations in progress may take when the host stops. The gateway has waited for them already.
const GRACE: Duration = Duration::from_secs(1);

/// A function and its environments.
pub(crate) struct Function {
    launch: Launch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Frozen environments. The last used is at the end and taken first, so that the others are reclaimed.
    idle: Vec<(Box<Environment>, Instant)>,
    /// The number of all environments: starting, busy, finishing and idle.
    environments: usize,
    /// The number of environments that have answered but not yet asked for the next invocation.
    finishing: usize,
    /// Requests that wait for an environment, in order.
    waiting: VecDeque<oneshot::Sender<Grant>>,
    /// The process ids of all environments.
    processes: BTreeSet<u32>,
    /// CPU time of ended environments, and the peak of the memory of all environments together.
    used: Usage,
    /// Invocations with an answer, and their total time.
    answered: (u64, Duration),
    stopped: bool,
}

/// The answer to a waiting request.
enum Grant {
    /// A ready environment.
    Ready(Box<Environment>),
    /// Permission to start an environment.
    Start,
}

impl Function {
    pub(crate) fn new(launch: Launch) -> Arc<Self> {
        let idle = launch.limits.idle;
        let function = Arc::new(Self { launch, state: Mutex::default() });
        tokio::spawn(reclaim(Arc::downgrade(&function), idle));
        function
    }

    /// The settings with which its environments start.
    pub(crate) fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Invokes the function. As on Lambda, the invocation continues even if nobody waits for its result any more.
    pub(crate) async fn invoke(self: &Arc<Self>, event: Bytes) -> Result<Bytes, Failure> {
        let this = Arc::clone(self);
        let invocation = tokio::spawn(async move { this.run(event).await });
        invocation.await.unwrap_or_else(|error| Err(Failure::Host(error.into())))
    }

    async fn run(self: Arc<Self>, event: Bytes) -> Result<Bytes, Failure> {
        if event.len() > EVENT_BYTES {
            return Err(Failure::EventTooLarge);
        }
        let mut environment = match self.acquire().await? {
            Grant::Ready(environment) => environment,
            Grant::Start => match Environment::start(&self.launch, Logs::Shown).await {
                Ok((environment, _init)) => {
                    self.state().processes.extend(environment.pid());
                    environment
                }
                Err(error) => {
                    self.vacate();
                    return Err(Failure::Init(error));
                }
            },
        };
        let started = Instant::now();
        let result = environment.invoke(event).await;
        {
            let mut state = self.state();
            state.answered.0 += 1;
            state.answered.1 += started.elapsed();
        }
        if result.as_ref().is_err_and(Failure::is_final) {
            self.end(environment).await;
        } else {
            self.state().finishing += 1;
            tokio::spawn(async move { self.finish(environment).await });
        }
        result
    }

    /// Takes an idle environment. If there is none, waits for one that is finishing; otherwise starts a new one. At the
    /// limit, takes whatever becomes free first.
    async fn acquire(&self) -> Result<Grant, Failure> {
        let mut granted = {
            let mut state = self.state();
            if let Some((environment, _)) = state.idle.pop() {
                return Ok(Grant::Ready(environment));
            }
            // An environment that has answered is back within microseconds. On Lambda, its client is not that fast.
            let soon = state.finishing > state.waiting.len();
            if !soon && state.environments < self.launch.limits.concurrency {
                state.environments += 1;
                return Ok(Grant::Start);
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.push_back(grant);
            granted
        };
        match tokio::time::timeout(self.launch.limits.queue, &mut granted).await {
            Ok(granted) => granted.ok(),
            Err(_elapsed) => {
                // The grant may arrive at this very moment.
                granted.close();
                granted.try_recv().ok()
            }
        }
        .ok_or(Failure::Throttled)
    }

    /// Runs after an answer. The environment is free once its process asks for the next invocation.
    async fn finish(&self, mut environment: Box<Environment>) {
        let ready = tokio::time::timeout(self.launch.limits.timeout, environment.ready()).await;
        self.state().finishing -= 1;
        if !matches!(ready, Ok(Ok(_))) {
            self.end(environment).await;
            return;
        }
        if let Err(unwanted) = self.hand_on(environment) {
            self.end(unwanted).await;
        }
    }

    /// Gives a ready environment to the first waiting request, or freezes it. Gives it back if the host has stopped.
    fn hand_on(&self, mut environment: Box<Environment>) -> Result<(), Box<Environment>> {
        let mut state = self.state();
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting.send(Grant::Ready(environment)) {
                Err(Grant::Ready(unsent)) => environment = unsent, // that request has given up
                Ok(()) | Err(Grant::Start) => return Ok(()),
            }
        }
        if state.stopped {
            return Err(environment);
        }
        environment.freeze();
        state.idle.push((environment, Instant::now()));
        Ok(())
    }

    async fn end(&self, environment: Box<Environment>) {
        self.state().measure();
        let pid = environment.pid();
        let used = environment.end().await;
        {
            let mut state = self.state();
            state.used.cpu += used.cpu;
            if let Some(pid) = pid {
                state.processes.remove(&pid);
            }
        }
        self.vacate();
    }

    /// Frees the place of an environment. The first waiting request may then start another.
    fn vacate(&self) {
        let mut state = self.state();
        while let Some(waiting) = state.waiting.pop_front() {
            if waiting.send(Grant::Start).is_ok() {
                return;
            }
        }
        state.environments -= 1;
    }

    /// CPU time of all environments so far, and their peak memory. The latter is the sum of the peaks of environments
    /// that ran at the same time.
    pub(crate) fn usage(&self) -> Usage {
        let mut state = self.state();
        let cpu = state.measure();
        Usage { cpu: state.used.cpu + cpu, ..state.used }
    }

    /// The invocations so far, as Lambda bills them.
    pub(crate) fn invocations(&self) -> Invocations {
        let cpu = self.usage().cpu;
        let (count, wall) = self.state().answered;
        Invocations { count, cpu, wall }
    }

    /// Ends every environment. Busy ones get [`GRACE`] first.
    pub(crate) async fn stop(&self) {
        self.state().stopped = true;
        let started = Instant::now();
        loop {
            let (idle, left) = {
                let mut state = self.state();
                (std::mem::take(&mut state.idle), state.environments)
            };
            if left == 0 || started.elapsed() > GRACE {
                // Environments that are still busy are killed when the runtime drops their tasks.
                return;
            }
            for (environment, _) in idle {
                self.end(environment).await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change of the state is interrupted by a panic, so a poisoned lock is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Updates the peak memory from the current environments. Returns their CPU time.
    fn measure(&mut self) -> Duration {
        let usages: Vec<Usage> = self.processes.iter().filter_map(|&pid| Usage::of(pid)).collect();
        let memory = usages.iter().map(|usage| usage.peak_rss_bytes).sum();
        self.used.peak_rss_bytes = self.used.peak_rss_bytes.max(memory);
        usages.iter().map(|usage| usage.cpu).sum()
    }
}

/// Ends environments that have been idle for longer than `limit`.
async fn reclaim(function: Weak<Function>, limit: Duration) {
    loop {
        tokio::time::sleep(limit / 4).await;
        let Some(function) = function.upgrade() else { return };
        let stale: Vec<_> = {
            let mut state = function.state();
            state.idle.extract_if(.., |(_, since)| since.elapsed() > limit).collect()
        };
        for (environment, _) in stale {
            function.end(environment).await;
        }
    }
}
