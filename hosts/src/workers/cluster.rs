//! workerd's own cluster: instances that share a bucket and own Durable Objects by lease.
//!
//! ```text
//! client ─▶ balancer ─▶ any instance ─▶ the instance that owns the object
//!                             └───────────────┴──▶ bucket (s3.rs): leases, owners, the objects' data
//! ```
//!
//! Each instance is a process with a disk of its own. What it has not written to the bucket is lost with it, so workerd
//! answers only once the bucket has a write.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;

use super::Artifact;
use super::balancer::{Balancer, Ports};
use super::config::Role;
use super::workerd::{Program, Workerd};
use crate::s3::{self, S3};
use crate::{Usage, meters};

/// The bucket, and the folder below the data folder that holds it.
const BUCKET: &str = "cluster";
/// The length of the secret that instances know each other by. workerd wants 32 bytes.
const SECRET_BYTES: usize = 32;

/// A running cluster.
pub(super) struct Cluster {
    data: PathBuf,
    bucket: S3,
    secret: String,
    ports: Ports,
    balancer: Balancer,
    instances: AsyncMutex<Vec<Workerd>>,
}

/// What an instance needs to know of its cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership<'a> {
    /// The endpoint of the bucket.
    pub(super) endpoint: &'a str,
    pub(super) secret: &'a str,
}

impl Membership<'_> {
    /// The part of workerd's configuration that makes it a member.
    pub(super) fn text(self) -> String {
        let Self { endpoint, secret } = self;
        let credential = s3::CREDENTIAL;
        format!(
            r#"cluster = (
    bucket = "s3://{BUCKET}/workerd",
    bucketOptions = ["aws_endpoint={endpoint}", "aws_region=auto", "aws_access_key_id={credential}", "aws_secret_access_key={credential}"],
    address = "127.0.0.1:0",
    key = "{secret}",
  ),"#
        )
    }
}

impl Cluster {
    /// Starts a cluster without instances, which is reached at `port`.
    pub(super) async fn start(data: &Path, port: u16) -> Result<Self> {
        let bucket = s3::start(&data.join("bucket"), BUCKET).await?;
        let ports = Ports::default();
        let balancer = Balancer::start(port, Arc::clone(&ports)).await?;
        let (data, instances) = (data.to_owned(), AsyncMutex::default());
        Ok(Self { data, bucket, secret: secret()?, ports, balancer, instances })
    }

    /// Adds an instance, with a disk of its own.
    pub(super) async fn add(&self, program: &Program, artifact: &Artifact, config: &str) -> Result<()> {
        let mut instances = self.instances.lock().await;
        // The folder of an instance that has ended is used by nobody else: the bucket has what it had.
        let folder = (1..).map(|n| self.data.join(format!("instance-{n}"))).find(|folder| !folder.exists());
        let folder = folder.context("no folder is free")?;
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let membership = Membership { endpoint: self.bucket.url(), secret: &self.secret };
        let role =
            Role::Server { port: 0, log_requests: false, link: None, membership: Some(membership), namespace: None };
        let instance = Workerd::start(program, artifact, config, role, &folder).await?;
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).push(instance.port);
        instances.push(instance);
        Ok(())
    }

    pub(super) fn port(&self) -> u16 {
        self.balancer.port
    }

    /// The ports at which the instances that run report what their objects used.
    pub(super) async fn meters_ports(&self) -> Vec<u16> {
        let mut instances = self.instances.lock().await;
        instances.retain_mut(|instance| !instance.has_ended());
        instances.iter().filter_map(|instance| instance.meters_port).collect()
    }

    /// What the instances that run used so far.
    pub(super) fn usage(&self) -> Usage {
        // Instances are added by the caller's own task, never while it asks for their usage.
        self.instances.try_lock().map(|instances| instances.iter().map(Workerd::usage).sum()).unwrap_or_default()
    }

    /// Adds the requests to the bucket, and what it holds.
    pub(super) fn add_to(&self, meters: &mut meters::Meters) -> Result<()> {
        let [writes, reads] = self.bucket.requests();
        for (kind, count) in [("bucket/write", writes), ("bucket/read", reads)] {
            meters.store.insert(kind.to_owned(), meters::Sizes::from([(0, count)]));
        }
        (_, meters.store_bytes) = s3::objects(&self.data.join("bucket"), BUCKET)?;
        Ok(())
    }

    /// Stops all instances at once.
    pub(super) async fn stop(self) -> Result<()> {
        let stops: JoinSet<_> = self.instances.into_inner().into_iter().map(Workerd::stop).collect();
        stops.join_all().await.into_iter().collect()
    }
}

/// A secret that nobody else knows, as hexadecimal digits.
fn secret() -> Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    let mut digits = String::new();
    bytes.iter().try_for_each(|byte| write!(digits, "{byte:02x}"))?;
    Ok(digits)
}
