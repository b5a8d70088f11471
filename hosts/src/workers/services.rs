//! The services that the platform has beside a Worker: bucket, queue with dead-letter queue, and cron trigger.
//!
//! Queue and cron trigger are workerd's own. Like the other emulated stores, they run in a process of their own. Their
//! usage then does not count as the artifact's, and they are absent when a cold start is measured. Both processes talk
//! over sockets that have a name but no file:
//!
//! ```text
//! artifact ── objects ──▶ bucket.js ──▶ DATA/backup
//!          ◀── events ── events.js ◀── queues.js, cron.js ◀── api.js ◀── http://127.0.0.1
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use super::config::{COMPATIBILITY_DATE, DATA};

/// The workerd service that stands for the bucket's folder.
pub(super) const BUCKET: &str = "folder";
/// The bucket's folder, below the data folder.
pub(super) const BUCKET_FOLDER: &str = "backup";
/// The file below the data folder with the address of api.js. It exists while api.js answers.
pub(super) const URL_FILE: &str = "services.url";

/// The same settings as in deploy/workers/wrangler.toml.
const CONSUMERS: &str = r#"{"events": {"consumer": "EVENTS", "maxBatchSize": 20, "maxBatchTimeout": 1, "maxRetries": 5,
    "retryDelay": 30, "deadLetterQueue": "dead-letters"}}"#;
/// The same schedule as in deploy/workers/wrangler.toml.
const CRONS: &str = r#"{"EVENTS": ["17 * * * *"]}"#;

/// The sockets between the artifact's process and the services' process.
#[derive(Clone, Debug)]
pub(super) struct Link(String);

impl Link {
    /// A link with a name that no other host on this machine uses.
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self(format!("isotherm-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    fn objects(&self) -> String {
        format!("unix-abstract:{}-objects", self.0)
    }

    fn events(&self) -> String {
        format!("unix-abstract:{}-events", self.0)
    }

    /// The parts that the artifact's process needs for the services, in workerd's language.
    pub(super) fn of_artifact(&self) -> OfArtifact {
        let (objects, events) = (self.objects(), self.events());
        OfArtifact {
            binding: r#"(name = "BACKUP", r2Bucket = "bucket"),"#,
            service: format!(r#"(name = "bucket", external = (address = "{objects}", http = ())),"#),
            socket: format!(
                r#"(name = "events", address = "{events}", http = (capnpConnectHost = "events"), service = "artifact"),"#
            ),
        }
    }
}

/// Parts of the configuration of the artifact's process.
#[derive(Default)]
pub(super) struct OfArtifact {
    pub(super) binding: &'static str,
    pub(super) service: String,
    pub(super) socket: String,
}

/// Writes everything that the services' process reads into `folder`, and returns its configuration.
pub(super) fn write(folder: &Path, link: &Link) -> Result<String> {
    for (name, text) in [
        ("bucket.js", include_str!("services/bucket.js")),
        ("events.js", include_str!("services/events.js")),
        ("api.js", include_str!("services/api.js")),
        ("consumers.json", CONSUMERS),
        ("crons.json", CRONS),
    ] {
        std::fs::write(folder.join(name), text)
            .with_context(|| format!("cannot write {name} in {}", folder.display()))?;
    }
    let (objects, events) = (link.objects(), link.events());
    Ok(format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ( name = "bucket",
      worker = (
        compatibilityDate = "{COMPATIBILITY_DATE}",
        modules = [(name = "bucket.js", esModule = embed "bucket.js")],
        bindings = [(name = "FOLDER", service = "{BUCKET}")]
      )
    ),
    ( name = "queues",
      worker = (
        compatibilityDate = "{COMPATIBILITY_DATE}",
        compatibilityFlags = ["service_binding_extra_handlers"],
        modules = [(name = "queues.js", bundled = "/workerd/queues.js")],
        durableObjectNamespaces = [(className = "QueueShard", uniqueKey = "queues", enableSql = true)],
        durableObjectStorage = (localDisk = "{DATA}"),
        bindings = [
          (name = "SHARD", durableObjectNamespace = (className = "QueueShard", serviceName = "queues")),
          (name = "CONSUMERS", json = embed "consumers.json"),
          (name = "EVENTS", service = "events"),
          (name = "TEST_CLOCK", json = "true"),
        ]
      )
    ),
    ( name = "cron",
      worker = (
        compatibilityDate = "{COMPATIBILITY_DATE}",
        compatibilityFlags = ["service_binding_extra_handlers"],
        modules = [(name = "cron.js", bundled = "/workerd/cron.js")],
        durableObjectNamespaces = [(className = "Schedule", uniqueKey = "cron", enableSql = true)],
        durableObjectStorage = (localDisk = "{DATA}"),
        bindings = [
          (name = "SCHEDULE", durableObjectNamespace = (className = "Schedule", serviceName = "cron")),
          (name = "CRONS", json = embed "crons.json"),
          (name = "EVENTS", service = "events"),
          (name = "TEST_CLOCK", json = "true"),
        ]
      )
    ),
    ( name = "events",
      worker = (
        compatibilityDate = "{COMPATIBILITY_DATE}",
        modules = [(name = "events.js", esModule = embed "events.js")],
        bindings = [(name = "ARTIFACT", service = "artifact"), (name = "CONSUMERS", json = embed "consumers.json")]
      )
    ),
    ( name = "api",
      worker = (
        compatibilityDate = "{COMPATIBILITY_DATE}",
        compatibilityFlags = ["service_binding_extra_handlers"],
        modules = [(name = "api.js", esModule = embed "api.js")],
        bindings = [
          (name = "QUEUE", queue = (name = "queues", props = (json = "{{\"queue\": \"events\"}}"))),
          (name = "DEAD_LETTERS", queue = (name = "queues", props = (json = "{{\"queue\": \"dead-letters\"}}"))),
          (name = "QUEUES", service = "queues"),
          (name = "CRON", service = "cron"),
          (name = "EVENTS", service = "events"),
        ]
      )
    ),
    (name = "artifact", external = (address = "{events}", http = (capnpConnectHost = "events"))),
    (name = "{DATA}", disk = (writable = true)),
    (name = "{BUCKET}", disk = (writable = true)),
  ],
  sockets = [
    (name = "objects", address = "{objects}", http = (), service = "bucket"),
    (name = "http", address = "127.0.0.1:0", http = (), service = "api"),
  ]
);
"#
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn the_services_are_configured_as_they_are_deployed() {
        let deployed = include_str!("../../../deploy/workers/wrangler.toml");
        let consumers: serde_json::Value = serde_json::from_str(CONSUMERS).unwrap();
        let crons: serde_json::Value = serde_json::from_str(CRONS).unwrap();
        for (key, value) in [
            ("compatibility_date", &COMPATIBILITY_DATE.into()),
            ("max_batch_size", &consumers["events"]["maxBatchSize"]),
            ("max_batch_timeout", &consumers["events"]["maxBatchTimeout"]),
            ("max_retries", &consumers["events"]["maxRetries"]),
            ("retry_delay", &consumers["events"]["retryDelay"]),
            ("crons", &crons["EVENTS"]),
        ] {
            let line = format!("{key} = {value}");
            assert!(deployed.lines().any(|deployed| deployed == line), "{line}");
        }
    }
}
