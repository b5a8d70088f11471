//! Cloudflare Workers: workerd, with its Durable Objects on disk.
//!
//! There are three processes. The server has the artifact directly at its socket; metered.js counts beside it what its
//! objects are billed for. The process for cold starts begins with the first cold start. It makes a new isolate for
//! each, through workerd's Worker Loader. It has its own data, so neither its memory nor its time counts as the
//! server's. The third process runs what the platform has beside a Worker: bucket, queue and cron trigger.

mod cold;
mod config;
mod metered;
mod services;
mod workerd;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::meters::count;
use crate::{ColdRequest, ColdSample, Meters, Options, Runtime, Usage};
use cold::ColdStarts;
use config::Role;
use metered::{Counted, get_json};
use services::{BUCKET_FOLDER, Link, URL_FILE};
use workerd::{Program, Workerd};

/// The folder below the data folder in which workerd keeps the shards' files. It is their namespace's key in config.rs.
const OBJECTS_FOLDER: &str = "isotherm-shard";

/// A workerd that serves the artifact, with its services and cold starts.
pub(crate) struct WorkersHost {
    program: Program,
    artifact: Artifact,
    /// The configuration, for the isolates of [`WorkersHost::cold`].
    config: String,
    server: Workerd,
    services: Option<Services>,
    cold: OnceCell<ColdStarts>,
}

impl WorkersHost {
    pub(crate) async fn start(options: &Options, data: &Path) -> Result<Self> {
        let artifact = Artifact::open(&options.artifact)?;
        let program = Program::find(&artifact.folder).await?;
        let link = artifact.has_shards.then(Link::new);
        let namespace = config::namespace(data);
        let role = Role::Server {
            port: options.port,
            log_requests: options.log_requests,
            link: link.as_ref(),
            namespace: namespace.as_deref(),
        };
        let server = Workerd::start(&program, &artifact, &options.config, role, data).await?;
        // The services start after the server, because the queue retries a delivery only a limited number of times.
        let services = match &link {
            Some(link) => Some(Services::start(&program, &artifact, link, data).await?),
            None => None,
        };
        Ok(Self { program, artifact, config: options.config.clone(), server, services, cold: OnceCell::new() })
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

    /// The operations of objects come from metered.js. The data of objects and of the bucket is read from disk.
    pub(crate) async fn meters(&self, data: &Path) -> Result<Meters> {
        let mut meters = Meters::default();
        if let Some(port) = self.server.meters_port {
            get_json::<Counted>(port, "/").await?.add_to(&mut meters);
        }
        if let Some(services) = &self.services {
            meters.queue_operations = get_json(services.workerd.port, "/operations").await?;
        }
        (meters.objects, meters.object_bytes) = count::files(&data.join(BUCKET_FOLDER))?;
        let Ok(objects) = std::fs::read_dir(data.join(OBJECTS_FOLDER)) else { return Ok(meters) };
        for object in objects {
            let file = object.context("cannot read the folder of Durable Objects")?.path();
            if file.extension().is_some_and(|extension| extension == "sqlite") {
                count::add_database(&mut meters, &file)?;
            }
        }
        Ok(meters)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        // Services stop first: they would go on delivering.
        let services = match self.services {
            Some(services) => services.stop().await,
            None => Ok(()),
        };
        let server = self.server.stop().await.and(services);
        if let Some(cold) = self.cold.into_inner() {
            cold.stop().await?;
        }
        server
    }
}

/// The services' process.
struct Services {
    workerd: Workerd,
    url_file: PathBuf,
}

impl Services {
    async fn start(program: &Program, artifact: &Artifact, link: &Link, data: &Path) -> Result<Self> {
        let workerd = Workerd::start(program, artifact, "", Role::Services { link }, data).await?;
        let url_file = data.join(URL_FILE);
        std::fs::write(&url_file, format!("http://127.0.0.1:{}", workerd.port))
            .with_context(|| format!("cannot write {}", url_file.display()))?;
        Ok(Self { workerd, url_file })
    }

    async fn stop(self) -> Result<()> {
        let removed = std::fs::remove_file(&self.url_file);
        self.workerd.stop().await?;
        removed.with_context(|| format!("cannot remove {}", self.url_file.display()))
    }
}

/// The output of `cargo xtask build`: the bundle `index.js` and the module `index_bg.wasm` that it imports.
struct Artifact {
    folder: PathBuf,
    /// Whether the artifact has a class of Durable Objects. The floor stores nothing and has none.
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
