//! Implements spin:variables: the manifest declares the configuration, and the secrets that are in this program's
//! environment.

use wasmtime::component::Accessor;

use super::CONFIG_VARIABLE;
use super::component::interfaces::spin::variables::variables::{Error, Host, HostWithStore};
use super::component::{Spin, State};

impl Host for &mut State {}

impl<T> HostWithStore<T> for Spin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, Error>> {
        let secret = name.to_ascii_uppercase();
        if secret.starts_with(crate::SECRET)
            && let Ok(secret) = std::env::var(secret)
        {
            return Ok(Ok(secret));
        }
        if name != CONFIG_VARIABLE {
            return Ok(Err(Error::Undefined(format!("no variable {name:?} in the component's manifest"))));
        }
        Ok(Ok(accessor.with(|mut access| access.get().node.config.clone())))
    }
}
