//! What the Workers runtime calls.

use std::cell::OnceCell;
use std::rc::Rc;

use futures_util::future::join_all;
use isotherm_core::{Admission, Config, Plan, Service, Settled};
use worker::wasm_bindgen::JsValue;
use worker::{
    Context, Env, Error, MessageBatch, Result, ScheduleContext, ScheduledEvent, console_error, console_warn, event,
    web_sys,
};

use crate::{queue, request, response, store};

/// The binding that holds the configuration.
const CONFIG: &str = "ISOTHERM_CONFIG";

thread_local! {
    /// Made by an isolate's first request, since only requests see the bindings.
    static SERVICE: OnceCell<Rc<Service>> = const { OnceCell::new() };
}

#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, _context: Context) -> Result<web_sys::Response> {
    let service = service(&env)?;
    let received = request::Received::read(&request, service.limits().body_bytes).await?;
    let reply = match service.admit(&received.request(), request::stamp()?) {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Store(plan)) => {
            let outcomes = store::store(&env, service.shards(), &plan).await;
            plan.settle(outcomes)
        }
        Admission::Plan(Plan::Find(plan)) => {
            let found = store::find(&env, service.shards(), &plan).await;
            plan.settle(found)
        }
        Admission::Plan(Plan::Report(plan)) => {
            let read = store::report(&env, service.shards(), &plan).await;
            let Settled { reply, unreadable } = plan.settle(read);
            if !unreadable.is_empty() {
                console_error!("isotherm: {unreadable}");
            }
            reply
        }
    };
    response::from_reply(&reply)
}

/// Each message of a batch is settled by itself: one that fails brings no other back.
#[event(queue)]
async fn queue(batch: MessageBatch<JsValue>, env: Env, _context: Context) -> Result<()> {
    let service = service(&env)?;
    join_all(batch.raw_iter().map(|message| queue::settle(&env, &service, message))).await;
    Ok(())
}

/// Has all shards compact and expire. What fails is left for the next time.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    match service(&env) {
        Ok(service) => store::schedule(&env, &service).await,
        Err(error) => console_error!("isotherm: nothing is compacted or expired: {error}"),
    }
}

/// What this isolate answers with.
pub(crate) fn service(env: &Env) -> Result<Rc<Service>> {
    if let Some(service) = SERVICE.with(|service| service.get().cloned()) {
        return Ok(service);
    }
    // A deployment without this binding has the default configuration.
    let config = env.var(CONFIG).map(|config| config.to_string()).unwrap_or_default();
    let config = Config::parse(&config).map_err(|error| Error::RustError(format!("{CONFIG}: {error}")))?;
    let service = Service::new(config);
    if let Some(notice) = service.notice() {
        console_warn!("isotherm: {notice}");
    }
    Ok(SERVICE.with(|kept| kept.get_or_init(|| Rc::new(service)).clone()))
}
