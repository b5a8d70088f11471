//! Cloudflare Workers: workerd, with its Durable Objects on disk.
//!
//! Two processes. The one that serves has the artifact at its socket and nothing before it. The one for cold starts is
//! started by the first of them and makes a new isolate for each, through workerd's Worker Loader; it has its own data,
//! so that neither its memory nor its time counts as the server's.

mod cold;
mod config;
mod workerd;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::{ColdRequest, ColdSample, Options, Runtime, Usage};
use cold::ColdStarts;
use config::Role;
use workerd::{Program, Workerd};

/// workerd with the artifact.
pub(crate) struct WorkersHost {
    program: Program,
    artifact: Artifact,
    /// The configuration, for the isolates of [`WorkersHost::cold`].
    config: String,
    server: Workerd,
    cold: OnceCell<ColdStarts>,
}

impl WorkersHost {
    pub(crate) async fn start(options: &Options, data: &Path) -> Result<Self> {
        let artifact = Artifact::open(&options.artifact)?;
        let program = Program::find(&artifact.folder).await?;
        let role = Role::Server { port: options.port, log_requests: options.log_requests };
        let server = Workerd::start(&program, &artifact, &options.config, role, data).await?;
        Ok(Self { program, artifact, config: options.config.clone(), server, cold: OnceCell::new() })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    pub(crate) fn runtime(&self) -> Runtime {
        Runtime { name: "workerd".to_owned(), version: self.program.version.clone() }
    }

    pub(crate) async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        let start = || ColdStarts::start(&self.program, &self.artifact, &self.config, request);
        self.cold.get_or_try_init(start).await?.sample(request).await
    }

    pub(crate) fn usage(&self) -> Usage {
        self.server.usage()
    }

    /// From spawning workerd to its listening. Reported apart from cold starts: the platform's processes run already.
    #[allow(dead_code, reason = "for whoever reports it; `Host` has no place for it yet")]
    pub(crate) fn process_start(&self) -> Duration {
        self.server.started_within
    }

    pub(crate) async fn stop(self) -> Result<()> {
        let server = self.server.stop().await;
        if let Some(cold) = self.cold.into_inner() {
            cold.stop().await?;
        }
        server
    }
}

/// What worker-build made: the bundle `index.js` and the module `index_bg.wasm` that it imports.
struct Artifact {
    folder: PathBuf,
    /// Whether it brings the class of its Durable Objects. The floor stores nothing and has none.
    has_shards: bool,
}

impl Artifact {
    fn open(folder: &Path) -> Result<Self> {
        let folder =
            folder.canonicalize().with_context(|| format!("cannot use the artifact in {}", folder.display()))?;
        let index = folder.join("index.js");
        let bundle = std::fs::read_to_string(&index)
            .with_context(|| format!("cannot read {}: run `cargo xtask build`", index.display()))?;
        // esbuild gathers a bundle's exports in one statement at its end: `export{a as Shard,b as default};`.
        let exports = bundle.rfind("export").map_or("", |at| &bundle[at..]);
        Ok(Self { has_shards: exports.contains(" as Shard"), folder })
    }
}
