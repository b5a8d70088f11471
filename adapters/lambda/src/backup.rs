//! The raw backup in S3.

use std::sync::LazyLock;

use anyhow::Result;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::primitives::ByteStream;
use isotherm_core::Backup;

use crate::aws::settings;

static S3: LazyLock<Client> =
    LazyLock::new(|| Client::from_conf(Builder::from(&settings("S3")).force_path_style(true).build()));

/// Puts objects into a bucket, and overwrites objects with the same keys.
pub(crate) async fn put(bucket: &str, objects: Vec<Backup>) -> Result<()> {
    for Backup { key, bytes } in objects {
        let put = S3.put_object().bucket(bucket).key(key).content_type("application/gzip");
        put.body(ByteStream::from(bytes)).send().await?;
    }
    Ok(())
}
