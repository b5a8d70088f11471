//! The raw backup in S3.

use anyhow::Result;
use aws_sdk_s3::primitives::ByteStream;
use isotherm_core::Backup;

use crate::aws::S3;

/// Puts objects into a bucket, and overwrites objects with the same keys.
pub(crate) async fn put(bucket: &str, objects: Vec<Backup>) -> Result<()> {
    for Backup { key, bytes } in objects {
        let put = S3.put_object().bucket(bucket).key(key).content_type("application/gzip");
        put.body(ByteStream::from(bytes)).send().await?;
    }
    Ok(())
}
