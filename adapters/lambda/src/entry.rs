//! The life of an execution environment: it is configured once, then serves one invocation after another.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use aws_lambda_events::sqs::SqsBatchResponse;
use isotherm_core::{
    Admission, ExportOutcome, FindOutcome, Plan, ReportOutcome, ReportReply, RequestId, Service, warming,
};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::{Instant, timeout_at};

use crate::config::Configured;
use crate::failure::{Failure, InvalidEvent, flaw};
use crate::request::{Incoming, now, stamp};
use crate::store::Store;
use crate::{authorizer, config, lost, queue, response, stream, watch};

/// The store is given up this long before the invocation's deadline, which leaves time to send the answer.
const MARGIN: Duration = Duration::from_millis(250);
/// How long an invocation may take whose deadline is past: cargo-lambda's emulator sends no meaningful deadline.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the function that the handler names until its environment ends.
///
/// # Errors
/// No function has this name.
pub fn run() -> Result<(), Error> {
    let handler = std::env::var("_HANDLER").unwrap_or_default();
    let function = function(&handler).ok_or_else(|| {
        format!("the handler is {handler:?}; it must be ingest, drain, aggregate, read, report, schedule or move")
    })?;
    function()
}

fn function(handler: &str) -> Option<fn() -> Result<(), Error>> {
    match handler {
        "ingest" | "read" | "report" | "move" => Some(answer),
        "aggregate" => Some(aggregate),
        "drain" => Some(drain),
        "schedule" => Some(schedule),
        _ => None,
    }
}

fn answer() -> Result<(), Error> {
    let prefix = std::env::var("ISOTHERM_PATH_PREFIX").unwrap_or_default();
    serve(InvalidEvent("the event is no JSON"), async |service, store, event, deadline| {
        invoke(service, store, event, deadline, &prefix).await
    })
}

fn aggregate() -> Result<(), Error> {
    let expected = "the event is no batch of a DynamoDB stream from a mapping with a tumbling window";
    serve(InvalidEvent(expected), stream::fold)
}

fn drain() -> Result<(), Error> {
    serve(InvalidEvent("the event is no batch of an SQS queue"), queue::drain)
}

fn schedule() -> Result<(), Error> {
    serve(InvalidEvent("the event is no JSON"), maintenance)
}

/// Hands each event to a handler that gives up the store at the deadline. `unexpected` is the error for any other
/// event.
///
/// Nothing connects here: work before the first invocation adds to the cold start.
fn serve<Event: DeserializeOwned, Answer: Serialize>(
    unexpected: InvalidEvent,
    handler: impl AsyncFn(&Service, &Store, Event, Instant) -> Result<Answer>,
) -> Result<(), Error> {
    let (configured, store) = (OnceLock::new(), Store::of_environment());
    let handle = async |LambdaEvent { payload, context }: LambdaEvent<Box<RawValue>>| {
        let event = serde_json::from_str(payload.get()).map_err(|error| flaw(&error).context(unexpected))?;
        let left = context.deadline().duration_since(SystemTime::now()).unwrap_or(DEFAULT_TIMEOUT);
        let deadline = Instant::now() + left.saturating_sub(MARGIN);
        let closed;
        let service = match configured.get() {
            Some(service) => service,
            None => {
                let Configured { service, is_deployed } = configure(deadline).await;
                service.notice().iter().for_each(|notice| eprintln!("{notice}"));
                if service.is_final(is_deployed) {
                    configured.get_or_init(|| service)
                } else {
                    // The service is closed for this invocation only: the next one asks again.
                    closed = service;
                    &closed
                }
            }
        };
        handler(service, &store, event, deadline).await.map_err(Failure::from)
    };
    // An environment serves one request at a time, so more threads would only take time to start.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(lambda_runtime::run(service_fn(handle)))
}

/// Makes the service, until the deadline.
async fn configure(deadline: Instant) -> Configured {
    let configured = timeout_at(deadline, config::service()).await.map_err(anyhow::Error::from).flatten();
    configured
        .unwrap_or_else(|error| Configured { service: Service::unread(format_args!("{error:#}")), is_deployed: false })
}

