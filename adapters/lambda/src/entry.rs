//! The life of an execution environment: configured once, then one invocation after the other.

use std::env;
use std::time::{Duration, SystemTime};

use isotherm_core::{Admission, Config, Millis, Plan, Service, Stamp, warming};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::request::Incoming;
use crate::response::BatchAnswer;
use crate::store::Store;
use crate::stream::Batch;
use crate::{queue, response};

/// How long before the invocation's deadline the store is given up: enough to send the answer.
const MARGIN: Duration = Duration::from_millis(250);
/// How long an invocation whose deadline is past may take: cargo-lambda's emulator sends none that means anything.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a function that answers HTTP requests until its environment ends.
pub fn run() -> Result<(), Error> {
    serve(invoke)
}

/// Runs the function that folds events into rollups until its environment ends.
pub fn aggregate() -> Result<(), Error> {
    serve(fold)
}

/// Runs the function that takes in what a queue holds until its environment ends.
pub fn drain() -> Result<(), Error> {
    serve(take_in)
}

/// Runs the function that compacts rollups until its environment ends.
pub fn schedule() -> Result<(), Error> {
    serve(compact)
}

/// Nothing is connected here: what happens before the first invocation is what a cold start costs.
fn serve<Answer: Serialize>(
    handler: impl AsyncFn(&Service, &Store, LambdaEvent<Box<RawValue>>) -> Result<Answer, Error>,
) -> Result<(), Error> {
    let config = Config::parse(&env::var("ISOTHERM_CONFIG").unwrap_or_default())?;
    let service = Service::new(config);
    if let Some(notice) = service.notice() {
        eprintln!("{notice}");
    }
    let store = Store::of_environment();
    // An environment serves one request at a time: more threads would only take time to start.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(lambda_runtime::run(service_fn(|event| handler(&service, &store, event))))
}

async fn invoke(service: &Service, store: &Store, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, Error> {
    let payload = event.payload.get();
    let incoming = match Incoming::read(payload, service.limits().body_bytes) {
        Ok(incoming) => incoming,
        Err(error) => {
            // Rare beside requests, which are read once.
            let warm = warming::answer(payload.as_bytes()).ok_or(error)?;
            return Ok(RawValue::from_string(warm.to_owned())?);
        }
    };
    let stamp = stamp()?;
    let deadline = deadline(&event);
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
        Admission::Plan(Plan::Report(plan)) => {
            let outcome = store.report(&plan, stamp.received_at, deadline).await;
            plan.settle(outcome)
        }
    };
    response::from_reply(reply, incoming.payload)
}

async fn fold(service: &Service, store: &Store, event: LambdaEvent<Box<RawValue>>) -> Result<BatchAnswer, Error> {
    let batch: Batch<'_> = serde_json::from_str(event.payload.get()).map_err(|error| format!("{NO_BATCH}: {error}"))?;
    let failed = store.fold(service, &batch.records(), deadline(&event)).await?;
    Ok(BatchAnswer::new(batch.state, failed))
}

const NO_BATCH: &str = "the event is no batch of a DynamoDB stream from a mapping with a tumbling window";

async fn take_in(service: &Service, store: &Store, event: LambdaEvent<Box<RawValue>>) -> Result<BatchAnswer, Error> {
    let messages = serde_json::from_str(event.payload.get());
    let messages = messages.map_err(|error| format!("the event is no batch of an SQS queue: {error}"))?;
    Ok(queue::drain(service, store, messages, deadline(&event)).await)
}

/// Whatever the event is: a schedule says nothing but that it is time.
async fn compact(service: &Service, store: &Store, event: LambdaEvent<Box<RawValue>>) -> Result<(), Error> {
    Ok(store.compact(service, now()?, deadline(&event)).await?)
}

/// When to stop waiting for the store.
fn deadline(event: &LambdaEvent<Box<RawValue>>) -> Instant {
    let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or(DEFAULT_TIMEOUT);
    Instant::now() + left.saturating_sub(MARGIN)
}

fn stamp() -> Result<Stamp, Error> {
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy)?;
    Ok(Stamp { received_at: now()?, entropy: u128::from_ne_bytes(entropy) })
}

fn now() -> Result<Millis, Error> {
    Ok(Millis(u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?))
}
