//! Where the configuration comes from: a binding of the Worker.

use std::cell::OnceCell;
use std::rc::Rc;

use isotherm_core::Service;
use worker::js_sys::{JSON, Reflect};
use worker::{Env, console_warn};

/// The binding that holds the configuration.
const CONFIG: &str = "ISOTHERM_CONFIG";

thread_local! {
    /// Made by the isolate's first request, since only requests see the bindings.
    static SERVICE: OnceCell<Rc<Service>> = const { OnceCell::new() };
}

/// The service of this isolate.
pub(crate) fn service(env: &Env) -> Rc<Service> {
    if let Some(service) = SERVICE.with(|service| service.get().cloned()) {
        return service;
    }
    let service = Service::from_text(text(env).as_deref());
    if let Some(notice) = service.notice() {
        console_warn!("isotherm: {notice}");
    }
    SERVICE.with(|kept| kept.get_or_init(|| Rc::new(service)).clone())
}

/// The text of the binding: a variable or secret that holds the text, or a variable that holds the JSON itself.
/// `Env::var` does not give the text of the latter.
fn text(env: &Env) -> Option<String> {
    let binding = Reflect::get(env.as_ref(), &CONFIG.into()).ok()?;
    binding.as_string().or_else(|| if binding.is_object() { JSON::stringify(&binding).ok()?.as_string() } else { None })
}
