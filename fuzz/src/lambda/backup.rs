//! Replaces the adapter's `backup`, and so S3.

use anyhow::{Result, ensure};
use isotherm_core::Backup;

/// Checks objects that would be put into a bucket.
pub(crate) async fn put(bucket: &str, objects: Vec<Backup>) -> Result<()> {
    for Backup { key, bytes } in objects {
        ensure!(!bucket.is_empty() && key.ends_with(".ndjson.gz") && !bytes.is_empty(), "no object: {key:?}");
    }
    Ok(())
}