async fn invoke(
    service: &Service,
    store: &Store,
    event: Box<RawValue>,
    deadline: Instant,
    prefix: &str,
) -> Result<Box<RawValue>> {
    let incoming = match Incoming::read(event.get(), prefix) {
        Ok(incoming) => incoming,
        Err(error) => {
            // These events are rare. Trying requests first means that a request is read only once.
            if let Some(warm) = warming::answer(event.get().as_bytes()) {
                return Ok(RawValue::from_string(warm.to_owned())?);
            }
            let answer = authorizer::answer(service, event.get(), now()?)?.ok_or(error)?;
            return Ok(to_raw_value(&answer)?);
        }
    };
    let (stamp, began) = (stamp()?, Instant::now());
    let mut reply = match incoming.admit(service, stamp) {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Store(mut plan)) => {
            let outcomes =
                if store.takes(&mut plan) { store.keep(&plan, stamp.entropy, deadline).await } else { Vec::new() };
            plan.respond(outcomes)
        }
        Admission::Plan(Plan::Find(plan)) => {
            let outcome = in_time(deadline, plan.request_id(), store.find(&plan), FindOutcome::Unavailable).await;
            plan.respond(outcome)
        }
        Admission::Plan(Plan::Report(plan)) => {
            let read = store.report(&plan, stamp.received_at);
            let outcome = in_time(deadline, plan.request_id(), read, ReportOutcome::Unavailable).await;
            let ReportReply { reply, unreadable } = plan.respond(outcome);
            if !unreadable.is_empty() {
                eprintln!("{unreadable}");
            }
            reply
        }
        // EventBridge asks the `schedule` function for maintenance.
        Admission::Plan(Plan::Maintenance(plan)) => plan.respond(true),
        Admission::Plan(Plan::Ready(plan)) => {
            let condition = in_time(deadline, plan.request_id(), store.condition(), None).await;
            plan.respond(condition)
        }
        // CloudWatch has what the functions count.
        Admission::Plan(Plan::Metrics(plan)) => {
            let condition = in_time(deadline, plan.request_id(), store.condition(), None).await;
            plan.respond(None, condition.map(|condition| vec![condition]))
        }
        Admission::Plan(Plan::Export(plan)) => {
            let read = store.export(&plan, stamp.received_at);
            let outcome = in_time(deadline, plan.request_id(), read, ExportOutcome::Unavailable).await;
            plan.respond(outcome)
        }
        Admission::Plan(Plan::Import(plan)) => {
            let is_done = in_time(deadline, plan.request_id(), store.import(&plan), false).await;
            plan.respond(is_done)
        }
    };
    watch::answered(service, &incoming, stamp, &mut reply, began);
    Ok(to_raw_value(&response::from_reply(reply, incoming.payload))?)
}

/// Awaits a read until the deadline. Returns `later`, and logs why, if the read fails or is too slow.
async fn in_time<Read>(
    deadline: Instant,
    request_id: RequestId,
    read: impl Future<Output = Result<Read>>,
    later: Read,
) -> Read {
    timeout_at(deadline, read).await.map_err(anyhow::Error::from).flatten().unwrap_or_else(|error| {
        eprintln!("{request_id}: cannot read: {error:#}");
        later
    })
}

/// Takes in the messages of a batch of an SQS queue. Any other event is a schedule's: it only says that it is time.
async fn maintenance(
    service: &Service,
    store: &Store,
    event: Box<RawValue>,
    deadline: Instant,
) -> Result<Option<SqsBatchResponse>> {
    if let Ok(messages) = serde_json::from_str(event.get()) {
        return lost::take(store, messages, deadline).await.map(Some);
    }
    let beats = timeout_at(deadline, store.heartbeat(now()?)).await.map_err(anyhow::Error::from).flatten();
    service.known()?;
    timeout_at(deadline, store.compact(service, now()?)).await??;
    beats.map(|()| None)
}

#[cfg(test)]
mod tests {
    use isotherm_core::{Service, Unread};
    use serde_json::value::to_raw_value;
    use tokio::time::Instant;

    use super::{function, maintenance};
    use crate::store::Store;
    use crate::stream;

    /// The stream then delivers the batch again.
    #[tokio::test]
    async fn while_the_configuration_cannot_be_read_nothing_is_folded_or_compacted() {
        let (unread, store, deadline) = (Service::unread("S3 says 500"), Store::of_environment(), Instant::now());
        let batch = serde_json::json!({ "Records": [], "window": { "start": "2013-01-01T00:00:00Z", "end":
            "2013-01-01T00:01:00Z" }, "state": {}, "shardId": "s", "eventSourceARN": "a",
            "isFinalInvokeForWindow": false, "isWindowTerminatedEarly": false });
        let folded = stream::fold(&unread, &store, serde_json::from_value(batch).unwrap(), deadline).await;
        assert!(folded.is_err_and(|error| error.is::<Unread>()));
        let timer = to_raw_value(&serde_json::json!({ "source": "aws.events" })).unwrap();
        let compacted = maintenance(&unread, &store, timer, deadline).await;
        assert!(compacted.is_err_and(|error| error.is::<Unread>()));
    }

    #[test]
    fn the_handlers_of_the_template_are_functions() {
        let template = include_str!("../../../deploy/lambda/template.yaml");
        let mut handlers: Vec<&str> =
            template.lines().filter_map(|line| line.trim().strip_prefix("Handler: ")).collect();
        handlers.sort_unstable();
        assert_eq!(handlers, ["aggregate", "drain", "ingest", "move", "read", "report", "schedule"]);
        assert!(handlers.iter().all(|handler| function(handler).is_some()));
        assert!(function("bootstrap").is_none() && function("").is_none());
    }
}
