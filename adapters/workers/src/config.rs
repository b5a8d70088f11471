//! Where the configuration comes from: a binding of the Worker, or a key of a KV namespace.

use std::cell::OnceCell;
use std::rc::Rc;

use isotherm_core::Service;
use worker::js_sys::{JSON, Reflect};
use worker::wasm_bindgen::JsValue;
use worker::{Env, Error, KvStore, console_warn};

/// The binding that holds the configuration, and the binding of the KV namespace that holds it under [`KEY`] instead.
const CONFIG: &str = "ISOTHERM_CONFIG";
const NAMESPACE: &str = "ISOTHERM_CONFIG_KV";
const KEY: &str = "config";

thread_local! {
    /// Made by the isolate's first request, since only requests see the bindings, or by a later one if the place of the
    /// configuration could not be read before.
    static SERVICE: OnceCell<Rc<Service>> = const { OnceCell::new() };
}

/// The service of this isolate. While the namespace cannot be read, or what it holds leaves the service closed, the next
/// request or alarm tries again.
pub(crate) async fn service(env: &Env) -> Rc<Service> {
    if let Some(service) = SERVICE.with(|service| service.get().cloned()) {
        return service;
    }
    // Bindings, and with them all secrets, are part of the deployment.
    let (service, is_deployed) = match env.kv(NAMESPACE) {
        Err(_none) => (Service::from_text(text(env).as_deref()), true),
        Ok(namespace) => (configured(&namespace).await, false),
    };
    let service =
        Rc::new(service.with_secrets(|variable| Reflect::get(env.as_ref(), &variable.into()).ok()?.as_string()));
    if let Some(notice) = service.notice() {
        console_warn!("isotherm: {notice}");
    }
    if !service.is_final(is_deployed) {
        return service;
    }
    SERVICE.with(|kept| kept.get_or_init(|| service).clone())
}

/// The service that the namespace configures.
async fn configured(namespace: &KvStore) -> Service {
    match namespace.get(KEY).text().await {
        Ok(Some(text)) => Service::from_text(Some(&text)),
        Ok(None) => Service::closed(format_args!("{NAMESPACE} has no key {KEY:?}")),
        // A JavaScript error's message is one line; `KvError` would show the stack, too.
        Err(error) => Service::unread(format_args!("cannot read {NAMESPACE}: {}", Error::from(JsValue::from(error)))),
    }
}

/// The text of the binding: a variable or secret that holds the text, or a variable that holds the JSON itself.
/// `Env::var` does not give the text of the latter.
fn text(env: &Env) -> Option<String> {
    let binding = Reflect::get(env.as_ref(), &CONFIG.into()).ok()?;
    binding.as_string().or_else(|| if binding.is_object() { JSON::stringify(&binding).ok()?.as_string() } else { None })
}
