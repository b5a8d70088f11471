//! Starts each adapter on this machine, on the runtime that it really runs on, and forces cold starts there.
//!
//! A host never looks into an event and knows no prices. It takes an artifact and gives a URL. It also reports what the
//! runtime's processes used and what the services did ([`meters`]).
//! The program `isotherm-host` contains all hosts. Without features, only the client side is compiled: [`control`].
#![cfg_attr(
    not(all(feature = "lambda", feature = "workers", feature = "spin", feature = "native")),
    allow(dead_code, reason = "what hosts share is used by some of them only")
)]

pub mod control;
#[cfg(any(feature = "lambda", feature = "workers", feature = "spin", feature = "native"))]
mod host;
#[cfg(any(feature = "lambda", feature = "workers", feature = "spin", feature = "native"))]
mod http;
#[cfg(feature = "lambda")]
mod lambda;
pub mod lines;
pub mod meters;
#[cfg(feature = "native")]
mod native;
#[cfg(any(feature = "lambda", feature = "workers", feature = "spin", feature = "native"))]
mod process;
#[cfg(any(feature = "lambda", feature = "workers"))]
mod s3;
#[cfg(any(feature = "lambda", feature = "spin"))]
mod schedule;
#[cfg(any(feature = "lambda", feature = "workers"))]
mod server;
#[cfg(feature = "spin")]
mod spin;
mod tools;
#[cfg(feature = "workers")]
mod workers;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use control::{Remote, Up};
#[cfg(any(feature = "lambda", feature = "workers", feature = "spin", feature = "native"))]
pub use host::Host;
pub use meters::Meters;
pub use tools::{host, workerd};

/// A platform that Isotherm runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// AWS Lambda: this crate's Runtime API, with DynamoDB emulated over HTTP.
    Lambda,
    /// Cloudflare Workers: workerd.
    Workers,
    /// Spin: the component runs in wasmtime.
    Spin,
    /// The plain server.
    Native,
}

impl Platform {
    /// All platforms, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Lambda, Self::Workers, Self::Spin, Self::Native];

    /// The name on the command line, which is also the name of the artifact's folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Workers => "workers",
            Self::Spin => "spin",
            Self::Native => "native",
        }
    }

    /// The platform with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.name() == name)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The configuration of an open service. Everyone who reaches it may use it: on this machine, the machine's own users.
pub const OPEN: &str = r#"{"version":2,"open":true}"#;

/// What the names of secrets begin with that a configuration asks for.
const SECRET: &str = "ISOTHERM_SECRET_";

/// The secrets in this program's own environment, for the artifact.
#[cfg_attr(not(any(feature = "lambda", feature = "workers")), expect(dead_code, reason = "the others look one up"))]
fn secrets() -> Vec<(String, String)> {
    std::env::vars().filter(|(name, _)| name.starts_with(SECRET)).collect()
}

/// How to start a host.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of this platform's artifact, such as `target/artifacts/release/spin`.
    pub artifact: PathBuf,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The folder for the data of the platform's store. `None` uses a temporary folder, removed when the host stops.
    pub data: Option<PathBuf>,
    /// The configuration as JSON, passed to the adapter as it is: [`OPEN`], or keys. Any other text closes the service.
    pub config: String,
    /// As many instances of workerd in a cluster; Workers only. `None` is one instance without a cluster.
    pub cluster: Option<u32>,
    /// Whether to print one line per request to standard output.
    pub log_requests: bool,
}

/// Name and version of the runtime that a platform's artifact runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// For example `workerd`.
    pub name: String,
    /// For example `1.20261117`.
    pub version: String,
}

/// What the runtime's processes used. The host around them and the emulated stores don't count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system CPU time since the start, including processes that have ended.
    pub cpu: Duration,
    /// The peak resident memory, in bytes.
    pub peak_rss_bytes: u64,
}

impl std::iter::Sum for Usage {
    /// Adds up the usage of processes that run at the same time.
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), |sum, usage| Self {
            cpu: sum.cpu + usage.cpu,
            peak_rss_bytes: sum.peak_rss_bytes + usage.peak_rss_bytes,
        })
    }
}

/// One request for [`Host::cold`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ColdRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// The times of one forced cold start. They count from a state in which the artifact exists and no instance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdSample {
    /// Time until the instance was ready for a request.
    pub init: Duration,
    /// Time until the first byte of the first answer, including `init` and the request itself.
    pub first_response: Duration,
    /// The answer's status code.
    pub status: u16,
}
