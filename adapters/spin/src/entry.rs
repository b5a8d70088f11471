//! What Spin calls.

use std::sync::OnceLock;

use isotherm_core::{Admission, Config, Plan, Reply, Service, Settled};
use spin_sdk::variables;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

use crate::response::failure;
use crate::{request, response, store};

/// What a cron asks for: Spin has no other trigger for one. Needs no key, for it does only what is due, a bounded part each time.
const SCHEDULE: &str = "/schedule";

struct Isotherm;

// What `#[spin_sdk::http_service]` makes, without its detour over the `http` crate: that is a fifth of the component.
spin_sdk::wasip3::http::service::export!(Isotherm);

impl Guest for Isotherm {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let service = service().await?;
        let stamp = request::stamp()?;
        let received = request::Received::read(request, service.limits().body_bytes).await?;
        let request = received.request();
        if request.path == SCHEDULE {
            let tended = store::tend(service).await;
            tended.map_err(|error| failure(&format!("what is due could not all be done: {error}")))?;
            return response::from_reply(Reply::ok());
        }
        let reply = match service.admit(&request, stamp) {
            Admission::Reply(reply) => reply,
            Admission::Plan(plan) => apply(service, plan).await,
        };
        response::from_reply(reply)
    }
}

async fn apply(service: &Service, plan: Plan) -> Reply {
    match plan {
        Plan::Store(plan) => {
            let outcomes = store::store(service, &plan).await;
            plan.settle(outcomes)
        }
        Plan::Find(plan) => {
            let found = store::find(service, &plan).await;
            plan.settle(found)
        }
        Plan::Report(plan) => {
            let read = store::report(service, &plan).await;
            let Settled { reply, unreadable } = plan.settle(read);
            if !unreadable.is_empty() {
                eprintln!("isotherm: {unreadable}");
            }
            reply
        }
    }
}

/// What this instance answers with. Later requests find it made, when Spin keeps the instance for them.
async fn service() -> Result<&'static Service, ErrorCode> {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    if let Some(service) = SERVICE.get() {
        return Ok(service);
    }
    let config = match variables::get("isotherm_config").await {
        Ok(config) => config,
        Err(variables::Error::Undefined(_)) => String::new(),
        Err(error) => return Err(failure(&format!("the variable isotherm_config cannot be read: {error}"))),
    };
    let config = Config::parse(&config).map_err(|error| failure(&format!("the variable isotherm_config: {error}")))?;
    Ok(SERVICE.get_or_init(|| Service::new(config)))
}
