//! S3 on this machine: s3s-fs, which keeps objects as files, served over HTTP.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

use super::environment::CREDENTIAL;
use super::server::{Server, free_port};
use crate::meters::count::files;

/// The bucket for the backup, which is a folder with this name.
pub(crate) const BUCKET: &str = "events";

/// Serves the buckets in `data/backup`.
pub(crate) async fn start(data: &Path) -> Result<Server> {
    let root = data.join("backup");
    std::fs::create_dir_all(root.join(BUCKET)).with_context(|| format!("cannot make {}", root.display()))?;
    let files = FileSystem::new(&root).map_err(|error| anyhow!("cannot use {}: {error:?}", root.display()))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(CREDENTIAL, CREDENTIAL));
    Server::start(free_port().await?, service.build())
}

/// The number of objects in the bucket, and their bytes. s3s-fs keeps its own files outside the buckets' folders.
pub(crate) fn objects(data: &Path) -> Result<(u64, u64)> {
    files(&data.join("backup").join(BUCKET))
}
