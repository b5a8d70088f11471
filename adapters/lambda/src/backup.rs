//! The raw backup in S3.

use std::sync::OnceLock;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use isotherm_core::Backup;

use crate::aws::{environment, settings};

/// Where the backup goes, and a client that is made when it is first needed.
pub(crate) struct Bucket {
    name: String,
    client: OnceLock<Client>,
}

impl Bucket {
    /// The bucket that the environment names; `None` where there is to be no backup.
    pub(crate) fn of_environment() -> Option<Self> {
        Some(Self { name: environment("ISOTHERM_BACKUP_BUCKET")?, client: OnceLock::new() })
    }

    /// Puts objects, in the place of those with the same keys.
    pub(crate) async fn put(&self, objects: Vec<Backup>) -> Result<(), String> {
        for Backup { key, bytes } in objects {
            let put = self.client().put_object().bucket(&self.name).key(key).content_type("application/gzip");
            let put = put.body(ByteStream::from(bytes)).send().await;
            put.map_err(|error| format!("no backup: {}", DisplayErrorContext(error)))?;
        }
        Ok(())
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            Client::from_conf(Builder::from(&settings("S3", environment)).force_path_style(true).build())
        })
    }
}
