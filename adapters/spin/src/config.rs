//! Where the configuration comes from: a variable of the component.

use std::sync::OnceLock;

use isotherm_core::Service;
use spin_sdk::variables;

/// The variable that holds the configuration.
const CONFIG: &str = "isotherm_config";

/// The service of this instance. Later requests find it made, if Spin keeps the instance for them. While the variable
/// cannot be read, the service is a closed one, and the next request tries again.
pub(crate) async fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    // It says the reason of the first failure.
    static UNREAD: OnceLock<Service> = OnceLock::new();
    if let Some(service) = SERVICE.get() {
        return service;
    }
    let (service, kept) = match variables::get(CONFIG).await {
        Ok(config) => (Service::from_text(Some(&config)), &SERVICE),
        Err(variables::Error::Undefined(_)) => (Service::from_text(None), &SERVICE),
        Err(error) => (Service::unread(format_args!("the variable {CONFIG} cannot be read: {error}")), &UNREAD),
    };
    // An open service is announced once in the life of a database, so only a closed one is reported here.
    if let Some(notice) = service.notice().filter(|_| service.is_closed()) {
        eprintln!("isotherm: {notice}");
    }
    kept.get_or_init(|| service)
}
