//! Where the configuration comes from: a binding of the Worker, or a key of a KV namespace.

use std::cell::OnceCell;
use std::rc::Rc;

use isotherm_core::{Config, Service};
use worker::js_sys::{JSON, Reflect};
use worker::wasm_bindgen::JsValue;
use worker::{Env, Error, console_warn};

/// The binding that holds the configuration, and the binding of the KV namespace that holds it under [`KEY`] instead.
const CONFIG: &str = "ISOTHERM_CONFIG";
const NAMESPACE: &str = "ISOTHERM_CONFIG_KV";
const KEY: &str = "config";

thread_local! {
    /// Made by the isolate's first request, since only requests see the bindings, or by a later one if the place of the
    /// configuration could not be read before.
    static SERVICE: OnceCell<Rc<Service>> = const { OnceCell::new() };
}

/// The service of this isolate. While the place of its configuration cannot be read, it is a closed one, and the next
/// request tries again.
pub(crate) async fn service(env: &Env) -> Rc<Service> {
    if let Some(service) = SERVICE.with(|service| service.get().cloned()) {
        return service;
    }
    let configured = configured(env).await;
    let is_kept = configured.is_ok();
    let service = Rc::new(configured.unwrap_or_else(Service::closed));
    if let Some(notice) = service.notice() {
        console_warn!("isotherm: {notice}");
    }
    if is_kept { SERVICE.with(|kept| kept.get_or_init(|| service).clone()) } else { service }
}

/// Makes the configured service. An error says why the namespace could not be read, or that it holds no configuration.
async fn configured(env: &Env) -> Result<Service, String> {
    let Ok(namespace) = env.kv(NAMESPACE) else { return Ok(Service::from_text(text(env).as_deref())) };
    // A JavaScript error's message is one line; `KvError` would show the stack, too.
    let text = namespace.get(KEY).text().await.map_err(|error| Error::from(JsValue::from(error)));
    let text = text.map_err(|error| format!("cannot read {NAMESPACE}: {error}"))?;
    let text = text.ok_or_else(|| format!("{NAMESPACE} has no key {KEY:?}"))?;
    Config::parse(&text).map(Service::new).map_err(|error| error.to_string())
}

/// The text of the binding: a variable or secret that holds the text, or a variable that holds the JSON itself.
/// `Env::var` does not give the text of the latter.
fn text(env: &Env) -> Option<String> {
    let binding = Reflect::get(env.as_ref(), &CONFIG.into()).ok()?;
    binding.as_string().or_else(|| if binding.is_object() { JSON::stringify(&binding).ok()?.as_string() } else { None })
}
