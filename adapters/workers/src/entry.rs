//! The functions that the Workers runtime calls.

use futures_util::future::join_all;
use isotherm_core::{Admission, Door, Plan, Reply, ReportReply, Service};
use worker::wasm_bindgen::JsValue;
use worker::{Context, Env, MessageBatch, Result, ScheduleContext, ScheduledEvent, console_error, event, web_sys};

use crate::config::service;
use crate::{queue, request, response, store, watch};

#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, _context: Context) -> Result<web_sys::Response> {
    let service = service(&env).await;
    let head = request::Head::new(&request);
    let (asked, stamp) = (head.request(), request::stamp()?);
    let mut reply = match service.admit_head(&asked, stamp) {
        Door::Reply(reply) => reply,
        Door::Body(entry) => {
            let body = match entry.body_bytes() {
                0 => Vec::new(),
                limit => request::body(&request, limit).await?,
            };
            apply(&env, &service, entry.admit(&body)).await
        }
    };
    watch::answered(&service, &asked, stamp, &mut reply);
    response::from_reply(&reply)
}

async fn apply(env: &Env, service: &Service, admission: Admission) -> Reply {
    match admission {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Store(plan)) => {
            let outcomes = store::store(env, service.shards(), &plan).await;
            plan.respond(outcomes)
        }
        Admission::Plan(Plan::Find(plan)) => {
            let found = store::find(env, service.shards(), &plan).await;
            plan.respond(found)
        }
        Admission::Plan(Plan::Report(plan)) => {
            let read = store::report(env, service.shards(), &plan).await;
            let ReportReply { reply, unreadable } = plan.respond(read);
            if !unreadable.is_empty() {
                console_error!("isotherm: {unreadable}");
            }
            reply
        }
        Admission::Plan(Plan::Maintenance(plan)) => {
            let is_done = store::maintain(env, service).await;
            plan.respond(is_done)
        }
        Admission::Plan(Plan::Ready(plan)) => {
            let condition = store::condition(env, service.shards(), &plan).await;
            plan.respond(condition)
        }
        Admission::Plan(Plan::Metrics(plan)) => {
            let conditions = store::conditions(env, service, plan.request_id()).await;
            plan.respond(None, conditions)
        }
        Admission::Plan(Plan::Export(plan)) => {
            let read = store::export(env, service.shards(), &plan).await;
            plan.respond(read)
        }
        Admission::Plan(Plan::Import(plan)) => {
            let is_done = store::import(env, service.shards(), &plan).await;
            plan.respond(is_done)
        }
    }
}

/// Takes each message of a batch by itself: one that fails does not bring the others back.
#[event(queue)]
async fn queue(batch: MessageBatch<JsValue>, env: Env, _context: Context) -> Result<()> {
    let service = service(&env).await;
    join_all(batch.raw_iter().map(|message| queue::take(&env, &service, message))).await;
    Ok(())
}

/// Has all shards compact and expire. Whatever fails is left for the next time.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    let service = service(&env).await;
    store::maintain(&env, &service).await;
}
