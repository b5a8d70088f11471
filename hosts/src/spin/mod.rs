//! Spin: runs the component that `spin up` runs. If Spin is on the PATH, Spin runs it. Otherwise a wasmtime inside this
//! process does, and answers as Spin does by default: see [`server`].

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

/// The file name of the artifact.
const COMPONENT: &str = "isotherm.wasm";
/// Spin's default database in its state folder. The embedded runtime uses the same path, so they share the data.
const DATABASE: &str = "sqlite_db.db";
/// The component's variable that holds Isotherm's configuration.
const CONFIG_VARIABLE: &str = "isotherm_config";

/// The path that the cron requests.
const SCHEDULE: &str = "/schedule";
/// The environment variable with the cron's key, of scope `operate`. An open service has no such key and thus no cron.
const CRON_KEY: &str = "ISOTHERM_CRON_KEY";

/// A running component and its cron.
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

    /// The usage of this process, which contains the embedded runtime; or of `spin` and the processes that it started.
    pub(crate) fn usage(&self) -> Usage {
        match &self.runtime {
            SpinRuntime::Embedded(_) => Usage::of(std::process::id()).unwrap_or_default(),
            SpinRuntime::Cli(host) => host.usage(),
        }
    }

    /// The customer pays for a node, not for operations. So only stored data is counted.
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

/// Sends the cron's HTTP request, as hosted Spin and Kubernetes do.
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
