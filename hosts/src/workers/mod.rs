//! Cloudflare Workers: workerd, with its Durable Objects on disk.
//!
//! There are three processes. The server has the artifact directly at its socket; metered.js counts beside it what its
//! objects are billed for. The process for cold starts begins with the first cold start. It makes a new isolate for
//! each, through workerd's Worker Loader. It has its own data, so neither its memory nor its time counts as the
//! server's. The third process runs what the platform has beside a Worker: bucket, queue and cron trigger.
//!
//! The server may be a cluster ([`cluster`]), as teams run workerd on machines of their own. It has nothing beside it.

mod balancer;
mod cluster;
mod cold;
mod config;
mod metered;
mod services;
mod workerd;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::sync::OnceCell;

use crate::meters::count;
use crate::{ColdRequest, ColdSample, Meters, Options, Runtime, Usage};
use cluster::Cluster;
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
    server: Server,
    services: Option<Services>,
    cold: OnceCell<ColdStarts>,
}

impl WorkersHost {
    pub(crate) async fn start(options: &Options, data: &Path) -> Result<Self> {
        let artifact = Artifact::open(&options.artifact)?;
        let program = Program::find(&artifact.folder).await?;
        if let Some(instances) = options.cluster {
            let cluster = Cluster::start(data, options.port).await?;
            let (config, server) = (options.config.clone(), Server::Cluster(cluster));
            let host = Self { program, artifact, config, server, services: None, cold: OnceCell::new() };
            for _ in 0..instances {
                host.add_instance().await?;
            }
            return Ok(host);
        }
        let link = artifact.has_shards.then(Link::new);
        let namespace = config::namespace(data);
        let role = Role::Server {
            port: options.port,
            log_requests: options.log_requests,
            link: link.as_ref(),
            membership: None,
            namespace: namespace.as_deref(),
        };
        let server = Workerd::start(&program, &artifact, &options.config, role, data).await?;
        // The services start after the server, because the queue retries a delivery only a limited number of times.
        let services = match &link {
            Some(link) => Some(Services::start(&program, &artifact, link, data).await?),
            None => None,
        };
        let (config, server) = (options.config.clone(), Server::Alone(server));
        Ok(Self { program, artifact, config, server, services, cold: OnceCell::new() })
    }

    /// Adds an instance to the cluster.
    pub(crate) async fn add_instance(&self) -> Result<()> {
        match &self.server {
            Server::Alone(_) => bail!("this workerd is not in a cluster"),
            Server::Cluster(cluster) => cluster.add(&self.program, &self.artifact, &self.config).await,
        }
    }

    pub(crate) fn url(&self) -> String {
        let port = match &self.server {
            Server::Alone(workerd) => workerd.port,
            Server::Cluster(cluster) => cluster.port(),
        };
        format!("http://127.0.0.1:{port}")
    }

    pub(crate) fn runtime(&self) -> Runtime {
        Runtime { name: "workerd".to_owned(), version: self.program.version.clone() }
    }

    pub(crate) async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        let start = || ColdStarts::start(&self.program, &self.artifact, &self.config, request);
        self.cold.get_or_try_init(start).await?.sample(request).await
    }

    pub(crate) fn usage(&self) -> Usage {
        match &self.server {
            Server::Alone(workerd) => workerd.usage(),
            Server::Cluster(cluster) => cluster.usage(),
        }
    }

    /// The operations of objects come from metered.js. The data of objects and of the bucket is read from disk.
    pub(crate) async fn meters(&self, data: &Path) -> Result<Meters> {
        let mut meters = Meters::default();
        match &self.server {
            Server::Alone(workerd) => {
                if let Some(port) = workerd.meters_port {
                    get_json::<Counted>(port, "/").await?.add_to(&mut meters);
                }
            }
            Server::Cluster(cluster) => {
                for port in cluster.meters_ports().await {
                    let mut counted = Meters::default();
                    get_json::<Counted>(port, "/").await?.add_to(&mut counted);
                    meters = meters.plus(&counted);
                }
                cluster.add_to(&mut meters)?;
                return Ok(meters);
            }
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
        let server = match self.server {
            Server::Alone(workerd) => workerd.stop().await,
            Server::Cluster(cluster) => cluster.stop().await,
        };
        let server = server.and(services);
        if let Some(cold) = self.cold.into_inner() {
            cold.stop().await?;
        }
        server
    }
}

/// What serves the artifact.
enum Server {
    Alone(Workerd),
    Cluster(Cluster),
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
