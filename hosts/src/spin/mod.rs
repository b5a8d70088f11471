//! Spin: the component that `spin up` runs, run by Spin itself where it is on the PATH, otherwise by a wasmtime inside
//! this process, which answers as Spin does when it is told nothing: see [`server`].

mod cli;
mod component;
mod instances;
mod rows;
mod server;
mod sqlite;
mod variables;

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::meters::count;
use crate::schedule::Schedule;
use crate::{ColdRequest, ColdSample, Meters, Options, Runtime, Usage, http};

/// The file of the artifact.
const COMPONENT: &str = "isotherm.wasm";
/// Where Spin keeps its default database within its state folder; the same here, so that either runtime finds the other's data.
const DATABASE: &str = "sqlite_db.db";
/// The component's variable with Isotherm's configuration.
const CONFIG_VARIABLE: &str = "isotherm_config";

/// What a cron requests of the component.
const SCHEDULE: &str = "/schedule";
/// Names the key of scope `operate` that the cron sends; without it there is no cron, as an open service has no such key.
const CRON_KEY: &str = "ISOTHERM_CRON_KEY";

/// A running component, and its cron.
pub(crate) struct SpinHost {
    runtime: SpinRuntime,
    schedule: Option<Schedule>,
}

enum SpinRuntime {
    /// In this process.
    Embedded(server::Embedded),
    /// In `spin up`.
    Cli(Box<cli::SpinUp>),
}

impl SpinHost {
    pub(crate) async fn start(options: &Options, data: &Path) -> Result<Self> {
        let component = options.artifact.join(COMPONENT);
        ensure!(component.is_file(), "{} is missing: run `cargo xtask build`", component.display());
        let component = component.canonicalize().with_context(|| format!("cannot use {}", component.display()))?;
        let runtime = match cli::Spin::on_path().await {
            Some(spin) => SpinRuntime::Cli(Box::new(spin.up(&component, options, data).await?)),
            None => SpinRuntime::Embedded(server::Embedded::start(&component, options, data).await?),
        };
        let port = runtime.port();
        let key = std::env::var(CRON_KEY).ok();
        let schedule = key.map(|key| Schedule::start(move || ask_for_what_is_due(port, key.clone())));
        Ok(Self { runtime, schedule })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.runtime.port())
    }

    pub(crate) fn runtime(&self) -> Runtime {
        match &self.runtime {
            SpinRuntime::Embedded(_) => {
                Runtime { name: "wasmtime (embedded)".to_owned(), version: component::WASMTIME.to_owned() }
            }
            SpinRuntime::Cli(host) => host.runtime(),
        }
    }

    pub(crate) async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        match &self.runtime {
            SpinRuntime::Embedded(host) => host.cold(request).await,
            SpinRuntime::Cli(host) => host.cold(request).await,
        }
    }

    /// Of this process, which the embedded runtime is a part of; or of `spin` and what it started.
    pub(crate) fn usage(&self) -> Usage {
        match &self.runtime {
            SpinRuntime::Embedded(_) => Usage::of(std::process::id()).unwrap_or_default(),
            SpinRuntime::Cli(host) => host.usage(),
        }
    }

    /// A node is paid for, not its operations: only what is kept is counted.
    pub(crate) async fn meters(&self, data: &Path) -> Result<Meters> {
        let mut meters = Meters::default();
        count::add_database(&mut meters, &data.join(DATABASE))?;
        Ok(meters)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        if let Some(schedule) = self.schedule {
            schedule.stop().await;
        }
        match self.runtime {
            SpinRuntime::Embedded(host) => host.stop().await,
            SpinRuntime::Cli(host) => host.stop().await,
        }
    }
}

impl SpinRuntime {
    fn port(&self) -> u16 {
        match self {
            Self::Embedded(host) => host.port(),
            Self::Cli(host) => host.port(),
        }
    }
}

/// A cron on this machine, as hosted Spin and Kubernetes have it: an HTTP request.
async fn ask_for_what_is_due(port: u16, key: String) -> Result<()> {
    let request = ColdRequest {
        method: "POST".to_owned(),
        path: SCHEDULE.to_owned(),
        headers: vec![("authorization".to_owned(), format!("Bearer {key}"))],
        body: String::new(),
    };
    let answer = http::send(port, &request).await?;
    ensure!(answer.status == 200, "{SCHEDULE} was answered with {}", answer.status);
    Ok(())
}
