//! Writes workerd's configuration into the folder in which workerd starts.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Artifact;
use super::cluster::Membership;
use super::services::{self, Link, OfArtifact};

/// The date whose behaviour workerd keeps. It is the same as in deploy/workers/wrangler.toml.
pub(super) const COMPATIBILITY_DATE: &str = "2026-11-01";

/// The name of the configuration file in the folder.
pub(super) const FILE: &str = "workerd.capnp";
/// The workerd service that stands for the data folder.
pub(super) const DATA: &str = "data";
/// The workerd service that stands for the folder of the KV namespace with the configuration. A key's value is a file.
pub(super) const NAMESPACE: &str = "namespace";
/// The binding of this namespace. It is there if this host has a variable of this name, with the name of the folder
/// below the data folder.
const NAMESPACE_BINDING: &str = "ISOTHERM_CONFIG_KV";

/// The variable of this host that makes its objects as unkind as Cloudflare's, for tests: settings with spaces between
/// them, such as `evict=3 rings=2`. Without it nothing of the kind happens. Meters count each as a function.
///
/// - `evict=N`: an object that has handled N requests or alarms loses its memory once it has answered all. What comes at
///   that moment fails.
/// - `rings=N`: the handler of each alarm is called N times in a row.
/// - `lost=N`: the first N alarms of each object never reach its handler, as if the runtime had given them up.
/// - `throws=N`: the first N times that an object's alarm rings, an error is thrown instead. workerd rings six times
///   more, after 2 s, 4 s, … 64 s, and then gives the alarm up.
/// - `ends=N`: the first N times that an object's alarm rings, the object ends once the handler has set its next alarm.
const UNKIND: &str = "ISOTHERM_UNKIND_OBJECTS";

/// The folder of the KV namespace with the configuration, if there is one.
pub(super) fn namespace(data: &Path) -> Option<PathBuf> {
    Some(data.join(std::env::var_os(NAMESPACE_BINDING)?))
}

/// The task of a workerd process.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role<'a> {
    /// Serves the artifact.
    Server {
        /// 0 takes a free port.
        port: u16,
        log_requests: bool,
        /// The connection to the services beside the artifact, if it uses them.
        link: Option<&'a Link>,
        /// What makes it an instance of a cluster, if it is one.
        membership: Option<Membership<'a>>,
        /// The folder of the KV namespace with the configuration, if there is one.
        namespace: Option<&'a Path>,
    },
    /// Runs the services that the platform has beside the artifact.
    Services { link: &'a Link },
    /// Answers each request with a new isolate of the artifact.
    ColdStarts,
}

impl Role<'_> {
    /// The number of sockets that workerd listens on.
    pub(super) fn sockets(self, artifact: &Artifact) -> usize {
        match self {
            // The artifact's; what its objects used; events of the services; other instances of the cluster.
            Self::Server { link, membership, .. } => {
                [true, artifact.has_shards, link.is_some(), membership.is_some()].map(usize::from).iter().sum()
            }
            Self::Services { .. } => 2,
            Self::ColdStarts => 1,
        }
    }

    /// Whether the role needs features that workerd calls experimental: the Worker Loader, which makes isolates on
    /// demand, workerd's queues and cron triggers, and clusters. A server that is alone never starts in this mode.
    pub(super) fn is_experimental(self) -> bool {
        !matches!(self, Self::Server { membership: None, .. })
    }
}

/// Writes everything that workerd reads into `folder`.
pub(super) fn write(folder: &Path, artifact: &Artifact, config: &str, role: Role<'_>) -> Result<()> {
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).with_context(|| format!("cannot write {name} in {}", folder.display()))
    };
    if let Role::Services { link } = role {
        return file(FILE, &services::write(folder, link)?);
    }
    file(FILE, &text(artifact, role))?;
    file("config.json", config)?;
    for (name, secret) in crate::secrets() {
        file(&name, &secret)?;
    }
    file("front.js", include_str!("front.js"))?;
    file("metered.js", include_str!("metered.js"))?;
    file("unkind.js", include_str!("unkind.js"))?;
    file(UNKIND, &std::env::var(UNKIND).unwrap_or_default())?;
    file("cold.js", include_str!("cold.js"))?;
    file("instance.js", include_str!("instance.js"))?;
    for name in ["index.js", "index_bg.wasm"] {
        let target = artifact.folder.join(name);
        symlink(&target, folder.join(name)).with_context(|| format!("cannot link to {}", target.display()))?;
    }
    Ok(())
}

