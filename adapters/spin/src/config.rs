//! Where the configuration comes from: a variable of the component.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use isotherm_core::Service;
use spin_sdk::variables;

/// The variable that holds the configuration.
const CONFIG: &str = "isotherm_config";

/// The service of this instance. Later requests find it made, if Spin keeps the instance for them. While the variable
/// cannot be read, the service is a closed one, and the next request tries again.
pub(crate) async fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    // The closed service, with the reason of the first failed read.
    static UNREAD: OnceLock<Service> = OnceLock::new();
    if let Some(service) = SERVICE.get() {
        return service;
    }
    let (service, kept) = match configured().await {
        Ok(service) => (service, &SERVICE),
        Err(error) => (Service::unread(error), &UNREAD),
    };
    // An open service is announced once in the life of a database, so only a closed one is reported here.
    if let Some(notice) = service.notice().filter(|_| service.is_closed()) {
        eprintln!("isotherm: {notice}");
    }
    kept.get_or_init(|| service)
}

/// Makes the configured service. An error says which variable cannot be read.
async fn configured() -> Result<Service, String> {
    let service = Service::from_text(variable(CONFIG).await?.as_deref());
    let mut secrets = BTreeMap::new();
    for name in service.secrets() {
        // Spin's variables are in small letters.
        if let Some(secret) = variable(&name.to_ascii_lowercase()).await? {
            secrets.insert(name, secret);
        }
    }
    Ok(service.with_secrets(|name| secrets.get(name).cloned()))
}

/// What a variable holds; `None` if the component has no such variable.
async fn variable(name: &str) -> Result<Option<String>, String> {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(error) => Err(format!("the variable {name} cannot be read: {error}")),
    }
}
