//! Events in Durable Objects. Each tenant has several objects, and an event's id decides which one keeps it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use isotherm_core::{
    Digest, EventId, FindOutcome, FindPlan, NewEvent, ReportData, ReportOutcome, ReportPlan, Service, StoreOutcome,
    StorePlan, Tenant,
};
use serde::Deserialize;
use worker::wasm_bindgen::JsValue;
use worker::{Env, Error, Method, Request, RequestInit, Response, Result, Stub, console_error};

use crate::protocol::{MAINTENANCE, OVERLOADED, REPORT, ShardName, events_path};

/// The binding of the objects.
const SHARDS: &str = "SHARDS";
/// Bytes of events in one request. A statement's text may have 2 MB, and events grow by at most half when they become
/// JSON in JSON.
const PART_BYTES: usize = 512 * 1024;

/// Keeps the new events of a plan. Returns the outcome of each event.
pub(crate) async fn store(env: &Env, shards: u32, plan: &StorePlan) -> Vec<StoreOutcome> {
    let parts = parts(shards, plan.events());
    let answers = join_all(parts.iter().map(|part| part.store(env, plan))).await;
    let mut outcomes = BTreeMap::new();
    for (part, answer) in parts.iter().zip(answers) {
        match answer {
            Ok(Some(there)) => outcomes.extend(part.events.iter().map(|event| (event.id, there.outcome(event.id)))),
            Ok(None) => outcomes.extend(part.events.iter().map(|event| (event.id, StoreOutcome::Overloaded))),
            Err(error) => {
                console_error!("isotherm: {}: shard {} did not store: {error}", plan.request_id(), part.shard)
            }
        }
    }
    plan.events().iter().map(|event| outcomes.remove(&event.id).unwrap_or(StoreOutcome::Unavailable)).collect()
}

/// Looks one event up.
pub(crate) async fn find(env: &Env, shards: u32, plan: &FindPlan) -> FindOutcome {
    let shard = plan.id().shard(shards);
    match try_find(env, plan, shard).await {
        Ok(record) if record.is_empty() => FindOutcome::Absent,
        Ok(record) => FindOutcome::Found(record),
        Err(error) => {
            console_error!("isotherm: {}: shard {shard} did not look an event up: {error}", plan.request_id());
            FindOutcome::Unavailable
        }
    }
}

/// Reads the data for a report from all shards at once.
pub(crate) async fn report(env: &Env, shards: u32, plan: &ReportPlan) -> ReportOutcome {
    let read = (0..shards).map(|shard| try_report(env, plan, shard));
    match join_all(read).await.into_iter().collect::<Result<_>>() {
        Ok(shards) => ReportOutcome::Read(shards),
        Err(error) => {
            console_error!("isotherm: {}: a shard did not read what a report needs: {error}", plan.request_id());
            ReportOutcome::Unavailable
        }
    }
}

/// Has the shards of all tenants do the maintenance that is due. Returns whether all of them did.
pub(crate) async fn maintain(env: &Env, service: &Service) -> bool {
    let mut is_done = true;
    for tenant in service.tenants() {
        let rounds = (0..service.shards()).map(|shard| try_maintain(env, &tenant, shard));
        for error in join_all(rounds).await.into_iter().filter_map(Result::err) {
            is_done = false;
            console_error!("isotherm: a shard of {} did not compact and expire: {error}", tenant.as_str());
        }
    }
    is_done
}

async fn try_maintain(env: &Env, tenant: &Tenant, shard: u32) -> Result<()> {
    answer(stub(env, tenant, shard)?.fetch_with_request(post(MAINTENANCE, "")?).await?).await.map(drop)
}

async fn try_report(env: &Env, plan: &ReportPlan, shard: u32) -> Result<ReportData> {
    let request = post(REPORT, &serde_json::to_string(plan.reading())?)?;
    let data = answer(stub(env, plan.tenant(), shard)?.fetch_with_request(request).await?).await?.bytes().await?;
    ReportData::from_bytes(&data).ok_or_else(|| Error::RustError("its answer can't be read".to_owned()))
}

async fn try_find(env: &Env, plan: &FindPlan, shard: u32) -> Result<String> {
    let path = events_path(plan.expired_by(), &plan.id().to_string());
    let request = Request::new(&format!("https://shard{path}"), Method::Get)?;
    answer(stub(env, plan.tenant(), shard)?.fetch_with_request(request).await?).await?.text().await
}

/// Events that go to one shard in one request.
struct Part<'a> {
    shard: u32,
    bytes: usize,
    events: Vec<&'a NewEvent>,
}

fn parts(shards: u32, events: &[NewEvent]) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for event in events {
        let shard = event.id.shard(shards);
        let bytes = event.record.len();
        match parts.iter_mut().rev().find(|part| part.shard == shard) {
            Some(part) if part.bytes + bytes <= PART_BYTES => {
                part.bytes += bytes;
                part.events.push(event);
            }
            _ => parts.push(Part { shard, bytes, events: vec![event] }),
        }
    }
    parts
}

/// A shard's answer: which of the given events it has already.
#[derive(Deserialize)]
struct There {
    taken: BTreeMap<EventId, Digest>,
    /// Expired events that keep their places until they are folded.
    expired: BTreeSet<EventId>,
}

impl There {
    fn outcome(&self, id: EventId) -> StoreOutcome {
        match self.taken.get(&id) {
            Some(digest) => StoreOutcome::Existing(*digest),
            None if self.expired.contains(&id) => StoreOutcome::Unavailable,
            None => StoreOutcome::Stored,
        }
    }
}

impl Part<'_> {
    /// Stores the events. Returns the ones that were there already, or `None` if the shard takes no events for now.
    async fn store(&self, env: &Env, plan: &StorePlan) -> Result<Option<There>> {
        let request = post(&events_path(plan.expired_by(), ""), &serde_json::to_string(&self.events)?)?;
        let response = stub(env, plan.tenant(), self.shard)?.fetch_with_request(request).await?;
        if response.status_code() == OVERLOADED {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&answer(response).await?.text().await?)?))
    }
}

fn post(path: &str, body: &str) -> Result<Request> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(JsValue::from_str(body)));
    Request::new_with_init(&format!("https://shard{path}"), &init)
}

fn stub(env: &Env, tenant: &Tenant, shard: u32) -> Result<Stub> {
    env.durable_object(SHARDS)?.get_by_name(&ShardName::new(tenant.as_str(), shard).to_string())
}

async fn answer(mut response: Response) -> Result<Response> {
    match response.status_code() {
        200 => Ok(response),
        status => Err(Error::RustError(format!("{status}: {}", response.text().await?))),
    }
}
