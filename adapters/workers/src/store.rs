//! Events in Durable Objects. Each tenant has several objects, and an event's id decides which one keeps it.

use futures_util::future::join_all;
use isotherm_core::{
    Condition, ExportOutcome, ExportPlan, FindOutcome, FindPlan, ImportPlan, Part, ReadyPlan, ReportData,
    ReportOutcome, ReportPlan, RequestId, Service, StoreOutcome, StorePlan, Tenant,
};
use worker::js_sys::Uint8Array;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Env, Error, Method, Request, RequestInit, Result, console_error, web_sys};

use crate::protocol::{CONDITION, EXPORT, IMPORT, KEEP, MAINTENANCE, REPORT, ShardName, event_path};

/// The binding of the objects.
const SHARDS: &str = "SHARDS";

/// Keeps the new events of a plan. Returns the outcome of each event.
pub(crate) async fn store(env: &Env, shards: u32, plan: &StorePlan) -> Vec<StoreOutcome> {
    let parts = plan.parts(shards);
    let answers = join_all(parts.iter().map(|part| try_store(env, plan, part))).await;
    let mut outcomes = vec![StoreOutcome::Unavailable; plan.events().len()];
    for (part, answer) in parts.iter().zip(answers) {
        let applied = answer.and_then(|answer| match part.apply(&answer, &mut outcomes) {
            true => Ok(()),
            false => Err(Error::RustError("its answer can't be read".to_owned())),
        });
        if let Err(error) = applied {
            console_error!("isotherm: {}: shard {} did not store: {error}", plan.request_id(), part.shard());
        }
    }
    outcomes
}

async fn try_store(env: &Env, plan: &StorePlan, part: &Part<'_>) -> Result<Vec<u8>> {
    let body = Uint8Array::from(part.to_bytes(plan).as_slice());
    ask(env, plan.tenant(), part.shard(), post(KEEP, body.into())?).await
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

/// Reads the next lines of an export from the shard that it names.
pub(crate) async fn export(env: &Env, shards: u32, plan: &ExportPlan) -> ExportOutcome {
    let shard = plan.asked().part;
    if shard >= shards {
        return ExportOutcome::UnknownPlace;
    }
    match try_export(env, plan, shard).await {
        Ok(lines) if lines.is_empty() => ExportOutcome::UnknownPlace,
        Ok(lines) => ExportOutcome::Read(lines),
        Err(error) => {
            console_error!("isotherm: {}: shard {shard} did not read an export: {error}", plan.request_id());
            ExportOutcome::Unavailable
        }
    }
}

/// Keeps another service's rollups. Returns whether all of them are durable.
pub(crate) async fn import(env: &Env, shards: u32, plan: &ImportPlan) -> bool {
    let keep = (0..shards).map(|shard| try_import(env, plan, shard, shards));
    match join_all(keep).await.into_iter().collect::<Result<()>>() {
        Ok(()) => true,
        Err(error) => {
            console_error!("isotherm: {}: a shard did not keep rollups: {error}", plan.request_id());
            false
        }
    }
}

/// Has the shards of all tenants do the maintenance that is due. Returns whether all of them did.
pub(crate) async fn maintain(env: &Env, service: &Service) -> bool {
    if let Err(error) = service.known() {
        console_error!("isotherm: shards are not asked to compact and expire: {error}");
        return false;
    }
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

/// The condition of the shard that the plan names; `None` if it does not answer.
pub(crate) async fn condition(env: &Env, shards: u32, plan: &ReadyPlan) -> Option<Condition> {
    let (tenant, shard) = plan.shard(shards)?;
    match try_condition(env, tenant, shard).await {
        Ok(condition) => Some(condition),
        Err(error) => {
            console_error!("isotherm: {}: shard {shard} does not answer: {error}", plan.request_id());
            None
        }
    }
}

/// The conditions of the shards of all tenants; `None` if one does not answer.
pub(crate) async fn conditions(env: &Env, service: &Service, request_id: RequestId) -> Option<Vec<Condition>> {
    let mut conditions = Vec::new();
    for tenant in service.tenants() {
        let asked = join_all((0..service.shards()).map(|shard| try_condition(env, &tenant, shard))).await;
        match asked.into_iter().collect::<Result<Vec<_>>>() {
            Ok(of_tenant) => conditions.extend(of_tenant),
            Err(error) => {
                console_error!("isotherm: {request_id}: a shard of {} does not answer: {error}", tenant.as_str());
                return None;
            }
        }
    }
    Some(conditions)
}

async fn try_condition(env: &Env, tenant: &Tenant, shard: u32) -> Result<Condition> {
    let answer = ask(env, tenant, shard, post(CONDITION, JsValue::NULL)?).await?;
    // Read as text like all other JSON: reading bytes would be a second copy of the parser in the bundle.
    Ok(serde_json::from_str(&String::from_utf8_lossy(&answer))?)
}

async fn try_maintain(env: &Env, tenant: &Tenant, shard: u32) -> Result<()> {
    ask(env, tenant, shard, post(MAINTENANCE, JsValue::NULL)?).await.map(drop)
}

async fn try_report(env: &Env, plan: &ReportPlan, shard: u32) -> Result<ReportData> {
    let request = post(REPORT, serde_json::to_string(plan.reading())?.into())?;
    let data = ask(env, plan.tenant(), shard, request).await?;
    ReportData::from_bytes(&data).ok_or_else(|| Error::RustError("its answer can't be read".to_owned()))
}

async fn try_export(env: &Env, plan: &ExportPlan, shard: u32) -> Result<String> {
    let body = Uint8Array::from(plan.asked().to_bytes().as_slice());
    let lines = ask(env, plan.tenant(), shard, post(EXPORT, body.into())?).await?;
    String::from_utf8(lines).map_err(|error| Error::RustError(error.to_string()))
}

async fn try_import(env: &Env, plan: &ImportPlan, shard: u32, shards: u32) -> Result<()> {
    let data = ReportData { pages: plan.of_shard(shard, shards), ..ReportData::default() };
    if data.pages.is_empty() {
        return Ok(());
    }
    let body = Uint8Array::from(data.to_bytes().as_slice());
    ask(env, plan.tenant(), shard, post(IMPORT, body.into())?).await.map(drop)
}

async fn try_find(env: &Env, plan: &FindPlan, shard: u32) -> Result<String> {
    let path = event_path(plan.expired_by(), plan.id());
    let request = Request::new(&format!("https://shard{path}"), Method::Get)?;
    let record = ask(env, plan.tenant(), shard, request).await?;
    String::from_utf8(record).map_err(|error| Error::RustError(error.to_string()))
}

fn post(path: &str, body: JsValue) -> Result<Request> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(body));
    Request::new_with_init(&format!("https://shard{path}"), &init)
}

/// Sends a request to a shard, and returns the body of its answer.
async fn ask(env: &Env, tenant: &Tenant, shard: u32, request: Request) -> Result<Vec<u8>> {
    let stub = env.durable_object(SHARDS)?.get_by_name(&ShardName::new(tenant.as_str(), shard).to_string())?;
    let answer: web_sys::Response = stub.fetch_with_request(request).await?.into();
    let body = Uint8Array::new(&JsFuture::from(answer.array_buffer()?).await?).to_vec();
    match answer.status() {
        200 => Ok(body),
        status => Err(Error::RustError(format!("{status}: {}", String::from_utf8_lossy(&body)))),
    }
}
