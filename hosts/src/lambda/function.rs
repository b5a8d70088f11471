//! One function: which of its environments a request gets, and when there is a new one.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::environment::{Environment, Failure, Launch, Logs};
use super::target::EVENT_BYTES;
use crate::Usage;
use crate::meters::Invocations;

/// Time for the invocations under way when the host stops. The gateway has waited for them already.
const GRACE: Duration = Duration::from_secs(1);

/// A function and its environments.
pub(crate) struct Function {
    launch: Launch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Frozen, the one used last at the end: it is taken first, so that the others are reclaimed.
    idle: Vec<(Box<Environment>, Instant)>,
    /// All there are: starting, busy, finishing, idle.
    environments: usize,
    /// Those that have answered, and have not yet asked for the next invocation.
    finishing: usize,
    /// Requests that wait for an environment, in order.
    waiting: VecDeque<oneshot::Sender<Grant>>,
    /// The processes of all environments.
    processes: BTreeSet<u32>,
    /// CPU time of those that ended, and the most memory that environments had at once.
    used: Usage,
    /// Invocations that were answered, and how long they took in all.
    answered: (u64, Duration),
    stopped: bool,
}

/// What a waiting request gets.
enum Grant {
    /// A ready environment.
    Ready(Box<Environment>),
    /// The right to start one.
    Start,
}

impl Function {
    pub(crate) fn new(launch: Launch) -> Arc<Self> {
        let idle = launch.limits.idle;
        let function = Arc::new(Self { launch, state: Mutex::default() });
        tokio::spawn(reclaim(Arc::downgrade(&function), idle));
        function
    }

    /// How its environments are started.
    pub(crate) fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Invokes the function. The invocation goes on when nobody waits for its result any more, as on Lambda.
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

    /// An idle environment; else the next that finishes, when there is one; else a new one; at the limit, whatever comes first.
    async fn acquire(&self) -> Result<Grant, Failure> {
        let mut granted = {
            let mut state = self.state();
            if let Some((environment, _)) = state.idle.pop() {
                return Ok(Grant::Ready(environment));
            }
            // One that has answered is back within microseconds: on Lambda its client is not that fast.
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
                // It may come in this very moment.
                granted.close();
                granted.try_recv().ok()
            }
        }
        .ok_or(Failure::Throttled)
    }

    /// After an answer: the environment is free when its process asks for the next invocation.
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

    /// Gives a ready environment to the first request that waits, else freezes it; back when the host has stopped.
    fn hand_on(&self, mut environment: Box<Environment>) -> Result<(), Box<Environment>> {
        let mut state = self.state();
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting.send(Grant::Ready(environment)) {
                Err(Grant::Ready(unsent)) => environment = unsent, // nobody waits there any more
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

    /// The place of an environment is free: the first that waits may start another.
    fn vacate(&self) {
        let mut state = self.state();
        while let Some(waiting) = state.waiting.pop_front() {
            if waiting.send(Grant::Start).is_ok() {
                return;
            }
        }
        state.environments -= 1;
    }

    /// CPU time of all environments so far, and the most memory they had at once: the sum of the peaks of those that lived together.
    pub(crate) fn usage(&self) -> Usage {
        let mut state = self.state();
        let cpu = state.measure();
        Usage { cpu: state.used.cpu + cpu, ..state.used }
    }

    /// Its invocations so far, as Lambda bills them.
    pub(crate) fn invocations(&self) -> Invocations {
        let cpu = self.usage().cpu;
        let (count, wall) = self.state().answered;
        Invocations { count, cpu, wall }
    }

    /// Ends every environment, busy ones after a moment.
    pub(crate) async fn stop(&self) {
        self.state().stopped = true;
        let started = Instant::now();
        loop {
            let (idle, left) = {
                let mut state = self.state();
                (std::mem::take(&mut state.idle), state.environments)
            };
            if left == 0 || started.elapsed() > GRACE {
                // What is still busy is killed when its task is dropped, with the runtime.
                return;
            }
            for (environment, _) in idle {
                self.end(environment).await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete when a panic could happen.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes the memory of the environments that there are, and gives their CPU time.
    fn measure(&mut self) -> Duration {
        let usages: Vec<Usage> = self.processes.iter().filter_map(|&pid| Usage::of(pid)).collect();
        let memory = usages.iter().map(|usage| usage.peak_rss_bytes).sum();
        self.used.peak_rss_bytes = self.used.peak_rss_bytes.max(memory);
        usages.iter().map(|usage| usage.cpu).sum()
    }
}

/// Ends environments that had nothing to do for `limit`.
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