fn text(artifact: &Artifact, role: Role<'_>) -> String {
    let (port, entry, link, membership) = match role {
        Role::Server { port, log_requests: false, link, membership, .. } => (port, "artifact", link, membership),
        Role::Server { port, log_requests: true, link, membership, .. } => (port, "front", link, membership),
        Role::ColdStarts | Role::Services { .. } => (0, "cold", None, None),
    };
    let cluster = membership.map(Membership::text).unwrap_or_default();
    let OfArtifact { binding, service, socket } = link.map(Link::of_artifact).unwrap_or_default();
    let is_metered = artifact.has_shards && matches!(role, Role::Server { .. });
    let (metered, meters, unkind) = if is_metered { (METERED, METERS, UNKIND_OBJECTS) } else { ("", "", "") };
    let (kv, folder) = match role {
        Role::Server { namespace: Some(_), .. } => (KV, KV_FOLDER),
        _ => ("", ""),
    };
    let (objects, shards) = if artifact.has_shards { (OBJECTS, SHARDS) } else { ("", "") };
    let secrets = crate::secrets().into_iter().map(|(name, _)| format!(r#"(name = "{name}", text = embed "{name}"),"#));
    let secrets: String = secrets.collect();
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ( name = "artifact",
      worker = (
        compatibilityDate = "{COMPATIBILITY_DATE}",
        modules = [
          {metered}
          (name = "index.js", esModule = embed "index.js"),
          (name = "./index_bg.wasm", wasm = embed "index_bg.wasm"),
        ],
        bindings = [{shards} {binding} {kv} {secrets} {unkind} (name = "ISOTHERM_CONFIG", text = embed "config.json")],
        globalOutbound = "nowhere",
        {objects}
      )
    ),
    (name = "{DATA}", disk = (writable = true)),
    (name = "nowhere", network = (allow = [])),
    {service}
    {folder}
    {more}
  ],
  sockets = [{socket} {meters} (name = "http", address = "127.0.0.1:{port}", http = (), service = "{entry}")],
  {cluster}
);
"#,
        more = match role {
            Role::Server { log_requests: false, .. } => String::new(),
            Role::Server { log_requests: true, .. } => front(),
            Role::ColdStarts | Role::Services { .. } => cold(shards),
        },
    )
}

/// workerd runs the first module of a Worker.
const METERED: &str = r#"(name = "metered.js", esModule = embed "metered.js"),
          (name = "unkind.js", esModule = embed "unkind.js"),"#;

/// Without the variable it is an empty text.
const UNKIND_OBJECTS: &str = r#"(name = "ISOTHERM_UNKIND_OBJECTS", text = embed "ISOTHERM_UNKIND_OBJECTS"),"#;

const METERS: &str =
    r#"(name = "meters", address = "127.0.0.1:0", http = (), service = (name = "artifact", entrypoint = "Meters")),"#;

const OBJECTS: &str = r#"durableObjectNamespaces = [(className = "Shard", uniqueKey = "isotherm-shard", enableSql = true)],
        durableObjectStorage = (localDisk = "data")"#;

const KV: &str = r#"(name = "ISOTHERM_CONFIG_KV", kvNamespace = "namespace"),"#;

/// It answers a KV namespace's protocol as far as reading a key's text goes.
const KV_FOLDER: &str = r#"(name = "namespace", disk = ()),"#;

const SHARDS: &str = r#"(name = "SHARDS", durableObjectNamespace = (className = "Shard", serviceName = "artifact")),"#;

fn front() -> String {
    format!(
        r#"( name = "front",
      worker = (
        compatibilityDate = "{COMPATIBILITY_DATE}",
        modules = [(name = "front.js", esModule = embed "front.js")],
        bindings = [(name = "ARTIFACT", service = "artifact")]
      )
    )"#
    )
}

fn cold(shards: &str) -> String {
    format!(
        r#"( name = "cold",
      worker = (
        compatibilityDate = "{COMPATIBILITY_DATE}",
        modules = [
          (name = "cold.js", esModule = embed "cold.js"),
          (name = "instance.js", text = embed "instance.js"),
          (name = "artifact/index.js", text = embed "index.js"),
          (name = "artifact/index_bg.wasm", data = embed "index_bg.wasm"),
        ],
        bindings = [
          {shards}
          (name = "ISOTHERM_CONFIG", text = embed "config.json"),
          (name = "COMPATIBILITY_DATE", text = "{COMPATIBILITY_DATE}"),
          (name = "LOADER", workerLoader = ()),
        ]
      )
    )"#
    )
}
