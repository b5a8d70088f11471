//! Where the configuration comes from: a variable of the component.

use std::sync::OnceLock;

use isotherm_core::Service;
use spin_sdk::variables;

/// The variable that holds the configuration.
const CONFIG: &str = "isotherm_config";

/// The service of this instance. Later requests find it made, if Spin keeps the instance for them.
pub(crate) async fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    if let Some(service) = SERVICE.get() {
        return service;
    }
    let service = match variables::get(CONFIG).await {
        Ok(config) => Service::from_text(Some(&config)),
        Err(variables::Error::Undefined(_)) => Service::from_text(None),
        Err(error) => Service::closed(format_args!("the variable {CONFIG} cannot be read: {error}")),
    };
    // An open service is announced once in the life of a database, so only a closed one is reported here.
    if let Some(notice) = service.notice().filter(|_| service.is_closed()) {
        eprintln!("isotherm: {notice}");
    }
    SERVICE.get_or_init(|| service)
}
