//! Data on the way to another service, or from one.
//!
//! DynamoDB lists the events of a tenant only by a scan of the whole table. Rollups that came from another service are
//! in a lane of their own, which nothing folds.

use std::collections::HashMap;
use std::pin::pin;

use anyhow::{Context as _, Result};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use isotherm_core::{
    Asked, Digest, Export, ExportOutcome, ExportPlan, ImportPlan, Millis, Moving, NewEvent, PackedHead, Place,
    StoredPage,
};

use crate::aws::DYNAMODB;
use crate::put::{EVENT, expires_at};
use crate::rollups::{PARTITIONS, page_of, partition_of, sort_key};
use crate::store::{CONCURRENCY, Store};

/// The lane of rollups that came from another service.
const LANE: &str = "moved";
/// How many pages of a scan one request reads, of 1 MB at most.
const SCANS: u32 = 16;
/// How many items a page of a scan has where most are the tenant's. DynamoDB would read three times what fits into an answer,
/// and bill what is dropped.
const ITEMS: i32 = 1000;

/// A scan lists events in no order.
fn ended(export: Export, parts: u32, folded_to: Millis, more: Option<String>) -> ExportOutcome {
    ExportOutcome::Read(export.end(Place { parts, folded_to, is_ordered: false, more }))
}

type Item = HashMap<String, AttributeValue>;

impl Store {
    /// Reads the next lines of an export.
    pub(crate) async fn export(&self, plan: &ExportPlan, now: Millis) -> Result<ExportOutcome> {
        // Read first: what is read afterwards holds at least what this says.
        let lanes = self.lanes().await?;
        let folded_to = lanes.as_of(now);
        let (tenant, asked) = (plan.tenant().as_str(), plan.asked());
        if asked.after.is_empty() {
            // Whoever begins waits until everything is folded. A shard without new records says nothing by itself.
            self.pulse(lanes.nudge(now)).await;
        }
        match asked.what {
            Moving::Events if asked.part == 0 => self.export_events(tenant, asked, folded_to).await,
            Moving::Rollups if asked.part < PARTITIONS => self.export_rollups(tenant, asked, folded_to).await,
            Moving::Events | Moving::Rollups => Ok(ExportOutcome::UnknownPlace),
        }
    }

    async fn export_events(&self, tenant: &str, asked: &Asked, folded_to: Millis) -> Result<ExportOutcome> {
        let mut export = asked.begin();
        let mut after = (!asked.after.is_empty()).then(|| asked.after.clone());
        let mut limit = Some(ITEMS);
        for _ in 0..SCANS {
            let start = after.map(|after| HashMap::from([("pk".to_owned(), AttributeValue::S(after))]));
            let scan = DYNAMODB.scan().table_name(&self.table).consistent_read(true);
            let scan = scan.filter_expression("begins_with(pk, :tenant)");
            let scan = scan.expression_attribute_values(":tenant", AttributeValue::S(format!("{tenant}#")));
            let scanned = scan.set_limit(limit).set_exclusive_start_key(start).send().await?;
            let items = scanned.items.unwrap_or_default();
            limit = limit.filter(|_| 2 * scanned.count >= scanned.scanned_count);
            let packed = items.iter().filter_map(|item| item.get(EVENT)?.as_b().ok());
            self.learn_shapes(packed.map(|packed| packed.as_ref())).await?;
            for item in items {
                if export.is_full() {
                    return Ok(ended(export, 1, folded_to, None));
                }
                match self.event_of(item) {
                    Ok((key, event)) if event.received_at < folded_to => export.event(&event, key),
                    Ok(_unfolded) => {}
                    Err(error) => {
                        eprintln!("an export leaves an event out: {error:#}");
                        export.leave_out(1);
                    }
                }
            }
            after = scanned.last_evaluated_key.and_then(|mut key| key.remove("pk")?.as_s().ok().cloned());
            if after.is_none() {
                break;
            }
        }
        Ok(ended(export, 1, folded_to, after))
    }

    /// An event and the key of its item.
    fn event_of(&self, mut item: Item) -> Result<(String, NewEvent)> {
        let expires_at = expires_at(&item).context("an event has no ttl")?;
        let key = item.remove("pk").and_then(|key| key.as_s().ok().cloned()).context("an item has no key")?;
        let id = key.rsplit_once('#').map_or("", |(_, id)| id);
        let (record, digest) = match (item.remove(EVENT), item.remove("record"), item.remove("digest")) {
            (Some(AttributeValue::B(packed)), ..) => {
                (self.unpacker().record(id, packed.as_ref())?, PackedHead::of(packed.as_ref())?.digest)
            }
            (None, Some(AttributeValue::S(record)), Some(AttributeValue::B(digest))) => {
                (record, Digest::from_bytes(digest.into_inner().as_slice().try_into()?))
            }
            _ => anyhow::bail!("an item is no event: something else writes to table {}", self.table),
        };
        let event = NewEvent::of_record(record, digest, expires_at).context("a stored record is no event")?;
        Ok((key, event))
    }

    async fn export_rollups(&self, tenant: &str, asked: &Asked, folded_to: Millis) -> Result<ExportOutcome> {
        // No sort key may be empty, and none is as low as this.
        let after = if asked.after.is_empty() { "\u{1}" } else { asked.after.as_str() };
        let query = DYNAMODB.query().table_name(&self.rollups).consistent_read(true);
        let mut items = query
            .key_condition_expression("pk = :pk AND sk > :after")
            .expression_attribute_values(":pk", AttributeValue::S(format!("{tenant}#{}", asked.part)))
            .expression_attribute_values(":after", AttributeValue::S(after.to_owned()))
            .into_paginator()
            .items()
            .send();
        let mut export = asked.begin();
        while !export.is_full()
            && let Some(item) = items.try_next().await?
        {
            let cursor = item.get("sk").and_then(|sort| sort.as_s().ok()).cloned().unwrap_or_default();
            let (_lane, page) =
                page_of(item).context("an item is no page: something else writes to the table of rollups")?;
            export.page(&page, &cursor);
        }
        Ok(ended(export, PARTITIONS, folded_to, None))
    }

    /// Keeps another service's rollups.
    pub(crate) async fn import(&self, plan: &ImportPlan) -> Result<bool> {
        let put = async |StoredPage { key, bytes }: &StoredPage| {
            let put = DYNAMODB.put_item().table_name(&self.rollups);
            let put = put.item("pk", AttributeValue::S(partition_of(plan.tenant(), LANE)));
            let put = put.item("sk", sort_key(key, LANE)).item("page", AttributeValue::B(Blob::new(bytes.clone())));
            put.send().await
        };
        let mut all = pin!(stream::iter(plan.pages().map(put)).buffer_unordered(CONCURRENCY));
        while all.try_next().await?.is_some() {}
        Ok(true)
    }
}
