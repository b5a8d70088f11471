//! The life of an execution environment: configured once, then one invocation after the other.

use std::env;
use std::time::{Duration, SystemTime};

use isotherm_core::{Admission, Config, Millis, Plan, ReportOutcome, Service, Stamp, warming};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::request::Incoming;
use crate::response::Answer;
use crate::store::Store;

/// How long before the invocation's deadline the store is given up: enough to send the answer.
const MARGIN: Duration = Duration::from_millis(250);
/// How long an invocation whose deadline is past may take: cargo-lambda's emulator sends none that means anything.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the function until its environment ends.
///
/// Nothing is connected here: what happens before the first invocation is what a cold start costs.
pub fn run() -> Result<(), Error> {
    let config = Config::parse(&env::var("ISOTHERM_CONFIG").unwrap_or_default())?;
    let service = Service::new(config);
    if let Some(notice) = service.notice() {
        eprintln!("{notice}");
    }
    let store = Store::of_environment();
    // An environment serves one request at a time: more threads would only take time to start.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(lambda_runtime::run(service_fn(|event| invoke(&service, &store, event))))
}

async fn invoke(service: &Service, store: &Store, event: LambdaEvent<Box<RawValue>>) -> Result<Answer, Error> {
    let payload = event.payload.get();
    if let Some(warm) = warming::answer(payload.as_bytes()) {
        return Ok(Answer::Warm(serde_json::from_str(warm)?));
    }
    let incoming = Incoming::read(payload, service.limits().body_bytes)?;
    let stamp = stamp()?;
    let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or(DEFAULT_TIMEOUT);
    let deadline = Instant::now() + left.saturating_sub(MARGIN);
    let reply = match service.admit(&incoming.request(), stamp) {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Store(plan)) => {
            let outcomes = store.keep(plan.tenant(), plan.events(), stamp.entropy, deadline).await;
            plan.settle(outcomes)
        }
        Admission::Plan(Plan::Find(plan)) => {
            let outcome = store.find(plan.tenant(), plan.id(), deadline).await;
            plan.settle(outcome)
        }
        Admission::Plan(Plan::Report(plan)) => plan.settle(ReportOutcome::Later),
    };
    Ok(Answer::http(reply, incoming.payload))
}

fn stamp() -> Result<Stamp, Error> {
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Stamp { received_at: Millis(u64::try_from(now.as_millis())?), entropy: u128::from_ne_bytes(entropy) })
}
