//! The raw backup in S3: of each batch of the stream one object a tenant.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use isotherm_core::{Backup, Service};

use crate::aws::{environment, settings};
use crate::stream::Batch;

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

    /// Puts the events of a batch. Objects are named after the batch, so that a replay overwrites itself; a batch that is
    /// cut another way the next time gives objects that repeat some events.
    pub(crate) async fn put(&self, service: &Service, lane: &str, batch: &Batch<'_>) -> Result<(), String> {
        let ([first, ..], [.., last]) = (&batch.records[..], &batch.records[..]) else { return Ok(()) };
        let name = format!("{lane}-{}-{}", first.sequence_number(), last.sequence_number());
        let mut tenants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (tenant, record) in batch.records.iter().filter_map(|record| record.event()) {
            tenants.entry(tenant).or_default().push(record);
        }
        for (tenant, records) in tenants {
            let Backup { key, bytes } = service.backup(tenant, &name, records);
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
