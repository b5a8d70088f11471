//! The functions that Spin calls.

use std::time::Instant;

use isotherm_core::{Admission, Door, Plan, Reply, ReportReply, Service};
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

use crate::config::service;
use crate::{request, response, store, watch};

struct Isotherm;

// What `#[spin_sdk::http_service]` makes, without its detour over the `http` crate, which would be a fifth of the
// component.
spin_sdk::wasip3::http::service::export!(Isotherm);

impl Guest for Isotherm {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let started = Instant::now();
        let service = service().await;
        let head = request::Head::new(&request);
        let (asked, stamp) = (head.request(), request::stamp()?);
        let mut reply = match service.admit_head(&asked, stamp) {
            Door::Reply(reply) => {
                head.discard(request);
                reply
            }
            Door::Body(entry) => {
                let body = match entry.body_bytes() {
                    0 => {
                        head.discard(request);
                        Vec::new()
                    }
                    limit => request::body(request, limit).await?,
                };
                match entry.admit(&body) {
                    Admission::Reply(reply) => reply,
                    Admission::Plan(plan) => apply(service, plan).await,
                }
            }
        };
        watch::answered(service, &asked, stamp, &mut reply, started);
        response::from_reply(reply, asked.method == "HEAD")
    }
}

async fn apply(service: &'static Service, plan: Plan) -> Reply {
    match plan {
        Plan::Store(mut plan) => {
            let outcomes = store::store(service, &mut plan).await;
            plan.respond(outcomes)
        }
        Plan::Find(plan) => {
            let found = store::find(service, &plan).await;
            plan.respond(found)
        }
        Plan::Report(plan) => {
            let read = store::report(service, &plan).await;
            let ReportReply { reply, unreadable } = plan.respond(read);
            if !unreadable.is_empty() {
                eprintln!("isotherm: {unreadable}");
            }
            reply
        }
        // A cron asks for maintenance: Spin has no other trigger for it.
        Plan::Maintenance(plan) => {
            let is_done = store::maintain(service).await;
            plan.respond(is_done)
        }
        Plan::Ready(plan) => {
            let condition = store::condition(service, plan.request_id()).await;
            plan.respond(condition)
        }
        // An instance lives too short to count: what the store holds is all there is.
        Plan::Metrics(plan) => {
            let condition = store::condition(service, plan.request_id()).await;
            plan.respond(None, condition.map(|condition| vec![condition]))
        }
        Plan::Export(plan) => {
            let read = store::export(service, &plan).await;
            plan.respond(read)
        }
        Plan::Import(plan) => {
            let is_done = store::import(service, &plan).await;
            plan.respond(is_done)
        }
    }
}
