//! Spin: the component that `spin up` runs, run by Spin itself where it is on the PATH, otherwise by a wasmtime inside
//! this process, with Spin's interfaces over SQLite and a fresh instance for each request, as Spin does it.

mod cli;
mod component;
mod server;
mod sqlite;
mod variables;

use std::path::Path;

use anyhow::{Context, Result};

use crate::meters::count;
use crate::{ColdRequest, ColdSample, Meters, Options, Runtime, Usage};

/// The file of the artifact.
const COMPONENT: &str = "isotherm.wasm";
/// Where Spin keeps its default database within its state folder; the same here, so that either runtime finds the other's data.
const DATABASE: &str = "sqlite_db.db";
/// The component's variable with Isotherm's configuration.
const CONFIG_VARIABLE: &str = "isotherm_config";

/// A running component.
pub(crate) enum SpinHost {
    /// In this process.
    Embedded(server::Embedded),
    /// In `spin up`.
    Cli(Box<cli::SpinUp>),
}

impl SpinHost {
    pub(crate) async fn start(options: &Options, data: &Path) -> Result<Self> {
        let component = options.artifact.join(COMPONENT);
        anyhow::ensure!(component.is_file(), "{} is missing: run `cargo xtask build`", component.display());
        let component = component.canonicalize().with_context(|| format!("cannot use {}", component.display()))?;
        match cli::Spin::on_path().await {
            Some(spin) => Ok(Self::Cli(Box::new(spin.up(&component, options, data).await?))),
            None => Ok(Self::Embedded(server::Embedded::start(&component, options, data).await?)),
        }
    }

    pub(crate) fn url(&self) -> String {
        let port = match self {
            Self::Embedded(host) => host.port(),
            Self::Cli(host) => host.port(),
        };
        format!("http://127.0.0.1:{port}")
    }

    pub(crate) fn runtime(&self) -> Runtime {
        match self {
            Self::Embedded(_) => {
                Runtime { name: "wasmtime (embedded)".to_owned(), version: component::WASMTIME.to_owned() }
            }
            Self::Cli(host) => host.runtime(),
        }
    }

    pub(crate) async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        match self {
            Self::Embedded(host) => host.cold(request).await,
            Self::Cli(host) => host.cold(request).await,
        }
    }

    /// Of this process, which the embedded runtime is a part of; or of `spin` and what it started.
    pub(crate) fn usage(&self) -> Usage {
        match self {
            Self::Embedded(_) => Usage::of(std::process::id()).unwrap_or_default(),
            Self::Cli(host) => host.usage(),
        }
    }

    /// A node is paid for, not its operations: only what is kept is counted.
    pub(crate) fn meters(&self, data: &Path) -> Result<Meters> {
        let mut meters = Meters::default();
        count::add_database(&mut meters, &data.join(DATABASE))?;
        Ok(meters)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        match self {
            Self::Embedded(host) => host.stop().await,
            Self::Cli(host) => host.stop().await,
        }
    }
}
