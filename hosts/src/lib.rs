//! Starts each adapter on this machine, on the runtime it really runs on, and forces cold starts there.
//!
//! A host looks into no event and knows no price: it gets an artifact, gives a URL, and says what the runtime's processes used
//! and what its services did ([`meters`]).
//! The program `isotherm-host` is all of it. Without any of its features only the client side is left: [`control`].
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
#[cfg(any(feature = "lambda", feature = "spin"))]
mod schedule;
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
    /// Spin: its component in wasmtime.
    Spin,
    /// The plain server.
    Native,
}

impl Platform {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Lambda, Self::Workers, Self::Spin, Self::Native];

    /// As it is written on the command line, and the name of its artifact's folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Workers => "workers",
            Self::Spin => "spin",
            Self::Native => "native",
        }
    }

    /// The platform of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.name() == name)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The configuration of a service that is open to everyone who reaches it: on this machine, its own users.
pub const OPEN: &str = r#"{"version":2,"open":true}"#;

/// How to start a host.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of this platform's artifact, such as `target/artifacts/release/spin`.
    pub artifact: PathBuf,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Where the platform's store keeps its data. `None`: a temporary folder, removed when the host stops.
    pub data: Option<PathBuf>,
    /// The configuration as JSON, handed to the adapter as it is: [`OPEN`], or keys. With any other the service is closed.
    pub config: String,
    /// Whether to print one line for each request to standard output.
    pub log_requests: bool,
}

/// Name and version of the runtime that a platform's artifact runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Such as `workerd`.
    pub name: String,
    /// Such as `1.20261117`.
    pub version: String,
}

/// What the runtime's processes used: not the host around them, nor the emulated stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time since start, user and system, of processes that ended included.
    pub cpu: Duration,
    /// The most memory that was resident at once, bytes.
    pub peak_rss_bytes: u64,
}

impl std::iter::Sum for Usage {
    /// Of processes that live together.
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

/// One forced cold start: from "the artifact is there and no instance" to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdSample {
    /// Until the instance was ready for a request.
    pub init: Duration,
    /// Until the first byte of the first answer; `init` and the request itself included.
    pub first_response: Duration,
    /// The answer's status code.
    pub status: u16,
}
